//! Who is asking.

/// An authenticated user: a name and the groups it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// User name, such as `fixpoint-admin`.
    pub name: String,
    /// Groups; `system:masters` may do everything.
    pub groups: Vec<String>,
}

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";

impl User {
    /// Names a user.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().collect() }
    }

    /// The engine itself, whose controllers call the server in process.
    pub fn engine() -> Self {
        Self::new("fixpoint:engine", [MASTERS.to_owned()])
    }

    /// The person who runs this installation.
    pub fn admin() -> Self {
        Self::new("fixpoint-admin", [MASTERS.to_owned()])
    }

    /// Whether the user may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}
