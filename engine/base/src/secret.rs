//! Values that must not be printed.

/// Holds a value that reaches no log, status, event, metric, ledger entry or error.
///
/// It has no `Display`, `Serialize` or `Clone`, and its `Debug` shows nothing; the only way to
/// the value is [`Secret::expose`], which is easy to search for.
///
/// ```compile_fail
/// let secret = fixpoint_base::Secret::new("hunter2".to_owned());
/// println!("{secret}");
/// ```
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Takes a value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Hands the value out; `_reason` says in the code why this place may see it.
    pub fn expose(&self, _reason: &'static str) -> &T {
        &self.0
    }
}

impl<T> std::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
