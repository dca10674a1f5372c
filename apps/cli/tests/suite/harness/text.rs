//! Readings of objects and of text.

use serde_json::Value;

/// One condition, or null.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
        .unwrap_or(&Value::Null)
}

/// `True`, `False`, `Unknown`, or nothing.
pub fn ready(object: &Value) -> &str {
    condition(object, "Ready")["status"].as_str().unwrap_or_default()
}

/// What the Ready condition says.
pub fn message(object: &Value) -> &str {
    condition(object, "Ready")["message"].as_str().unwrap_or_default()
}

/// The text as it is on every machine: each of `names` instead of what it stands for, `PORT`
/// instead of a port of loopback, `ID` instead of a commit and `ACK` instead of a held thing's id.
pub fn plain(text: &str, names: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (long, name) in names {
        text = text.replace(long, name);
    }
    text = replace_after(&text, "127.0.0.1:", "PORT", |c| c.is_ascii_digit());
    text = replace_after(&text, "sha1:", "ID", |c| c.is_ascii_hexdigit());
    text = replace_after(&text, "acknowledge ", "ACK", |c| c.is_ascii_hexdigit());
    replace_after(&text, "[ack ", "ACK", |c| c.is_ascii_hexdigit())
}

fn replace_after(text: &str, mark: &str, by: &str, of: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.push_str(before);
        out.push_str(mark);
        rest = after.trim_start_matches(&of);
        if rest.len() < after.len() {
            out.push_str(by);
        }
    }
    out + rest
}

/// Numbers that look random and come again for the same seed (xorshift).
pub fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn texts_are_the_same_everywhere() {
    let text = "git at http://127.0.0.1:4711/x and /srv/a1/repo: main@sha1:0a1b2c is held [ack 77]";
    assert_eq!(
        plain(text, &[("/srv/a1/repo", "REPO")]),
        "git at http://127.0.0.1:PORT/x and REPO: main@sha1:ID is held [ack ACK]"
    );
}
