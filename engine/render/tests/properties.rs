//! Any tree renders or is refused; rendering twice gives the same.

use fixpoint_base::Limits;
use fixpoint_render::{Overlay, build, render};
use fixpoint_source::{Tree, TreeBuilder};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", "[a-c]-[xy]", Just("default".to_owned()), Just("1".to_owned())]
}

fn kind() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![
        Just(("v1", "ConfigMap")),
        Just(("v1", "Pod")),
        Just(("v1", "Namespace")),
        Just(("apps/v1", "Deployment")),
        Just(("rbac.authorization.k8s.io/v1", "RoleBinding")),
        Just(("v1", "List")),
        Just(("x/v1", "Thing")),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just("null".to_owned()),
        Just("[]".to_owned()),
        "[a-z]{1,3}",
        name().prop_map(|name| format!("[{{name: {name}}}, null, {{}}]")),
        name().prop_map(|name| format!(
            "{{containers: [{{name: {name}, image: a, env: [{{name: {name}}}], ports: [{{containerPort: 1}}]}}, \
             {{name: b, $patch: delete}}], volumes: [{{configMap: {{name: {name}}}}}]}}"
        )),
        name().prop_map(|name| format!(
            "{{selector: {{}}, template: {{spec: {{containers: [{{name: {name}}}]}}}}}}"
        )),
        Just("{$patch: replace, a: null}".to_owned()),
        Just("{containers: [{$patch: replace}]}".to_owned()),
    ]
}

fn object() -> impl Strategy<Value = String> {
    (kind(), name(), value(), value(), value()).prop_map(|((version, kind), name, a, b, c)| {
        format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, labels: {c}}}\n\
             spec: {a}\nsubjects: {b}\nitems: {b}\n---\n"
        )
    })
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        name().prop_map(|name| format!("namespace: {name}\n")),
        name().prop_map(|name| format!("namePrefix: {name}\n")),
        name().prop_map(|name| format!("commonLabels: {{{name}x: a}}\n")),
        name().prop_map(|name| format!("commonAnnotations: {{{name}x: a}}\n")),
        name().prop_map(|name| format!("configMapGenerator: [{{name: {name}x, literals: [a=b]}}]\n")),
        name().prop_map(|name| format!("replicas: [{{name: {name}x, count: 1}}]\n")),
        Just("images: [{name: a, newTag: b}]\n".to_owned()),
        Just("sortOptions: {order: fifo}\n".to_owned()),
        object().prop_map(|object| format!(
            "patches:\n- target: {{name: .*}}\n  patch: |\n    {}\n",
            object.replace("---\n", "").replace('\n', "\n    ")
        )),
        value().prop_map(|value| format!(
            "patches:\n- target: {{kind: .*}}\n  patch: |\n    - {{op: add, path: /spec, value: {value}}}\n"
        )),
    ]
}

fn kustomization() -> impl Strategy<Value = String> {
    (
        prop::collection::btree_set("(a|b|c|d)\\.yaml|one|two|\\.\\.", 0..4),
        prop::collection::vec(field(), 0..4),
        prop::option::of("(one|two|\\.\\./two)"),
    )
        .prop_map(|(resources, fields, component)| {
            let resources: Vec<String> = resources.into_iter().collect();
            let component = component.map(|c| format!("components: [{c}]\n")).unwrap_or_default();
            format!("resources: [{}]\n{}{component}", resources.join(", "), fields.concat())
        })
}

prop_compose! {
    fn world()(
        root in kustomization(),
        one in kustomization(),
        two in kustomization(),
        objects in prop::collection::vec(prop::collection::vec(object(), 0..4), 12),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) -> Tree {
        let limits = Limits::default();
        let mut builder = TreeBuilder::new(&limits);
        for (at, (folder, text)) in [("", root), ("one/", one), ("two/", two)].into_iter().enumerate() {
            builder.file(&format!("{folder}kustomization.yaml"), text.into_bytes(), false).expect("the paths are clean");
            for (name, objects) in ["a", "b", "c"].iter().zip(&objects[at * 4..]) {
                let text = objects.concat().into_bytes();
                builder.file(&format!("{folder}{name}.yaml"), text, false).expect("the paths are clean");
            }
        }
        builder.file("d.yaml", noise, false).expect("the paths are clean");
        builder.build().expect("the paths do not collide")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_tree_renders_or_is_refused(tree in world()) {
        let limits = Limits::default();
        for folder in ["", "one", "two"] {
            let first = render(&tree, folder, &Overlay::default(), &limits);
            prop_assert_eq!(&first, &render(&tree, folder, &Overlay::default(), &limits));
            if let Ok(rendered) = first {
                prop_assert_eq!(rendered.objects, build(&tree, folder, &limits).unwrap());
            }
        }
    }

    #[test]
    fn any_kustomization_is_read_or_refused(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let limits = Limits::default();
        let mut builder = TreeBuilder::new(&limits);
        builder.file("a/kustomization.yaml", text.into_bytes(), false).expect("the paths are clean");
        builder.file("b/kustomization.yaml", bytes, false).expect("the paths are clean");
        let tree = builder.build().expect("the paths do not collide");
        for folder in ["a", "b", ""] {
            let _ = render(&tree, folder, &Overlay::default(), &limits);
        }
    }
}
