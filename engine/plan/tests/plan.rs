//! Worlds in, plans out.
//!
//! A line of a world is `SIGN Kind/[namespace/]name  words`. `=` is wanted, `@` is live, `#` is
//! recorded in the inventory and gone, `%` sets the policy.
//!
//! Words of `=`: `vN` the content, and controls `disabled ignore ifnotpresent merge force`.
//! Words of `@`: `vN` the content last applied, `us` or `them` or `nobody` for the labels, `new`
//! when not in the inventory, `fresh` when no apply is remembered, `drifted`, `kubectl`, `reborn`,
//! `deleting`, `keep`, `disabled`, `ignore`, `merge`, `unreadable`, `unknown-kind`, `claimed`,
//! `awaited`.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use fixpoint_base::{Digest, Gvk, Key, Limits};
use fixpoint_plan::{
    Applied, Controls, DesiredSet, Id, Inventory, Live, LiveObject, LiveSet, Memory, Options,
    Owner, Plan, PlanForm, Policy, Scopes, Ssa, plan,
};
use serde_json::{Value, json};

fn us() -> Owner {
    Owner::kustomization("flux-system", "apps")
}

fn them() -> Owner {
    Owner::kustomization("flux-system", "other")
}

fn key(text: &str) -> Key {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts[..] {
        [kind, name] => (kind, "", name),
        [kind, namespace, name] => (kind, namespace, name),
        _ => panic!("{text} names no object"),
    };
    let group = match kind {
        "Deployment" => "apps",
        "ClusterRole" => "rbac.authorization.k8s.io",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        "Widget" => "example.org",
        _ => "",
    };
    Key::new(Gvk::new(group, "v1", kind), namespace, name)
}

fn object(key: &Key, words: &[&str]) -> Value {
    let content = words.iter().find(|word| word.starts_with('v')).copied().unwrap_or("v1");
    let mut annotations = BTreeMap::new();
    for word in words {
        let (control, value) = match *word {
            "disabled" => ("reconcile", "disabled"),
            "ignore" => ("ssa", "Ignore"),
            "ifnotpresent" => ("ssa", "IfNotPresent"),
            "merge" => ("ssa", "Merge"),
            "force" => ("force", "enabled"),
            _ => continue,
        };
        annotations.insert(format!("kustomize.toolkit.fluxcd.io/{control}"), value);
    }
    let mut object = json!({
        "apiVersion": key.gvk.api_version(),
        "kind": key.gvk.kind,
        "metadata": {"name": key.name, "annotations": annotations},
        "spec": {"content": content, "group": "example.org", "names": {"kind": "Widget"}},
    });
    if !key.namespace.is_empty() {
        object["metadata"]["namespace"] = key.namespace.clone().into();
    }
    object
}

fn desired(objects: Vec<Value>) -> (DesiredSet, Vec<fixpoint_plan::Problem>) {
    let (none, limits) = (BTreeMap::new(), Limits::default());
    let options = Options {
        revision: "main@sha1:1",
        common_labels: &none,
        common_annotations: &none,
        limits: &limits,
        secret_key: b"key",
        scopes: &Scopes::default(),
    };
    DesiredSet::new(&us(), objects, options)
}

/// The digest that `object` would have if it were rendered.
fn rendered(key: &Key, words: &[&str]) -> Digest {
    desired(vec![object(key, words)]).0.objects()[0].digest
}

#[derive(Default)]
struct World {
    wanted: Vec<Value>,
    live: LiveSet,
    inventory: Inventory,
    memory: Memory,
    policy: Policy,
}

impl World {
    fn read(text: &str) -> Self {
        let mut world = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "%" => world.allow(words[1]),
                "=" => world.want(&key(words[1]), &words[2..]),
                "@" => world.have(&key(words[1]), &words[2..]),
                "#" => world.lost(&key(words[1])),
                sign => panic!("unknown sign {sign}"),
            }
        }
        world
    }

    fn allow(&mut self, word: &str) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("no-prune", _) => self.policy.prune = false,
            ("force", _) => self.policy.force = true,
            ("finalizing", _) => self.policy.finalizing = true,
            ("engine", name) => {
                self.policy.engine.insert(Id::from(&key(name)));
            }
            ("ack", id) => self.policy.acknowledged = Some(id.to_owned()),
            (word, _) => panic!("unknown policy {word}"),
        }
    }

    fn want(&mut self, key: &Key, words: &[&str]) {
        self.wanted.push(object(key, words));
        if self.live.get(key).is_none() {
            self.live.insert(key, Live::Absent);
        }
    }

    fn lost(&mut self, key: &Key) {
        self.inventory.insert(key);
        self.live.insert(key, Live::Absent);
    }

    fn have(&mut self, key: &Key, words: &[&str]) {
        let is = |word: &str| words.contains(&word);
        let uid = format!("uid-{}", key.name);
        if !is("new") {
            self.inventory.insert(key);
        }
        if is("claimed") {
            self.policy.claims.insert(Id::from(key), them());
        }
        if is("awaited") {
            self.policy.awaited.insert(Id::from(key), them());
        }
        if !is("fresh") && !is("new") {
            let rendered = rendered(key, words);
            let applied =
                Applied { rendered, owned: Some(Digest::of(b"as applied")), uid: uid.clone() };
            self.memory.insert(key, applied);
        }
        let live = if is("unreadable") {
            Live::Unreadable { reason: "may not read".to_owned() }
        } else if is("unknown-kind") {
            Live::UnknownKind
        } else {
            Live::Object(LiveObject {
                uid: if is("reborn") { "another".to_owned() } else { uid },
                resource_version: "1".to_owned(),
                owner: if is("them") { Some(them()) } else { is("us").then(us) },
                owned: Some(Digest::of(if is("drifted") { b"other" } else { b"as applied" })),
                edited_by: if is("kubectl") { vec!["kubectl-edit".to_owned()] } else { Vec::new() },
                controls: Controls {
                    reconcile_disabled: is("disabled"),
                    ssa: if is("ignore") {
                        Ssa::Ignore
                    } else if is("merge") {
                        Ssa::Merge
                    } else {
                        Ssa::Override
                    },
                    force: is("force"),
                    prune_disabled: is("keep"),
                },
                deleting: is("deleting"),
                look: Digest::of(b""),
            })
        };
        self.live.insert(key, live);
    }

    fn plan(self) -> Plan {
        let (desired, _) = desired(self.wanted);
        plan(&us(), &desired, &self.live, &self.inventory, &self.policy, &self.memory)
    }
}

fn check(world: &str, want: Expect) {
    want.assert_eq(&World::read(world).plan().to_string());
}

#[test]
fn creates_what_is_missing_in_order() {
    check(
        "
        = Deployment/shop/web
        = ConfigMap/shop/settings
        = Widget/shop/w
        = CustomResourceDefinition/widgets.example.org
        = Namespace/shop
        = ClusterRole/reader
        ",
        expect![[r#"
            + CustomResourceDefinition/widgets.example.org
            + Namespace/shop
            + ClusterRole/reader
            + ConfigMap/shop/settings
            + Deployment/shop/web
            + Widget/shop/w
        "#]],
    );
}

#[test]
fn prunes_only_what_we_own() {
    check(
        "
        = Deployment/a/web    v2
        @ Deployment/a/web    v1 us
        @ Service/a/old       us
        @ Service/a/theirs    them
        @ Service/a/nobodys
        @ Volume/a/data       us keep
        @ Volume/a/paused     us disabled
        @ Volume/a/ignored    us ignore
        @ Volume/a/stranger   us new
        # Volume/a/gone
        ",
        expect![[r#"
            ~ Deployment/a/web
            - Service/a/old
            ! Service/a/nobodys  held: not ours
            ! Service/a/theirs  held: not ours but Kustomization/flux-system/other's
            ! Volume/a/data  held: deletion is protected
            ! Volume/a/ignored  held: apply is set to Ignore
            ! Volume/a/paused  held: reconciliation is disabled
        "#]],
    );
}

#[test]
fn leaves_alone_what_its_last_apply_left() {
    check("= ConfigMap/a/b v1\n@ ConfigMap/a/b v1 us", expect![""]);
}

#[test]
fn says_why_it_applies() {
    check(
        "
        = ConfigMap/a/changed  v2
        @ ConfigMap/a/changed  v1 us
        = ConfigMap/a/drifted
        @ ConfigMap/a/drifted  us drifted
        = ConfigMap/a/edited
        @ ConfigMap/a/edited   us drifted kubectl
        = ConfigMap/a/added-to
        @ ConfigMap/a/added-to us kubectl
        = ConfigMap/a/reborn
        @ ConfigMap/a/reborn   us reborn
        = ConfigMap/a/first
        @ ConfigMap/a/first    us fresh
        = ConfigMap/a/adopted
        @ ConfigMap/a/adopted  new
        ",
        expect![[r#"
            ~ ConfigMap/a/added-to  live differs: edited by kubectl-edit
            ~ ConfigMap/a/adopted  not applied by this engine yet
            ~ ConfigMap/a/changed
            ~ ConfigMap/a/drifted  live differs
            ~ ConfigMap/a/edited  live differs: edited by kubectl-edit
            ~ ConfigMap/a/first  not applied by this engine yet
            ~ ConfigMap/a/reborn  was made again by somebody else
        "#]],
    );
}

#[test]
fn merge_leaves_peoples_fields() {
    check(
        "
        = ConfigMap/a/wanted  merge
        @ ConfigMap/a/wanted  merge us kubectl
        = ConfigMap/a/live
        @ ConfigMap/a/live    us kubectl
        ",
        expect![[r#"
            ~ ConfigMap/a/live  live differs: edited by kubectl-edit
        "#]],
    );
}

#[test]
fn objects_say_how_they_want_to_be_treated() {
    check(
        "
        = ConfigMap/a/disabled      v2 disabled
        @ ConfigMap/a/disabled      v1 us
        = ConfigMap/a/ignored       v2 ignore
        @ ConfigMap/a/ignored       v1 us
        = ConfigMap/a/once          v2 ifnotpresent
        @ ConfigMap/a/once          v1 us
        = ConfigMap/a/once-new      ifnotpresent
        = ConfigMap/a/live-disabled v2
        @ ConfigMap/a/live-disabled v1 us disabled
        = ConfigMap/a/forced        v2 force
        @ ConfigMap/a/forced        v1 us
        = ConfigMap/a/leaving       v2
        @ ConfigMap/a/leaving       v1 us deleting
        ",
        expect![[r#"
            ± ConfigMap/a/forced
            + ConfigMap/a/once-new
            ! ConfigMap/a/disabled  held: reconciliation is disabled
            ! ConfigMap/a/ignored  held: apply is set to Ignore
            ! ConfigMap/a/leaving  held: is being deleted
            ! ConfigMap/a/live-disabled  held: reconciliation is disabled
            ! ConfigMap/a/once  held: apply is set to IfNotPresent
        "#]],
    );
}

#[test]
fn an_object_stays_with_a_delivery_that_claims_it_and_moves_when_it_lets_go() {
    check(
        "
        = ConfigMap/a/held   v2
        @ ConfigMap/a/held   v1 them new claimed
        = ConfigMap/a/moves
        @ ConfigMap/a/moves  them
        @ ConfigMap/a/leaves us awaited
        ",
        expect![[r#"
            ~ ConfigMap/a/moves  taken over from Kustomization/flux-system/other
            ! ConfigMap/a/held  held: belongs to Kustomization/flux-system/other
            ! ConfigMap/a/leaves  held: Kustomization/flux-system/other takes it over
        "#]],
    );
}

#[test]
fn what_cannot_be_seen_is_not_touched_and_nothing_is_deleted_meanwhile() {
    check(
        "
        = ConfigMap/a/hidden v2
        @ ConfigMap/a/hidden v1 us unreadable
        = ConfigMap/a/seen   v2
        @ ConfigMap/a/seen   v1 us
        @ ConfigMap/a/old    us
        @ ConfigMap/a/older  us unreadable
        ",
        expect![[r#"
            ~ ConfigMap/a/seen
            ! ConfigMap/a/hidden  held: could not be read: may not read
            ! ConfigMap/a/old  held: not everything could be applied
            ! ConfigMap/a/older  held: could not be read: may not read
        "#]],
    );
}

#[test]
fn an_unreadable_leftover_does_not_keep_others_from_going() {
    check(
        "
        = ConfigMap/a/a
        @ ConfigMap/a/a    us
        @ ConfigMap/a/old  us
        @ ConfigMap/a/lost us unreadable
        ",
        expect![[r#"
            - ConfigMap/a/old
            ! ConfigMap/a/lost  held: could not be read: may not read
        "#]],
    );
}

#[test]
fn a_kind_that_is_unknown_waits_unless_its_definition_comes_along() {
    check(
        "= Widget/a/w\n@ Widget/a/w new unknown-kind\n@ ConfigMap/a/old us",
        expect![[r#"
            ! ConfigMap/a/old  held: not everything could be applied
            ! Widget/a/w  held: waits for the definition of Widget.example.org/v1
        "#]],
    );
    check(
        "
        = CustomResourceDefinition/widgets.example.org
        = Widget/a/w
        @ Widget/a/w new unknown-kind
        ",
        expect![[r#"
            + CustomResourceDefinition/widgets.example.org
            + Widget/a/w
        "#]],
    );
}

#[test]
fn a_leftover_of_an_unknown_kind_is_gone() {
    check("= ConfigMap/a/a\n@ ConfigMap/a/a us\n@ Widget/a/w us unknown-kind", expect![""]);
}

#[test]
fn without_pruning_objects_are_let_go() {
    check(
        "% no-prune\n= ConfigMap/a/a\n@ ConfigMap/a/a us\n@ ConfigMap/a/old us",
        expect![[r#"
            ! ConfigMap/a/old  held: pruning is off
        "#]],
    );
}

#[test]
fn an_empty_render_asks() {
    check(
        "@ ConfigMap/a/b us",
        expect![[r#"
            ! ConfigMap/a/b  held: deletion waits for 2b8a7b7f4755
            1 deletion held: the rendering is empty; acknowledge 2b8a7b7f4755
        "#]],
    );
}

#[test]
fn an_acknowledged_deletion_goes_and_only_that() {
    let guard = World::read("@ ConfigMap/a/b us").plan().guard.unwrap().id;
    check(
        &format!("% ack={guard}\n@ ConfigMap/a/b us"),
        expect![[r#"
            - ConfigMap/a/b
        "#]],
    );
    let more =
        World::read(&format!("% ack={guard}\n@ ConfigMap/a/b us\n@ ConfigMap/a/c us")).plan();
    assert!(more.steps.is_empty() && more.guard.is_some_and(|more| more.id != guard));
}

#[test]
fn definitions_and_namespaces_ask() {
    check(
        "
        = ConfigMap/a/a
        @ ConfigMap/a/a us
        @ ConfigMap/a/old us
        @ Namespace/shop us
        @ CustomResourceDefinition/widgets.example.org us
        ",
        expect![[r#"
            ! ConfigMap/a/old  held: deletion waits for 2a41dc468f43
            ! Namespace/shop  held: deletion waits for 2a41dc468f43
            ! CustomResourceDefinition/widgets.example.org  held: deletion waits for 2a41dc468f43
            3 deletions held: Namespace/shop takes everything inside with it, CustomResourceDefinition/widgets.example.org takes every object of its kind with it; acknowledge 2a41dc468f43
        "#]],
    );
}

fn many(kept: usize, old: usize) -> World {
    let kept = (0..kept).map(|n| format!("= ConfigMap/a/k{n}\n@ ConfigMap/a/k{n} us\n"));
    let old = (0..old).map(|n| format!("@ ConfigMap/a/o{n} us\n"));
    World::read(&kept.chain(old).collect::<String>())
}

#[test]
fn a_large_deletion_asks() {
    let guard =
        |kept, old| many(kept, old).plan().guard.map(|guard| format!("{:?}", guard.reasons));
    assert_eq!(guard(1, 19), None, "a small delivery may lose most of itself");
    assert_eq!(guard(18, 2), None);
    assert_eq!(guard(90, 10), None, "a tenth is within the budget");
    assert_eq!(guard(89, 11), Some("[Share { limit: 10, of: 100 }]".to_owned()));
    assert_eq!(guard(300, 20), None);
    assert_eq!(guard(300, 21), Some("[Count { limit: 20 }]".to_owned()));
}

#[test]
fn deleting_the_delivery_is_not_guarded_and_goes_backwards() {
    check(
        "
        % finalizing
        @ Namespace/shop us
        @ ConfigMap/shop/a us
        @ Deployment/shop/b us
        @ CustomResourceDefinition/widgets.example.org us
        @ Widget/shop/w us
        ",
        expect![[r#"
            - Widget/shop/w
            - Deployment/shop/b
            - ConfigMap/shop/a
            - Namespace/shop
            - CustomResourceDefinition/widgets.example.org
        "#]],
    );
}

#[test]
fn from_an_incomplete_rendering_nothing_is_deleted() {
    let mut world = World::read("= ConfigMap/a/a\n@ ConfigMap/a/a us\n@ ConfigMap/a/old us");
    world.wanted.push(json!({"kind": "ConfigMap"}));
    expect![[r#"
        ! ConfigMap/a/old  held: not everything could be rendered
    "#]]
    .assert_eq(&world.plan().to_string());
}

#[test]
fn steps_need_what_comes_with_them() {
    let plan = World::read(
        "
        = CustomResourceDefinition/widgets.example.org v2
        @ CustomResourceDefinition/widgets.example.org v1 us
        = Namespace/shop
        @ Namespace/shop us
        = Widget/shop/w
        ",
    )
    .plan();
    let needs: Vec<String> = plan.steps[1].needs.iter().map(ToString::to_string).collect();
    assert_eq!(needs, ["CustomResourceDefinition/widgets.example.org"], "the namespace is there");
}

#[test]
fn the_basis_is_what_we_own_and_want() {
    let world = "= ConfigMap/a/a v2\n@ ConfigMap/a/a v1 us";
    let before = World::read(world).plan();
    let mut later = World::read(world);
    let Some(Live::Object(live)) = later.live.get(&key("ConfigMap/a/a")).cloned() else { panic!() };
    let newer = LiveObject { resource_version: "9".to_owned(), look: Digest::of(b"x"), ..live };
    later.live.insert(&key("ConfigMap/a/a"), Live::Object(newer));
    let later = later.plan();
    assert_eq!((before.basis, before.id()), (later.basis, later.id()));
    for other in [
        "= ConfigMap/a/a v3\n@ ConfigMap/a/a v1 us",
        "= ConfigMap/a/a v2\n@ ConfigMap/a/a v1 us drifted",
        "= ConfigMap/a/a v2\n@ ConfigMap/a/a v1 us reborn",
        "= ConfigMap/a/a v2",
    ] {
        let other = World::read(other).plan();
        assert_ne!(before.basis, other.basis);
        assert_ne!(before.id(), other.id());
    }
}

#[test]
fn a_plan_has_a_form_for_others() {
    let plan = World::read("= ConfigMap/a/a v2\n@ ConfigMap/a/a v1 us\n@ Namespace/shop us").plan();
    let form = serde_json::to_string_pretty(&PlanForm::from(&plan)).unwrap();
    expect![[r#"
        {
          "version": 1,
          "id": "sha256:7e37b8ffc0b8047894c7fca5f1f3574abf9a748c8a6a457b52281944829a5f8a",
          "owner": "Kustomization/flux-system/apps",
          "revision": "main@sha1:1",
          "basis": "sha256:89117a7257406704446af2e4859bc0fb67d01469b068dc855a1ba3bb4ab20c4b",
          "steps": [
            {
              "verb": "apply",
              "apiVersion": "v1",
              "object": "ConfigMap/a/a",
              "why": "changed in the source"
            }
          ],
          "left": [
            {
              "apiVersion": "v1",
              "object": "Namespace/shop",
              "hold": "GuardedDeletion",
              "why": "deletion waits for 12adf0727f06"
            }
          ],
          "guard": {
            "id": "12adf0727f06",
            "count": 1,
            "reasons": [
              "Namespace/shop takes everything inside with it"
            ]
          }
        }"#]]
    .assert_eq(&form);
    let back: PlanForm = serde_json::from_str(&form).unwrap();
    assert_eq!(back, PlanForm::from(&plan));
}

#[test]
fn what_the_engine_keeps_is_nobodys_to_change_or_prune() {
    check(
        "
        % engine=CustomResourceDefinition/gitrepositories
        % engine=CustomResourceDefinition/kustomizations
        % finalizing
        = CustomResourceDefinition/gitrepositories  v2
        @ CustomResourceDefinition/gitrepositories  v1 us
        @ CustomResourceDefinition/kustomizations   v1 us
        @ CustomResourceDefinition/others           v1 us
        ",
        expect![[r#"
            - CustomResourceDefinition/others
            ! CustomResourceDefinition/gitrepositories  held: belongs to the engine itself
            ! CustomResourceDefinition/kustomizations  held: belongs to the engine itself
        "#]],
    );
}
