//! What a delivery adds to its folder, and folders without a kustomization.

mod world;

use expect_test::{Expect, expect};
use fixpoint_base::Limits;
use fixpoint_render::{Image, Overlay, Patch, Selector, render};
use world::tree;

fn check(world: &str, path: &str, overlay: &Overlay, expected: Expect) {
    let shown = match render(&tree(world), path, overlay, &Limits::default()) {
        Ok(rendered) => fixpoint_yaml::join(&rendered.objects),
        Err(err) => format!("error: {err}\n"),
    };
    expected.assert_eq(&shown);
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n  containers:\n  \
                   - {name: a, image: 'nginx:1'}\n";

#[test]
fn folders_without_a_kustomization() {
    let world = format!(
        "==> apps/z.yaml\n{POD}
==> apps/notes.md
text
==> apps/inner/deep/a.yml
kind: A
metadata: {{name: deep}}
==> apps/base/kustomization.yaml
namePrefix: base-
resources: [sub]
==> apps/base/sub/kustomization.yaml
resources: [b.yaml]
==> apps/base/sub/b.yaml
kind: B
metadata: {{name: b}}
==> apps/base/not-listed.yaml
kind: C
metadata: {{name: c}}
==> other/a.yaml
kind: A
metadata: {{name: other}}
"
    );
    check(
        &world,
        "./apps",
        &Overlay::default(),
        expect![[r#"
        apiVersion: v1
        kind: Pod
        metadata:
          name: pod
        spec:
          containers:
          - image: nginx:1
            name: a
        ---
        kind: A
        metadata:
          name: deep
        ---
        kind: B
        metadata:
          name: base-b
    "#]],
    );
    check("==> a/readme.md\ntext\n", "a", &Overlay::default(), expect![[""]]);
    check(
        "==> a/values.yaml\nreplicas: 1\n",
        "a",
        &Overlay::default(),
        expect![[r#"
        error: a/values.yaml: object 1 has no kind
    "#]],
    );
    check(
        "==> a/b.yaml\nkind: A\n",
        "b",
        &Overlay::default(),
        expect![[r#"
        error: there is no folder "b" in the source
    "#]],
    );
}

#[test]
fn an_empty_tree_has_an_empty_root() {
    check("", "", &Overlay::default(), expect![[""]]);
}

#[test]
fn deliveries_add_to_the_kustomization() {
    let world = format!(
        "==> app/kustomization.yaml
namespace: theirs
resources: [pod.yaml]
images:
- {{name: nginx, newTag: '2'}}
==> app/pod.yaml
{POD}
==> component/kustomization.yaml
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
commonAnnotations: {{by: component}}
"
    );
    let overlay = Overlay {
        namespace: Some("ours".to_owned()),
        name_prefix: Some("p-".to_owned()),
        name_suffix: Some("-s".to_owned()),
        images: vec![Image {
            name: "nginx".to_owned(),
            new_tag: "3".to_owned(),
            ..Image::default()
        }],
        patches: vec![Patch {
            patch: "[{op: add, path: /metadata/labels, value: {a: b}}]".to_owned(),
            target: Some(Selector { kind: "Pod".to_owned(), ..Selector::default() }),
            ..Patch::default()
        }],
        components: vec!["../component".to_owned(), "../missing".to_owned()],
        ignore_missing_components: true,
    };
    check(
        &world,
        "app",
        &overlay,
        expect![[r#"
        apiVersion: v1
        kind: Pod
        metadata:
          annotations:
            by: component
          labels:
            a: b
          name: p-pod-s
          namespace: ours
        spec:
          containers:
          - image: nginx:3
            name: a
    "#]],
    );
    let strict = Overlay { ignore_missing_components: false, ..overlay.clone() };
    check(
        &world,
        "app",
        &strict,
        expect![[r#"
        error: app/kustomization.yaml: field "components" names "../missing", which does not exist
    "#]],
    );
    let with_path = Overlay {
        patches: vec![Patch { path: "pod.yaml".to_owned(), ..Patch::default() }],
        ..Overlay::default()
    };
    check(
        &world,
        "app",
        &with_path,
        expect![[r#"
        error: app/kustomization.yaml: field "patches" of the delivery has an entry with a path
    "#]],
    );
}

#[test]
fn equal_trees_have_equal_digests() {
    let rendered = |text: &str| {
        let world = format!("==> a.yaml\nkind: A\nmetadata: {{name: a}}\n{text}");
        render(&tree(&world), "", &Overlay::default(), &Limits::default()).unwrap().digest
    };
    assert_eq!(rendered("x: {a: 1, b: 2}\n"), rendered("x:\n  b: 2\n  a: 1 # same\n"));
    assert_ne!(rendered("x: 1\n"), rendered("x: 2\n"));
}
