//! Tells an object that cannot be changed from one that is wrong.
//!
//! Both come as 422 Invalid. To replace an object because of a mistake in it would delete it for
//! nothing, so an error counts as immutable only where every cause of it says so.

use kube::core::Status;

/// How servers and their admission say that a field stays as it is.
const PHRASES: [&str; 9] = [
    "immutable",
    "may not change once set",
    "may not be changed",
    "may not change fields other than",
    "cannot change roleref",
    "cannot be changed",
    "for fields other than",
    "updates to parameters are forbidden",
    "updates to provisioner are forbidden",
];

/// The fields that stand in the way of a change; `None` where the error is another.
pub fn fields(code: u16, status: &Status) -> Option<Vec<String>> {
    if code != 422 {
        return None;
    }
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or(&[]);
    if causes.is_empty() {
        return says_so(&status.message).then(Vec::new);
    }
    causes.iter().all(|cause| says_so(&cause.message)).then(|| {
        let mut fields: Vec<String> = causes.iter().map(|cause| cause.field.clone()).collect();
        fields.retain(|field| !field.is_empty());
        fields.dedup();
        fields
    })
}

fn says_so(message: &str) -> bool {
    let message = message.to_lowercase();
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn status(causes: &[(&str, &str)]) -> Status {
        let causes: Vec<_> = causes
            .iter()
            .map(|(field, message)| json!({"field": field, "message": message}))
            .collect();
        serde_json::from_value(json!({"message": "is invalid", "reason": "Invalid",
            "details": {"causes": causes}}))
        .unwrap()
    }

    #[test]
    fn every_cause_has_to_say_so() {
        let cases = [
            vec![("spec.selector", "Invalid value: {…}: field is immutable")],
            vec![("spec.clusterIPs[0]", "Invalid value: []: may not change once set")],
            vec![("roleRef", "Invalid value: {…}: cannot change roleRef")],
            vec![(
                "spec",
                "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
            )],
            vec![("spec.selector", "field is immutable"), ("spec.replicas", "must be at least 0")],
            vec![("spec.containers[0].image", "Required value")],
        ];
        let mut out = String::new();
        for causes in cases {
            out += &format!("{:?}\n", fields(422, &status(&causes)));
        }
        expect![[r#"
            Some(["spec.selector"])
            Some(["spec.clusterIPs[0]"])
            Some(["roleRef"])
            Some(["spec"])
            None
            None
        "#]]
        .assert_eq(&out);
    }

    #[test]
    fn a_conflict_or_a_refusal_is_never_a_reason_to_delete() {
        assert_eq!(fields(409, &status(&[("x", "field is immutable")])), None);
        assert_eq!(fields(403, &status(&[("x", "field is immutable")])), None);
    }
}
