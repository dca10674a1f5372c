//! Any bytes are read or refused; any value is written so that it reads back.

use fixpoint_base::Limits;
use fixpoint_yaml::{Dialect, parse, parse_as, to_string};
use proptest::prelude::*;
use serde_json::Value;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 :#'\"\\\\\\n\\t{}\\[\\],&*!|>%@`?.~<=+_-]{0,30}",
        any::<String>(),
        Just("yes".to_owned()),
        "[0-9+.:eExob_-]{1,8}",
        "(word ){10,40}[a-z]?",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|float: f64| Value::from(float + 0.5)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in value()) {
        let text = to_string(&value);
        let expected = if value.is_null() { vec![] } else { vec![value] };
        prop_assert_eq!(parse(text.as_bytes(), &Limits::off()).unwrap(), expected, "{}", text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &Limits::default());
    }

    #[test]
    fn any_text_is_read_or_refused(parts in prop::collection::vec(text(), 0..8)) {
        let _ = parse_as(parts.concat().as_bytes(), Dialect::Kustomize, &Limits::default());
    }
}
