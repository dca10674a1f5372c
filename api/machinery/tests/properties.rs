//! Whatever comes in, something sensible comes out.

use fixpoint_api_machinery::table::{Column, Include, table};
use fixpoint_api_machinery::{Crd, FieldSelector, LabelSelector, crd, names, openapi};
use proptest::prelude::*;
use serde_json::{Value, json};

/// JSON whose keys are those that the code under test looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let keys = [
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "generateName",
        "spec",
        "names",
        "group",
        "scope",
        "versions",
        "schema",
        "kind",
        "status",
        "openAPIV3Schema",
        "additionalPrinterColumns",
        "jsonPath",
        "type",
        "conditions",
        "matchLabels",
        "matchExpressions",
        "key",
        "operator",
        "values",
        "data",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(Value::from("In")),
        Just(Value::from(".a[?(@.b==\"c\")]")),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), inner, 0..6)
                .prop_map(|map| {
                    map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                }),
        ]
    })
}

proptest! {
    #[test]
    fn definitions_are_read_or_refused(mut object in any_json()) {
        let _ = Crd::read(&object);
        crd::default(&mut object);
        crd::set_status(&mut object, None, "t1");
        let once = object.clone();
        crd::set_status(&mut object, None, "t2");
        prop_assert_eq!(once, object);
    }

    #[test]
    fn metadata_is_checked(object in any_json(), old in any_json()) {
        let _ = names::validate_metadata(&object, true, names::NameRule::Subdomain);
        let _ = names::validate_metadata_update(&object, &old);
    }

    #[test]
    fn every_object_has_a_row(object in any_json(), columns in any_json(), second in any::<i32>()) {
        let now = jiff::Timestamp::from_second(i64::from(second)).unwrap();
        let columns = columns.as_array().cloned().unwrap_or_default();
        let mut all = Column::from_crd(&columns);
        for kind in ["Namespace", "ConfigMap", "Secret", "Event", "Service", "Other"] {
            all.extend(Column::builtin("", kind));
        }
        let rows = table([&object], &all, Include::Metadata, now);
        prop_assert_eq!(rows["rows"][0]["cells"].as_array().map(Vec::len), Some(all.len()));
    }

    #[test]
    fn printer_columns_take_any_path(path in "[.a-c*\\[\\]?()@='\"0-9:{}$\\\\-]{0,16}", object in any_json()) {
        let column = json!({"name": "x", "type": "string", "jsonPath": path});
        let now = jiff::Timestamp::UNIX_EPOCH;
        table([&object], &Column::from_crd(&[column]), Include::None, now);
    }

    #[test]
    fn selectors_are_read_or_refused(text in "[a-c!=<>,() in.\\\\]{0,20}", object in any_json()) {
        if let Ok(selector) = LabelSelector::parse(&text) {
            selector.matches(&object);
        }
        if let Ok(selector) = FieldSelector::parse(&text, &["a", "b.c"]) {
            selector.matches(&object);
        }
        if let Ok(selector) = LabelSelector::from_json(&object) {
            selector.matches(&object);
        }
    }

    #[test]
    fn generated_names_fit(base in "[a-z-]{0,80}", random in "[a-z0-9]{5}") {
        let name = names::generate_name(&base, &random);
        prop_assert!(name.len() <= 63 && name.ends_with(&random));
    }

    #[test]
    fn documents_take_any_schema(schema in any_json()) {
        let info = openapi::KindInfo { kind: "K", plural: "ks", namespaced: true, status: true };
        let document = openapi::document("a.b", "v1", &[(info, Some(&schema))]);
        prop_assert!(document["components"]["schemas"]["b.a.v1.K"].is_object());
    }
}
