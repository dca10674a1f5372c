//! Query strings.

/// The parameters of a request, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after the question mark. What is not valid is taken literally.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter; empty ones count as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter says yes; Kubernetes takes everything but `false` and `0` for yes.
    pub fn flag(&self, key: &str) -> bool {
        self.all(key).next().is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

/// Decodes percent escapes; bytes that do not make UTF-8 become replacement characters.
pub fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], escaped(bytes, at + 1)) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("a=b%3Dc&d=e+f&watch&g=&h=100%&dryRun=All&force=false");
        assert_eq!(query.get("a"), Some("b=c"));
        assert_eq!(query.get("d"), Some("e f"));
        assert_eq!(query.get("g"), None);
        assert_eq!(query.get("h"), Some("100%"));
        assert!(query.flag("watch") && query.flag("dryRun"));
        assert!(!query.flag("force") && !query.flag("missing"));
    }
}
