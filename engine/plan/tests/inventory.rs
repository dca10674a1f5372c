//! Inventories, to Flux's form and back.

use expect_test::expect;
use fixpoint_base::{Gvk, Key};
use fixpoint_plan::Inventory;
use fixpoint_plan::inventory::Entry;
use proptest::prelude::*;

fn entry(id: &str, v: &str) -> Entry {
    Entry { id: id.to_owned(), v: v.to_owned() }
}

#[test]
fn entries_as_flux_writes_them() {
    let entries = [
        entry("_mycrds.example.org_apiextensions.k8s.io_CustomResourceDefinition", "v1"),
        entry("_system__node_rbac.authorization.k8s.io_ClusterRole", "v1"),
        entry("default_cm__ConfigMap", "v1"),
        entry("shop_web_apps_Deployment", "v1"),
    ];
    let (inventory, bad) = Inventory::from_entries(&entries);
    assert!(bad.is_empty());
    let keys: Vec<String> =
        inventory.keys().map(|key| format!("{} {key}", key.gvk.api_version())).collect();
    expect![[r#"
        v1 ConfigMap/default/cm
        apiextensions.k8s.io/v1 CustomResourceDefinition/mycrds.example.org
        apps/v1 Deployment/shop/web
        rbac.authorization.k8s.io/v1 ClusterRole/system:node"#]]
    .assert_eq(&keys.join("\n"));
    let mut back = inventory.entries();
    back.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(back, entries);
}

#[test]
fn an_entry_that_names_no_object_is_reported_and_left_out() {
    let bad = [
        entry("", "v1"),
        entry("a_b", "v1"),
        entry("a__apps_Deployment", "v1"),
        entry("a_.._apps_Deployment", "v1"),
        entry("a_b_apps_Deployment", "v1/../.."),
        entry("a_b/c_apps_Deployment", "v1"),
    ];
    let (inventory, problems) = Inventory::from_entries(&bad);
    assert!(inventory.is_empty());
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect![[r#"
        the inventory entry "" names no object: it is not of the form namespace_name_group_Kind
        the inventory entry "a_b" names no object: it is not of the form namespace_name_group_Kind
        the inventory entry "a__apps_Deployment" names no object: the name "" cannot be part of a path
        the inventory entry "a_.._apps_Deployment" names no object: the name ".." cannot be part of a path
        the inventory entry "a_b_apps_Deployment" names no object: the API version "v1/../.." is not a word like v1
        the inventory entry "a_b/c_apps_Deployment" names no object: the name "b/c" cannot be part of a path"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn sets_go_by_what_an_object_is_and_not_by_its_version() {
    let of = |ids: &[(&str, &str)]| {
        let entries: Vec<Entry> = ids.iter().map(|(id, v)| entry(id, v)).collect();
        Inventory::from_entries(&entries).0
    };
    let old = of(&[("n_a_g_K", "v1"), ("n_b_g_K", "v1")]);
    let new = of(&[("n_a_g_K", "v2"), ("n_c_g_K", "v2")]);
    assert_eq!(old.difference(&new), of(&[("n_b_g_K", "v1")]));
    assert_eq!(old.union(&new), of(&[("n_a_g_K", "v2"), ("n_b_g_K", "v1"), ("n_c_g_K", "v2")]));
}

proptest! {
    #[test]
    fn every_object_comes_back(
        namespace in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?|",
        name in "[a-z0-9:._-]{0,5}[a-z0-9]",
        group in "[a-z]{1,5}\\.[a-z]{1,3}|apps|",
        kind in "[A-Z][a-zA-Z]{0,12}",
    ) {
        let key = Key::new(Gvk::new(group, "v1", kind), namespace, name);
        let inventory = Inventory::from_iter([&key]);
        let (back, bad) = Inventory::from_entries(&inventory.entries());
        prop_assert!(bad.is_empty(), "{bad:?}");
        prop_assert_eq!(back.keys().collect::<Vec<_>>(), vec![key]);
    }

    #[test]
    fn no_text_makes_it_panic(id in ".{0,40}", v in ".{0,10}") {
        let (inventory, bad) = Inventory::from_entries(&[Entry { id, v }]);
        prop_assert_eq!(inventory.len() + bad.len(), 1);
    }
}
