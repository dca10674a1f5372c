//! The one rule about who said what: an acknowledgement carries the name of whom the server
//! authenticated, never what the client claims.

use fixpoint_base::object::{annotation, set_annotation};
use serde_json::Value;

use crate::user::User;

/// Annotations whose author the server records beside them, as `<annotation>-by`.
const ACKNOWLEDGEMENTS: [&str; 2] =
    ["source.fixpoint.dev/acknowledge", "delivery.fixpoint.dev/acknowledge"];

/// Sets who acknowledged what changed in this write, and undoes what a client set itself.
pub fn stamp(old: Option<&Value>, new: &mut Value, user: &User) {
    for key in ACKNOWLEDGEMENTS {
        let by = format!("{key}-by");
        let before = old.and_then(|old| annotation(old, key));
        let author = match annotation(new, key) {
            None => None,
            Some(value) if before == Some(value) => old.and_then(|old| annotation(old, &by)),
            Some(_) => Some(user.name.as_str()),
        };
        match author.map(str::to_owned) {
            Some(author) => set_annotation(new, &by, &author),
            None => remove_annotation(new, &by),
        }
    }
}

fn remove_annotation(object: &mut Value, key: &str) {
    if let Some(annotations) =
        object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "source.fixpoint.dev/acknowledge";

    fn check(old: Option<(&str, &str)>, new: &[(&str, &str)]) -> Option<String> {
        let object = |annotations: Value| json!({"metadata": {"annotations": annotations}});
        let old = old.map(|(value, by)| object(json!({KEY: value, format!("{KEY}-by"): by})));
        let mut new = object(new.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect());
        stamp(old.as_ref(), &mut new, &User::new("alice", []));
        annotation(&new, &format!("{KEY}-by")).map(str::to_owned)
    }

    #[test]
    fn a_new_acknowledgement_is_signed_by_who_wrote_it() {
        assert_eq!(check(None, &[(KEY, "1")]).as_deref(), Some("alice"));
        assert_eq!(check(Some(("0", "bob")), &[(KEY, "1")]).as_deref(), Some("alice"));
    }

    #[test]
    fn what_a_client_claims_is_ignored() {
        let by = "source.fixpoint.dev/acknowledge-by";
        assert_eq!(check(None, &[(KEY, "1"), (by, "root")]).as_deref(), Some("alice"));
        assert_eq!(check(Some(("1", "bob")), &[(KEY, "1"), (by, "root")]).as_deref(), Some("bob"));
        assert_eq!(check(None, &[(by, "root")]), None);
    }

    #[test]
    fn the_author_goes_with_the_acknowledgement() {
        assert_eq!(check(Some(("1", "bob")), &[]), None);
    }
}
