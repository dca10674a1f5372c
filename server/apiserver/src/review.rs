//! Questions about the asking user: who am I, and what may I do?

use fixpoint_api_machinery::status;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::wire::{Answer, Request, reply};

/// The kinds that can only be asked: group, plural, kind.
pub const REVIEWS: [(&str, &str, &str); 4] = [
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
];

/// Answers a review; `None` when the path is not one.
pub fn answer(request: &Request, segments: &[&str]) -> Option<Answer> {
    let ["apis", group, "v1", plural] = segments else { return None };
    let (_, _, kind) =
        REVIEWS.into_iter().find(|(found, name, _)| found == group && name == plural)?;
    if request.method != Method::POST {
        return Some(Err(status::method_not_allowed(group, plural, "get").into()));
    }
    Some(review(request, group, kind))
}

fn review(request: &Request, group: &str, kind: &str) -> Answer {
    let body = if request.body.is_empty() { json!({}) } else { request.object()? };
    let user = &request.user;
    let groups_of = |value: &Value| {
        let groups = value.as_array().into_iter().flatten();
        groups.filter_map(Value::as_str).any(|group| group == crate::user::MASTERS)
    };
    let status = match kind {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": user.name, "groups": user.groups}})
        }
        "SelfSubjectRulesReview" if user.is_master() => json!({"incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}),
        "SelfSubjectRulesReview" => {
            json!({"incomplete": false, "resourceRules": [], "nonResourceRules": []})
        }
        "SubjectAccessReview" => json!({"allowed": groups_of(&body["spec"]["groups"])}),
        _ => json!({"allowed": user.is_master()}),
    };
    let answer = json!({"apiVersion": format!("{group}/v1"), "kind": kind,
        "metadata": body.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "spec": body.get("spec").cloned().unwrap_or_else(|| json!({})), "status": status});
    Ok(reply::value(StatusCode::CREATED, &answer))
}
