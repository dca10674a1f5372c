//! How changes are shown.

use expect_test::expect;
use fixpoint_plan::diff::diff;
use serde_json::json;

#[test]
fn only_what_matters_is_shown() {
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "1",
            "managedFields": [{}], "labels": {"x": "1"}},
        "data": {"a": "one", "b": "line\nline", "list": "- x"}, "items": [{"p": 1, "q": [1, 2]}, "true"]});
    let mut wanted = live.clone();
    wanted["metadata"]["resourceVersion"] = "2".into();
    assert_eq!(diff(Some(&live), Some(&wanted)), "");
    wanted["data"]["a"] = "two".into();
    wanted["items"][0]["q"] = json!([1]);
    expect![[r#"
        --- live ConfigMap/n/a
        +++ wanted ConfigMap/n/a
        @@ -1,6 +1,6 @@
         apiVersion: v1
         data:
        -  a: one
        +  a: two
           b: |
             line
             line
        @@ -9,7 +9,6 @@
         - p: 1
           q:
           - 1
        -  - 2
         - "true"
         kind: ConfigMap
         metadata:
    "#]]
    .assert_eq(&diff(Some(&live), Some(&wanted)));
}

#[test]
fn a_secret_shows_which_values_change_and_never_the_values() {
    let secret = |data: serde_json::Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":\"hunter2\"}"}},
            "data": data})
    };
    let live = secret(json!({"same": "hunter2", "changed": "hunter3", "gone": "hunter4"}));
    let wanted = secret(json!({"same": "hunter2", "changed": "hunter5", "new": "hunter6"}));
    let text = diff(Some(&live), Some(&wanted));
    assert!(!text.contains("hunter"));
    expect![[r#"
        --- live Secret/n/s
        +++ wanted Secret/n/s
        @@ -1,7 +1,7 @@
         apiVersion: v1
         data:
        -  changed: *** (before)
        -  gone: *** (before)
        +  changed: *** (after)
        +  new: *** (after)
           same: ***
         kind: Secret
         metadata:
    "#]]
    .assert_eq(&text);
    let created = diff(None, Some(&wanted));
    assert!(created.starts_with("--- nothing\n") && !created.contains("hunter"));
    assert!(!diff(Some(&live), None).contains("hunter"));
}

#[test]
fn a_secret_of_an_odd_shape_is_masked_whole() {
    let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": "hunter2"});
    assert!(!diff(Some(&live), None).contains("hunter"));
    assert!(!diff(Some(&live), Some(&json!({"data": {"a": "hunter3"}}))).contains("hunter"));
}
