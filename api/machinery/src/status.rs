//! `v1.Status` objects, worded as kube-apiserver words them.
//!
//! In: what went wrong and with which object. Out: the body of the answer; its HTTP code is in it.
//! Clients match on reasons and sometimes on words, so both stay as they are there.

use serde_json::{Map, Value, json};

use crate::managed::Conflict;
use crate::schema::FieldError;

/// The HTTP code of a status.
pub fn code(status: &Value) -> u16 {
    status
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(500)
}

fn failure(code: u16, reason: &str, message: String, details: Option<Value>) -> Value {
    let mut out = Map::new();
    out.insert("kind".into(), "Status".into());
    out.insert("apiVersion".into(), "v1".into());
    out.insert("metadata".into(), json!({}));
    out.insert("status".into(), "Failure".into());
    out.insert("message".into(), message.into());
    if !reason.is_empty() {
        out.insert("reason".into(), reason.into());
    }
    if let Some(details) = details {
        out.insert("details".into(), details);
    }
    out.insert("code".into(), code.into());
    Value::Object(out)
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut out = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            out.insert(key.into(), value.into());
        }
    }
    Value::Object(out)
}

/// `secrets` in the core group, `widgets.example.com` elsewhere.
fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// 200: done; for deletes that leave nothing to return.
pub fn success(group: &str, plural: &str, name: &str, uid: &str) -> Value {
    let mut details = details(group, plural, name);
    if !uid.is_empty() {
        details["uid"] = uid.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details})
}

/// 404: the object does not exist.
pub fn not_found(group: &str, plural: &str, name: &str) -> Value {
    let message = format!("{} \"{name}\" not found", qualified(group, plural));
    failure(404, "NotFound", message, Some(details(group, plural, name)))
}

/// 404: the path does not exist.
pub fn no_such_resource() -> Value {
    let message = "the server could not find the requested resource".to_owned();
    failure(404, "NotFound", message, Some(json!({})))
}

/// 409: an object of that name exists.
pub fn already_exists(group: &str, plural: &str, name: &str) -> Value {
    let message = format!("{} \"{name}\" already exists", qualified(group, plural));
    failure(409, "AlreadyExists", message, Some(details(group, plural, name)))
}

/// What a write on an old resourceVersion is told.
pub const MODIFIED: &str = "the object has been modified; please apply your changes to the latest \
                            version and try again";

/// 409: the write does not fit the stored object; `why` is often [`MODIFIED`].
pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Value {
    let message =
        format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, plural));
    failure(409, "Conflict", message, Some(details(group, plural, name)))
}

/// 409: a server-side apply meets fields of others; `message` is the text of the error.
pub fn apply_conflict(message: &str, conflicts: &[Conflict]) -> Value {
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|Conflict { path, manager }| {
            json!({"reason": "FieldManagerConflict",
                "message": format!("conflict with {manager}"), "field": path})
        })
        .collect();
    failure(409, "Conflict", message.to_owned(), Some(json!({"causes": causes})))
}

/// 422: fields of the object are not allowed.
pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Value {
    let causes: Vec<Value> = errors
        .iter()
        .map(|err| {
            json!({"reason": err.kind.reason(), "message": err.body(),
                "field": if err.path.is_empty() { "<nil>" } else { &err.path }})
        })
        .collect();
    let subject = format!("{} \"{name}\" is invalid", qualified(group, kind));
    let message = match errors {
        [] => subject,
        [one] => format!("{subject}: {one}"),
        many => {
            let mut texts: Vec<String> = Vec::new();
            for text in many.iter().map(FieldError::to_string) {
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            match texts.as_slice() {
                [one] => format!("{subject}: {one}"),
                texts => format!("{subject}: [{}]", texts.join(", ")),
            }
        }
    };
    let mut details = details(group, kind, name);
    if !causes.is_empty() {
        details["causes"] = causes.into();
    }
    failure(422, "Invalid", message, Some(details))
}

/// 400: the request makes no sense.
pub fn bad_request(message: impl Into<String>) -> Value {
    failure(400, "BadRequest", message.into(), None)
}

/// 422 for a patch that does not fit.
pub fn unprocessable(message: impl Into<String>) -> Value {
    failure(422, "Invalid", message.into(), None)
}

/// 401: the request carries no credentials that are good.
pub fn unauthorized() -> Value {
    failure(401, "Unauthorized", "Unauthorized".to_owned(), None)
}

/// 403: the object is known and the answer is no; `why` ends the sentence.
pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Value {
    let what = qualified(group, plural);
    let message = if plural.is_empty() {
        format!("forbidden: {why}")
    } else if name.is_empty() {
        format!("{what} is forbidden: {why}")
    } else {
        format!("{what} \"{name}\" is forbidden: {why}")
    };
    failure(403, "Forbidden", message, Some(details(group, plural, name)))
}

/// 405: the resource does not know the verb.
pub fn method_not_allowed(group: &str, plural: &str, verb: &str) -> Value {
    let message =
        format!("{verb} is not supported on resources of kind {:?}", qualified(group, plural));
    failure(405, "MethodNotAllowed", message, Some(details(group, plural, "")))
}

/// 405: nothing here knows the verb.
pub fn verb_not_allowed() -> Value {
    let message = "the server does not allow this method on the requested resource".to_owned();
    failure(405, "MethodNotAllowed", message, Some(json!({})))
}

/// 406: none of the accepted media types can be made.
pub fn not_acceptable(accepted: &[&str]) -> Value {
    let message = format!("only the following media types are accepted: {}", accepted.join(", "));
    failure(406, "NotAcceptable", message, None)
}

/// 415: the body has a media type that cannot be read.
pub fn unsupported_media_type(accepted: &[&str]) -> Value {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    failure(415, "UnsupportedMediaType", message, None)
}

/// 410 `Expired`: the resourceVersion or continue token is too old.
pub fn expired(message: impl Into<String>) -> Value {
    failure(410, "Expired", message.into(), None)
}

/// 410 `Expired` for a watch: asked for and oldest kept revision.
pub fn too_old(asked: u64, oldest: u64) -> Value {
    expired(format!("too old resource version: {asked} ({oldest})"))
}

/// 410 `Gone`.
pub fn gone(message: impl Into<String>) -> Value {
    failure(410, "Gone", message.into(), None)
}

/// 413: the request is too large.
pub fn too_large(message: impl Into<String>) -> Value {
    let message = format!("Request entity is too large: {}", message.into());
    failure(413, "RequestEntityTooLarge", message, None)
}

/// 429: come back in some seconds.
pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Value {
    let details = json!({"retryAfterSeconds": retry_after_seconds});
    failure(429, "TooManyRequests", message.into(), Some(details))
}

/// 500: we are wrong.
pub fn internal(message: impl Into<String>) -> Value {
    let message = message.into();
    let details = json!({"causes": [{"message": &message}]});
    failure(500, "InternalError", format!("Internal error occurred: {message}"), Some(details))
}

/// 503: not now.
pub fn unavailable(message: impl Into<String>) -> Value {
    failure(503, "ServiceUnavailable", message.into(), None)
}

/// 504: it takes too long.
pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Value {
    let details =
        (retry_after_seconds > 0).then(|| json!({"retryAfterSeconds": retry_after_seconds}));
    failure(504, "Timeout", format!("Timeout: {}", message.into()), details.or(Some(json!({}))))
}

/// 507: there is no room to store anything.
pub fn insufficient_storage(message: impl Into<String>) -> Value {
    failure(507, "InsufficientStorage", message.into(), None)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(status: &Value, want: Expect) {
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        let details = status.get("details").map(Value::to_string).unwrap_or_default();
        want.assert_eq(&format!(
            "{} {}\n{}\n{details}",
            code(status),
            text("reason"),
            text("message")
        ));
    }

    #[test]
    fn objects() {
        check(
            &not_found("", "secrets", "a"),
            expect![[r#"
                404 NotFound
                secrets "a" not found
                {"kind":"secrets","name":"a"}"#]],
        );
        check(
            &already_exists("example.com", "widgets", "a"),
            expect![[r#"
                409 AlreadyExists
                widgets.example.com "a" already exists
                {"group":"example.com","kind":"widgets","name":"a"}"#]],
        );
        check(
            &conflict("apps", "deployments", "a", MODIFIED),
            expect![[r#"
                409 Conflict
                Operation cannot be fulfilled on deployments.apps "a": the object has been modified; please apply your changes to the latest version and try again
                {"group":"apps","kind":"deployments","name":"a"}"#]],
        );
        check(
            &forbidden("", "secrets", "a", "no"),
            expect![[r#"
                403 Forbidden
                secrets "a" is forbidden: no
                {"kind":"secrets","name":"a"}"#]],
        );
    }

    #[test]
    fn invalid_objects() {
        let interval = FieldError::required("spec.interval", "");
        check(
            &invalid("example.com", "Widget", "a", std::slice::from_ref(&interval)),
            expect![[r#"
                422 Invalid
                Widget.example.com "a" is invalid: spec.interval: Required value
                {"causes":[{"field":"spec.interval","message":"Required value","reason":"FieldValueRequired"}],"group":"example.com","kind":"Widget","name":"a"}"#]],
        );
        let kind = FieldError::not_supported("spec.kind", "X".into(), &["A", "B"]);
        check(
            &invalid("example.com", "Widget", "a", &[interval, kind]),
            expect![[r#"
                422 Invalid
                Widget.example.com "a" is invalid: [spec.interval: Required value, spec.kind: Unsupported value: "X": supported values: "A", "B"]
                {"causes":[{"field":"spec.interval","message":"Required value","reason":"FieldValueRequired"},{"field":"spec.kind","message":"Unsupported value: \"X\": supported values: \"A\", \"B\"","reason":"FieldValueNotSupported"}],"group":"example.com","kind":"Widget","name":"a"}"#]],
        );
    }

    #[test]
    fn applies() {
        let conflicts =
            [Conflict { path: ".data.k".to_owned(), manager: "\"e\" using v1".to_owned() }];
        check(
            &apply_conflict("Apply failed with 1 conflict", &conflicts),
            expect![[r#"
                409 Conflict
                Apply failed with 1 conflict
                {"causes":[{"field":".data.k","message":"conflict with \"e\" using v1","reason":"FieldManagerConflict"}]}"#]],
        );
    }

    #[test]
    fn requests() {
        check(
            &too_old(5, 10),
            expect![[r#"
                410 Expired
                too old resource version: 5 (10)
            "#]],
        );
        check(
            &unsupported_media_type(&["application/json"]),
            expect![[r#"
                415 UnsupportedMediaType
                the body of the request was in an unknown format - accepted media types include: application/json
            "#]],
        );
        check(
            &internal("disk"),
            expect![[r#"
                500 InternalError
                Internal error occurred: disk
                {"causes":[{"message":"disk"}]}"#]],
        );
        check(
            &method_not_allowed("", "nodes", "patch"),
            expect![[r#"
                405 MethodNotAllowed
                patch is not supported on resources of kind "nodes"
                {"kind":"nodes"}"#]],
        );
    }
}
