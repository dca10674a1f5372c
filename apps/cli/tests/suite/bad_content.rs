//! Content that cannot be delivered (rows D5, D6, D8, E7): each says what is wrong, the last good
//! state stays live, nothing is pruned, and the neighbour goes on.

use expect_test::{Expect, expect};

use crate::harness::{Scene, config_map, delivery, message, ready};

/// Commits files, expects that the delivery is refused with these words, and that a mended commit
/// converges.
#[track_caller]
fn check(files: &[(&str, &str)], words: &str, expected: &Expect) {
    let scene = Scene::new();
    scene.shop.commit(files);
    let text = scene.refused("Kustomization", "shop", words);
    expected.assert_eq(&text);
    scene.last_good_stays();
    scene.event("Kustomization", "shop", words.split('\n').next().unwrap());
    for (path, _) in files {
        scene.shop.remove(path);
    }
    scene.mends();
}

#[test]
fn a_yaml_bomb() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 'b'..='k' {
        let below = char::from(u8::try_from(level).unwrap() - 1);
        let items = vec![format!("*{below}"); 10].join(", ");
        bomb.push_str(&format!("{level}: &{level} [{items}]\n"));
    }
    check(
        &[("deploy/bomb.yaml", &bomb)],
        "bomb.yaml",
        &expect![
            "deploy/bomb.yaml:6: the document has too many values (the limit is 250000) (aliases count as what they stand for; split the document)"
        ],
    );
}

#[test]
fn deeply_nested_yaml() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    check(
        &[("deploy/deep.yaml", &deep)],
        "deep.yaml",
        &expect![
            "deploy/deep.yaml:1: the nesting is too deep (the limit is 64) (split the file; `fixpoint build --limits off` reads it all the same)"
        ],
    );
}

#[test]
fn yaml_that_is_broken_or_ambiguous() {
    let twice = format!("{}  state: other\n", config_map("twice", "one"));
    check(
        &[("deploy/twice.yaml", &twice)],
        "twice.yaml",
        &expect![[r#"deploy/twice.yaml:8: key "state" is there twice (remove one of the two)"#]],
    );
    check(
        &[("deploy/broken.yaml", "a: [b\n")],
        "broken.yaml",
        &expect!["deploy/broken.yaml:1: unclosed bracket '['"],
    );
}

#[test]
fn a_kustomization_that_leads_nowhere() {
    let gone = "resources: [shop.yaml, kept.yaml, gone.yaml]\n";
    check(
        &[("deploy/kustomization.yaml", gone)],
        "gone.yaml",
        &expect![[
            r#"deploy/kustomization.yaml: field "resources" names "gone.yaml", which does not exist (add the file, or remove the entry)"#
        ]],
    );
    let out = "resources: [shop.yaml, kept.yaml, ../../../../etc]\n";
    check(
        &[("deploy/kustomization.yaml", out)],
        "../../../../etc",
        &expect![[
            r#"deploy/kustomization.yaml: field "resources" names "../../../../etc", which does not exist (add the file, or remove the entry)"#
        ]],
    );
    let remote = "resources: [shop.yaml, kept.yaml, 'https://example.org/base?ref=v1']\n";
    check(
        &[("deploy/kustomization.yaml", remote)],
        "example.org",
        &expect![[
            r#"deploy/kustomization.yaml: field "resources" names "https://example.org/base?ref=v1", which is not in the source (copy it into the source: a render never fetches)"#
        ]],
    );
    let circle = "resources: [shop.yaml, kept.yaml, ../deploy]\n";
    check(
        &[("deploy/kustomization.yaml", circle)],
        "deploy",
        &expect![[
            r#"deploy/kustomization.yaml: field "resources" names "../deploy", which is a cycle (a kustomization cannot include a folder that includes it)"#
        ]],
    );
}

#[test]
fn an_invalid_object_next_to_valid_ones() {
    let scene = Scene::new();
    let bad = config_map("Not_A_Name", "x");
    let wrong = config_map("wrong", "x").replace("  state: x\n", "  state: [1, 2]\n");
    scene.shop.commit(&[
        ("deploy/bad.yaml", &bad),
        ("deploy/new.yaml", &config_map("shop-new", "good")),
        ("deploy/wrong.yaml", &wrong),
    ]);
    let text = scene.refused("Kustomization", "shop", "Not_A_Name");
    expect![[r#"
        ConfigMap/default/Not_A_Name: could not apply ConfigMap/default/Not_A_Name: it is not valid: ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') (correct the manifest in the source)
        ConfigMap/default/wrong: could not apply ConfigMap/default/wrong: it is not valid: ConfigMap "wrong" is invalid: data[state]: Invalid value: [1,2]: must be a string (correct the manifest in the source)"#]].assert_eq(&text);
    // The valid ones are applied all the same.
    scene.engine.api().wait("ConfigMap", "shop-new", "be there", |_| true);
    scene.last_good_stays();
    scene.shop.remove("deploy/bad.yaml");
    scene.shop.remove("deploy/wrong.yaml");
    scene.mends();
}

#[test]
fn a_kind_that_nobody_knows() {
    let scene = Scene::new();
    let unknown = "apiVersion: example.org/v1\nkind: Whatever\n\
        metadata: {name: w, namespace: default}\n";
    scene.shop.write(&[("deploy/unknown.yaml", unknown)]);
    scene.shop.remove("deploy/kept.yaml");
    scene.shop.commit_as("something unknown, and something less");
    let text = scene.refused("Kustomization", "shop", "Whatever");
    expect![[r#"
        ConfigMap/default/shop-kept: not everything could be applied
        Whatever/default/w: waits for the definition of Whatever.example.org/v1"#]]
    .assert_eq(&text);
    // While something wanted cannot even be tried, nothing is pruned.
    scene.last_good_stays();
    scene.shop.remove("deploy/unknown.yaml");
    let commit = scene.shop.commit_as("only less");
    scene.converges("shop", &commit);
    scene.engine.api().wait_gone("ConfigMap", "shop-kept");
}

#[test]
fn paths_that_are_missing_or_empty() {
    let scene = Scene::new();
    let api = scene.engine.api();
    api.apply(&delivery("shop", "shop", "./nowhere"));
    let text = scene.refused("Kustomization", "shop", "nowhere");
    expect![[
        r#"there is no folder "./nowhere" in the source (correct the path, or add the folder)"#
    ]]
    .assert_eq(&text);
    scene.last_good_stays();
    api.apply(&delivery("shop", "shop", "../../etc"));
    let text = scene.refused("Kustomization", "shop", "etc");
    expect![[
        r#"path "../../etc" leads out of the source (give a path below the root of the source)"#
    ]]
    .assert_eq(&text);
    scene.last_good_stays();

    // A folder that suddenly delivers nothing is asked about, not obeyed.
    api.apply(&delivery("shop", "shop", "./deploy"));
    scene.shop.git(&["rm", "--quiet", "-r", "deploy"]);
    scene.shop.commit(&[("deploy/.gitkeep", "")]);
    let text = scene.refused("Kustomization", "shop", "[ack ");
    expect!["2 deletions held: the rendering is empty [ack ACK]"].assert_eq(&text);
    scene.last_good_stays();
    scene.mends();
}

#[test]
fn two_deliveries_that_want_the_same_object() {
    let scene = Scene::new();
    let api = scene.engine.api();
    let uid = api.get("ConfigMap", "shop").unwrap()["metadata"]["uid"].clone();
    scene.neighbour.commit(&[("thief/shop.yaml", &config_map("shop", "stolen"))]);
    api.apply(&delivery("thief", "neighbour", "./thief"));
    let text = scene.refused("Kustomization", "thief", "ConfigMap/default/shop");
    expect!["ConfigMap/default/shop: belongs to Kustomization/default/shop"].assert_eq(&text);
    scene.last_good_stays();
    // The thief goes away, and takes nothing with it that is not its own.
    let path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations/thief";
    api.send("DELETE", path, "application/json", String::new()).unwrap().granted();
    api.wait_gone("Kustomization", "thief");
    assert_eq!(api.get("ConfigMap", "shop").unwrap()["metadata"]["uid"], uid);
    scene.last_good_stays();
}

#[test]
fn deliveries_that_wait_for_each_other() {
    let scene = Scene::new();
    let api = scene.engine.api();
    let after = |name: &str, other: &str| {
        format!("{}  dependsOn:\n    - name: {other}\n", delivery(name, "shop", "./deploy"))
    };
    api.apply(&after("shop", "two"));
    api.apply(&after("two", "three"));
    api.apply(&after("three", "shop"));
    let text = scene.refused("Kustomization", "shop", "circle");
    expect!["the dependencies go round in a circle: default/shop → default/two → default/three → default/shop"].assert_eq(&text);
    scene.refused("Kustomization", "two", "circle");
    scene.refused("Kustomization", "three", "circle");
    scene.last_good_stays();
    api.apply(&delivery("shop", "shop", "./deploy"));
    scene.mends();
}

#[test]
fn a_run_that_would_delete_most_of_what_there_is_asks_first() {
    let scene = Scene::new();
    let names: Vec<String> = (0..24).map(|n| format!("many-{n:02}")).collect();
    let all: String = names.iter().map(|name| format!("---\n{}", config_map(name, "x"))).collect();
    let commit = scene.shop.commit(&[("deploy/many.yaml", &all)]);
    scene.converges("shop", &commit);
    scene.shop.remove("deploy/many.yaml");
    let commit = scene.shop.commit_as("fewer");
    let text = scene.refused("Kustomization", "shop", "[ack ");
    expect!["24 deletions held: more than 20 objects, more than 10 % of 26 objects [ack ACK]"]
        .assert_eq(&text);
    for name in &names {
        assert!(scene.engine.api().get("ConfigMap", name).is_some(), "{name} was pruned");
    }
    scene.last_good_stays();
    scene.home.run_for(0, &["ack", "ks/shop", "--reason", "they are not needed"]);
    scene.converges("shop", &commit);
    scene.engine.api().wait_gone("ConfigMap", "many-23");
    scene.last_good_stays();
}

#[test]
fn an_object_somebody_else_made_is_never_deleted() {
    let scene = Scene::new();
    let api = scene.engine.api();
    // It carries the labels of the delivery, which anybody can write; the inventory has it not.
    let labels = "kustomize.toolkit.fluxcd.io/name: shop, \
        kustomize.toolkit.fluxcd.io/namespace: default";
    let forged = config_map("forged", "x").replace(
        "  namespace: default\n",
        &format!("  namespace: default\n  labels: {{{labels}}}\n"),
    );
    api.apply(&forged);
    // An object that was delivered, deleted and made again by hand is another object.
    let commit = scene.shop.commit(&[("deploy/extra.yaml", &config_map("extra", "ours"))]);
    scene.converges("shop", &commit);
    scene.home.run_for(0, &["suspend", "ks/shop"]);
    let path = "/api/v1/namespaces/default/configmaps/extra";
    api.send("DELETE", path, "application/json", String::new()).unwrap().granted();
    api.apply(&config_map("extra", "theirs"));
    scene.shop.remove("deploy/extra.yaml");
    let commit = scene.shop.commit_as("less");
    scene.home.run_for(0, &["resume", "ks/shop"]);
    scene.home.run(&["reconcile", "ks/shop", "--with-source"]);
    assert!(api.get("ConfigMap", "forged").is_some(), "an object with forged labels was pruned");
    let extra = api.get("ConfigMap", "extra").expect("somebody else's object was pruned");
    assert_eq!(extra["data"]["state"], "theirs");
    let delivery = api.get("Kustomization", "shop").unwrap();
    let said = format!("{} {} {commit}", ready(&delivery), message(&delivery));
    assert!(!said.contains("panick"), "{said}");
    scene.last_good_stays();
}
