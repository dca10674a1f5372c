//! Texts that nobody can guess, and their comparison.
//!
//! In: the system's randomness. Out: a text that is handed out once, and the digest that is kept
//! of it. The text itself is never kept here, and no comparison takes longer for a better guess.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 bits: guessing is hopeless at any rate, so that a limit on wrong ones is a courtesy.
const BYTES: usize = 32;

/// What is kept of a secret text.
#[derive(Clone)]
pub struct Kept(Vec<u8>);

impl Kept {
    fn of(text: &str) -> Self {
        Self(digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec())
    }

    /// Whether a text is the one that this is kept of.
    pub fn is_of(&self, text: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &Self::of(text).0).is_ok()
    }
}

/// Makes a text that nobody can guess; `None` where the system gives no randomness.
pub fn fresh() -> Option<(String, Kept)> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).ok()?;
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let kept = Kept::of(&text);
    Some((text, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_text_is_the_one() {
        let (text, kept) = fresh().unwrap();
        let (other, _) = fresh().unwrap();
        assert_eq!(text.len(), 43);
        assert!(kept.is_of(&text));
        for wrong in [other.as_str(), "", &text[1..]] {
            assert!(!kept.is_of(wrong));
        }
    }
}
