//! What is refused, and how it is said: a world in, all problems out.

mod world;

use expect_test::{Expect, expect};
use fixpoint_base::{Classified, Limits};
use fixpoint_render::{RenderError, build};
use world::tree;

fn check(world: &str, expected: Expect) {
    check_within(&Limits::default(), world, expected);
}

fn check_within(limits: &Limits, world: &str, expected: Expect) {
    let err = build(&tree(world), "", limits).expect_err("the case is refused");
    let problems: String =
        err.problems().iter().map(|problem| format!("{problem} ({:?})\n", problem.class)).collect();
    expected.assert_eq(&problems);
}

#[test]
fn fields() {
    check(
        "==> kustomization.yaml
kind: Kustomisation
apiVersion: v1
vars: [{name: A}]
helmCharts: []
replacements: [{}]
resorces: []
namePrefix: [a]
images: [{name: a, newTag: 1.0}]
commonLabels: {a: true}
configMapGenerator: [{name: a, literal: [b=c]}]
",
        expect![[r#"
            kustomization.yaml: field "apiVersion" is not kustomize.config.k8s.io/v1beta1 (User)
            kustomization.yaml: field "commonLabels" is not as it should be: invalid type: boolean `true`, expected a string (User)
            kustomization.yaml: field "configMapGenerator" is not as it should be: unknown field `literal`, expected one of `name`, `namespace`, `behavior`, `type`, `literals`, `files`, `envs`, `env`, `options` (User)
            kustomization.yaml: field "images" is not as it should be: invalid type: integer `1`, expected a string (User)
            kustomization.yaml: field "kind" is not Kustomization or Component (User)
            kustomization.yaml: field "namePrefix" is not as it should be: invalid type: sequence, expected a string (User)
            kustomization.yaml: field "replacements" is not supported yet (User)
            kustomization.yaml: field "resorces" is unknown (User)
            kustomization.yaml: field "vars" is not supported yet (User)
        "#]],
    );
    check(
        "==> kustomization.yaml\n# nothing\n",
        expect![[r#"
        kustomization.yaml: holds no kustomization (User)
    "#]],
    );
    check(
        "==> kustomization.yaml\n- a\n",
        expect![[r#"
        kustomization.yaml: holds no kustomization (User)
    "#]],
    );
    check(
        "==> kustomization.yaml\na: 1\n---\nb: 2\n",
        expect![[r#"
        kustomization.yaml: holds more than one document (User)
    "#]],
    );
    check(
        "==> kustomization.yaml\na: [\n",
        expect![[r#"
        kustomization.yaml:1: unclosed bracket '[' (User)
    "#]],
    );
    check(
        "==> kustomization.yaml\na: 1\n==> Kustomization\nb: 1\n",
        expect![[r#"
        .: has several kustomization files (User)
    "#]],
    );
    check(
        "==> a.yaml\na: 1\n",
        expect![[r#"
        .: has no kustomization file (User)
    "#]],
    );
}

#[test]
fn resources() {
    check(
        "==> kustomization.yaml
resources:
- nowhere.yaml
- https://example.com/x.yaml
- github.com/org/repo//base?ref=v1
- ../outside
- empty
- component
- broken.yaml
- nameless.yaml
- doubled.yaml
components: [base]
==> empty/readme.md
text
==> component/kustomization.yaml
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
==> base/kustomization.yaml
namePrefix: a-
==> broken.yaml
a: b: c
==> nameless.yaml
kind: A
metadata: {}
==> doubled.yaml
kind: A
metadata: {name: a}
---
kind: A
metadata: {name: a, namespace: default}
",
        expect![[r#"
            kustomization.yaml: field "resources" names "nowhere.yaml", which does not exist (User)
            kustomization.yaml: field "resources" names "https://example.com/x.yaml", which is not in the source (User)
            kustomization.yaml: field "resources" names "github.com/org/repo//base?ref=v1", which is not in the source (User)
            kustomization.yaml: field "resources" names "../outside", which does not exist (User)
            empty: has no kustomization file (User)
            kustomization.yaml: field "resources" names "component", which is a component (User)
            broken.yaml:1: mapping values are not allowed in this context (User)
            nameless.yaml: object 1 (A) has no name (User)
            doubled.yaml: A/default/a is there already, from doubled.yaml (User)
            kustomization.yaml: field "components" names "base", which is no component (User)
        "#]],
    );
}

#[test]
fn cycles() {
    check(
        "==> kustomization.yaml\nresources: [.]\n",
        expect![[r#"
        kustomization.yaml: field "resources" names ".", which is a cycle (User)
    "#]],
    );
    check(
        "==> kustomization.yaml\nresources: [a]\n==> a/kustomization.yaml\nresources: [../b]\n\
         ==> b/kustomization.yaml\nresources: [../a]\n",
        expect![[r#"
            b/kustomization.yaml: field "resources" names "../a", which is a cycle (User)
        "#]],
    );
    check(
        "==> kustomization.yaml\nresources: [a/b]\n==> a/b/kustomization.yaml\nresources: [..]\n\
         ==> a/kustomization.yaml\nresources: [b]\n",
        expect![[r#"
            a/b/kustomization.yaml: field "resources" names "..", which is a cycle (User)
        "#]],
    );
}

const OBJECT: &str = "==> a.yaml\nkind: A\nmetadata: {name: a}\nspec: {list: [1], map: {a: 1}}\n";

#[test]
fn patches() {
    let world = |patch: &str| {
        format!("==> kustomization.yaml\nresources: [a.yaml]\npatches:\n{patch}\n{OBJECT}")
    };
    for (patch, expected) in [
        (
            "- {}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry with neither patch nor path (User)
        "#]],
        ),
        (
            "- {patch: a, path: b}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry with both patch and path (User)
        "#]],
        ),
        (
            "- {path: nowhere.yaml}",
            expect![[r#"
            kustomization.yaml: field "patches" names "nowhere.yaml", which does not exist (User)
        "#]],
        ),
        (
            "- {patch: 'a: ['}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that is no YAML: line 1, column 4: unclosed bracket '[' (User)
        "#]],
        ),
        (
            "- {patch: '# nothing'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that is empty (User)
        "#]],
        ),
        (
            "- {patch: 'a: b'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that has no kind (User)
        "#]],
        ),
        (
            "- {patch: '{kind: B, metadata: {name: a}}'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that is for B/default/a, which is not among the objects (User)
        "#]],
        ),
        (
            "- {patch: '{kind: A, metadata: {name: a}, spec: []}'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that does not fit A/default/a: at spec: it puts a list where the object has a mapping (User)
        "#]],
        ),
        (
            "- {patch: '{kind: A, metadata: {name: a}, spec: {map: {a: {}}}}'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that does not fit A/default/a: at spec.map.a: it puts a mapping where the object has a scalar (User)
        "#]],
        ),
        (
            "- {patch: '{kind: A, metadata: {name: a}, spec: {$patch: x}}'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that does not fit A/default/a: at spec: its $patch is not merge, replace or delete (User)
        "#]],
        ),
        (
            "- {patch: '[{op: remove, path: /spec/map/a}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that is a JSON patch without a target (User)
        "#]],
        ),
        (
            "- {target: {kind: A}, patch: '[{op: remove, path: /spec/no}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that does not fit A/default/a: operation 1 at /spec/no fails: path is invalid (User)
        "#]],
        ),
        (
            "- {target: {kind: A}, patch: '[{op: jump, path: /spec}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that is no JSON patch: unknown variant `jump`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test` (User)
        "#]],
        ),
        (
            "- {target: {kind: A}, patch: '[{op: remove, path: /kind}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has an entry that spoils A/default/a, which then has no kind (User)
        "#]],
        ),
        (
            "- {target: {kind: A(}, patch: '[{op: remove, path: /spec}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has "A(", which is not a regular expression (User)
        "#]],
        ),
        (
            "- {target: {labelSelector: a b}, patch: '[{op: remove, path: /spec}]'}",
            expect![[r#"
            kustomization.yaml: field "patches" has the label selector "a b", of which "a b" is no requirement (User)
        "#]],
        ),
    ] {
        check(&world(patch), expected);
    }
}

#[test]
fn a_json_patch_cannot_blow_an_object_up() {
    let ops = vec!["{op: copy, from: /spec, path: /spec/map/x}"; 40].join(", ");
    check(
        &format!(
            "==> kustomization.yaml\nresources: [a.yaml]\npatches:\n\
             - {{target: {{kind: A}}, patch: '[{ops}]'}}\n{OBJECT}"
        ),
        expect![[r#"
            kustomization.yaml: field "patches" has an entry that does not fit A/default/a: operation 32 makes the object too large (User)
        "#]],
    );
}

#[test]
fn generators() {
    for (generator, expected) in [
        (
            "{literals: [a=b]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has a generator without a name (User)
        "#]],
        ),
        (
            "{name: a, literals: [a]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which has a literal that is not of the form key=value (User)
        "#]],
        ),
        (
            "{name: a, literals: [=b]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which has a literal that is not of the form key=value (User)
        "#]],
        ),
        (
            "{name: a, literals: [a=b, a=c]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which has the key "a" twice (User)
        "#]],
        ),
        (
            "{name: a, literals: ['a b=c']}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which has the key "a b", which is not a valid one (User)
        "#]],
        ),
        (
            "{name: a, files: [no.txt]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which names the file "no.txt", which does not exist (User)
        "#]],
        ),
        (
            "{name: a, files: [a=b=c]}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a", which has the file "a=b=c", which is not of the form [key=]path (User)
        "#]],
        ),
        (
            "{name: a, envs: [bad.env]}",
            expect![[r#"
                kustomization.yaml: field "configMapGenerator" has generator "a", which has the environment file "bad.env", whose line 2 is not NAME=value (User)
            "#]],
        ),
        (
            "{name: a, behavior: merge}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" is to change ConfigMap/default/a, which does not exist (User)
        "#]],
        ),
        (
            "{name: a, behavior: mix}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" has generator "a" with an unknown behavior (User)
        "#]],
        ),
        (
            "{name: there}",
            expect![[r#"
            kustomization.yaml: field "configMapGenerator" makes ConfigMap/default/there anew; its behavior must be merge or replace (User)
        "#]],
        ),
    ] {
        check(
            &format!(
                "==> kustomization.yaml\nresources: [there.yaml]\nconfigMapGenerator: [{generator}]\n\
                 ==> there.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: there}}\n\
                 ==> bad.env\nA=1\n2B=2\n"
            ),
            expected,
        );
    }
}

#[test]
fn transformers() {
    let world =
        |field: &str| format!("==> kustomization.yaml\nresources: [a.yaml]\n{field}\n{OBJECT}");
    for (field, expected) in [
        (
            "replicas: [{name: a, count: 1}]",
            expect![[r#"
                kustomization.yaml: field "replicas" names "a", which is no workload (User)
            "#]],
        ),
        (
            "images: [{name: 'a(', newTag: x}]",
            expect![[r#"
                kustomization.yaml: field "images" has "a(", which is not a regular expression (User)
            "#]],
        ),
        (
            "sortOptions: {order: upwards}",
            expect![[r#"
            kustomization.yaml: field "sortOptions" has an order that is neither legacy nor fifo (User)
        "#]],
        ),
        (
            "labels: [{pairs: {a: b}, fields: [{path: spec/list, create: true}]}]",
            expect![[r#"
                kustomization.yaml: field "labels" does not fit A/default/a: at spec/list: there is no mapping (User)
            "#]],
        ),
    ] {
        check(&world(field), expected);
    }
    check(
        "==> kustomization.yaml\nnamespace: c\nresources: [a.yaml]\n\
         ==> a.yaml\nkind: A\nmetadata: {name: x, namespace: a}\n---\n\
         kind: A\nmetadata: {name: x, namespace: b}\n",
        expect![[r#"
            kustomization.yaml: field "namespace" gives two objects the name A/c/x (User)
        "#]],
    );
}

#[test]
fn references_that_are_not_clear() {
    check(
        "==> kustomization.yaml
resources: [one, two, role.yaml]
==> one/kustomization.yaml
namespace: a
configMapGenerator: [{name: cm, literals: [a=1]}]
==> two/kustomization.yaml
namespace: b
configMapGenerator: [{name: cm, literals: [a=2]}]
==> role.yaml
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: role}
rules: [{resourceNames: [cm]}]
",
        expect![[r#"
            role.yaml: ClusterRole/role holds a reference that is not clear at rules/resourceNames: "cm" could mean ConfigMap/a/cm-h29d89cmmt or ConfigMap/b/cm-6gtghh96k8 (User)
        "#]],
    );
}

#[test]
fn limits() {
    let world = "==> kustomization.yaml\nresources: [a.yaml, base]\n\
                 ==> a.yaml\nkind: A\nmetadata: {name: a}\n---\nkind: A\nmetadata: {name: b}\n\
                 ==> base/kustomization.yaml\nresources: [b.yaml]\n\
                 ==> base/b.yaml\nkind: B\nmetadata: {name: b}\ntext: 0123456789\n";
    let limits = Limits { objects: 2, ..Limits::default() };
    check_within(
        &limits,
        world,
        expect![[r#"
        base/b.yaml: there are too many objects (the limit is 2) (Refused)
    "#]],
    );
    let limits = Limits { kustomization_depth: 1, ..Limits::default() };
    check_within(
        &limits,
        world,
        expect![[r#"
        kustomization.yaml: kustomizations are nested too deep (the limit is 1) (Refused)
    "#]],
    );
    let limits = Limits { object_bytes: 40, ..Limits::default() };
    check_within(
        &limits,
        world,
        expect![[r#"
        base/b.yaml: B/default/b has too many bytes (the limit is 40) (Refused)
    "#]],
    );
    let limits = Limits { rendered_bytes: 100, ..Limits::default() };
    check_within(
        &limits,
        world,
        expect![[r#"
        kustomization.yaml: the objects have too many bytes together (the limit is 100) (Refused)
    "#]],
    );
    let limits = Limits { manifest_bytes: 50, ..Limits::default() };
    check_within(
        &limits,
        world,
        expect![[r#"
        a.yaml:1: the text has too many bytes (the limit is 50) (Refused)
    "#]],
    );
}

#[test]
fn bases_that_multiply_are_refused() {
    let mut world = String::from("==> kustomization.yaml\nresources: [l0/a, l0/b]\n");
    for level in 0..30 {
        for side in ["a", "b"] {
            let next = level + 1;
            world.push_str(&format!(
                "==> l{level}/{side}/kustomization.yaml\nnamePrefix: {side}-\n\
                 resources: [../../l{next}/a, ../../l{next}/b]\n"
            ));
        }
    }
    world.push_str("==> l30/a/kustomization.yaml\nnamespace: x\n");
    world.push_str("==> l30/b/kustomization.yaml\nnamespace: x\n");
    check(
        &world,
        expect![[r#"
        l28/b/kustomization.yaml: too many kustomizations are included (the limit is 10000) (Refused)
    "#]],
    );
}

#[test]
fn folders() {
    let tree = tree("==> a/b.yaml\nkind: A\n");
    let limits = Limits::default();
    for (path, expected) in [
        (
            "nowhere",
            expect![[
                r#"there is no folder "nowhere" in the source; correct the path, or add the folder"#
            ]],
        ),
        (
            "../a",
            expect![[
                r#"path "../a" leads out of the source; give a path below the root of the source"#
            ]],
        ),
        (
            "a/b.yaml",
            expect![[
                r#"there is no folder "a/b.yaml" in the source; correct the path, or add the folder"#
            ]],
        ),
    ] {
        let err: RenderError = build(&tree, path, &limits).unwrap_err();
        expected.assert_eq(&format!("{err}; {}", err.hint().unwrap_or_default()));
    }
}

#[test]
fn one_sentence_for_many_problems() {
    let err =
        build(&tree("==> kustomization.yaml\nresources: [a, b, c]\n"), "", &Limits::default())
            .unwrap_err();
    expect![[
        r#"kustomization.yaml: field "resources" names "a", which does not exist (and 2 more)"#
    ]]
    .assert_eq(&err.to_string());
}
