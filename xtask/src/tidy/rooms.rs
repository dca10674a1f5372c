//! Who may see whom.
//!
//! In: the folders of two crates and the order of the members. Out: why the one may not depend on
//! the other, if so.

/// The members of the workspace in belt order, by folder, such as `engine/plan`.
#[derive(Debug, Clone)]
pub struct Belt(Vec<String>);

/// How one crate depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the product.
    Normal,
    /// In its tests only.
    Dev,
}

impl Belt {
    /// Reads the members from the root manifest, whose order is the architecture.
    pub fn of(manifest: &str) -> Self {
        let members = manifest
            .lines()
            .skip_while(|line| !line.starts_with("members"))
            .skip(1)
            .take_while(|line| !line.starts_with(']'))
            .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
        Self(members.map(str::to_owned).collect())
    }

    /// The folders of all members.
    pub fn folders(&self) -> &[String] {
        &self.0
    }

    fn place(&self, folder: &str) -> Option<usize> {
        self.0.iter().position(|member| member == folder)
    }

    /// Why `from` may not depend on `to`; `None` where it may.
    pub fn objection(&self, from: &str, to: &str, kind: Kind) -> Option<String> {
        let (here, there) = (room(from), room(to));
        if there == "testing" && kind == Kind::Dev && here != "xtask" {
            return None;
        }
        let objection = match (here, there) {
            ("testing", "apps" | "xtask") => "only people run the program and the tasks",
            ("testing", _) => return None,
            // Suites plant the same secrets as tests do, and search for them the same way.
            ("xtask", _) if to == "testing/fixture" => return None,
            (_, "apps" | "testing" | "xtask") => "nothing is built on apps, testing or xtask",
            ("engine", "engine") if self.place(to) < self.place(from) => return None,
            ("engine", "engine") => "a stage sees only the stages left of it in the belt",
            ("engine", _) => "the engine sees no other room",
            ("api", "engine") if matches!(to, "engine/base" | "engine/yaml") => return None,
            ("xtask", _) => "tasks run the program; they are not built on it",
            ("api", _) => "api sees only engine/base and engine/yaml",
            ("drivers", "engine" | "api") => return None,
            ("drivers", "drivers") => "drivers never see each other",
            ("drivers", _) => "drivers see only engine and api",
            ("server", "drivers" | "api" | "engine") => return None,
            ("server", _) => "the parts of the server are put together in apps",
            ("apps", _) => return None,
            _ => "this room is not known",
        };
        Some(objection.to_owned())
    }

    /// What the package in a folder must be called.
    pub fn package_name(folder: &str) -> String {
        match folder.split_once('/') {
            None => folder.to_owned(),
            Some(("apps", "cli")) => "fixpoint".to_owned(),
            Some(("drivers", name)) => format!("fixpoint-driver-{name}"),
            Some(("api", name)) => format!("fixpoint-api-{name}"),
            Some((_, name)) => format!("fixpoint-{name}"),
        }
    }
}

/// The room a folder lies in.
pub fn room(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
[workspace]
members = [
    "engine/base", # the first
    "engine/yaml",
    "engine/plan",
    "xtask",
]
exclude = ["other"]
"#;

    #[test]
    fn members_are_read_in_order() {
        assert_eq!(
            Belt::of(MANIFEST).folders(),
            ["engine/base", "engine/yaml", "engine/plan", "xtask"]
        );
    }

    #[track_caller]
    fn check(from: &str, to: &str, kind: Kind, may: bool) {
        let objection = Belt::of(MANIFEST).objection(from, to, kind);
        assert_eq!(objection.is_none(), may, "{from} → {to}: {objection:?}");
    }

    #[test]
    fn dependencies_point_down_and_left() {
        use Kind::{Dev, Normal};
        check("engine/plan", "engine/base", Normal, true);
        check("engine/base", "engine/plan", Normal, false);
        check("engine/base", "engine/plan", Dev, false);
        check("engine/plan", "api/types", Normal, false);
        check("api/types", "engine/base", Normal, true);
        check("api/types", "engine/plan", Normal, false);
        check("drivers/git", "engine/plan", Normal, true);
        check("drivers/git", "drivers/store", Normal, false);
        check("drivers/git", "drivers/store", Dev, false);
        check("drivers/git", "testing/fixture", Dev, true);
        check("drivers/git", "testing/fixture", Normal, false);
        check("drivers/git", "server/apiserver", Normal, false);
        check("server/apiserver", "drivers/store", Normal, true);
        check("server/controllers", "apps/cli", Dev, false);
        check("apps/cli", "server/controllers", Normal, true);
        check("apps/cli", "testing/sim", Normal, false);
        check("testing/sim", "server/controllers", Normal, true);
        check("testing/sim", "testing/fixture", Normal, true);
        check("xtask", "engine/base", Dev, false);
    }

    #[test]
    fn packages_are_called_like_their_folder() {
        for (folder, name) in [
            ("engine/plan", "fixpoint-plan"),
            ("drivers/git", "fixpoint-driver-git"),
            ("api/types", "fixpoint-api-types"),
            ("server/apiserver", "fixpoint-apiserver"),
            ("apps/cli", "fixpoint"),
            ("xtask", "xtask"),
        ] {
            assert_eq!(Belt::package_name(folder), name);
        }
    }
}
