//! Renderings: the engine's beside those of kustomize itself.
//!
//! In: the corpus, and both programs. Out: a step for each tree that both render: it is the same,
//! byte for byte, or the same objects printed otherwise. The whole suite writes what it found to
//! `docs/evidence/kustomize.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

use super::corpus::{self, tree};
use super::peers::{self, Found, Peer};
use super::process::Scratch;
use super::repository::Repository;
use super::{Report, Scope, page, program};
use crate::print;

/// About how many trees the smoke takes, apart from one of each project.
const SAMPLE: usize = 60;

/// How many lines of a difference are shown.
const SHOWN: usize = 12;

/// Trees with a folded block in which lines further in follow an empty one. YAML has as many line
/// breaks there as are written; kustomize has one more, and so changes a script.
const FOLDED: [&str; 2] = [
    "gitops-catalog/openshift-pipelines-tasks/maven/base",
    "gitops-catalog/openshift-pipelines-tasks/maven/overlays/m2-cache",
];

/// What the two programs make of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The same bytes.
    Same,
    /// The same objects in other bytes: the first that differ.
    Printed(String),
    /// Other objects, because of what kustomize is known to do.
    Known(String),
    /// Other objects: the first lines that differ.
    Different(String),
    /// Only kustomize renders it: what the engine says.
    Refused(String),
    /// kustomize does not render it: what it says.
    Unbuildable(String),
}

/// What there is to say of outcomes of one kind; `None` where it is of another.
type Choose = fn(&Outcome) -> Option<&str>;

/// Compares the renderings of the corpus.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let Some(corpus) = corpus::find(root, "kustomize", scope, report) else { return Ok(()) };
    let kustomize = match peers::find(Peer::Kustomize)? {
        Found::Here(kustomize) => kustomize,
        Found::Missing(why) => {
            report.skip("kustomize", &why);
            return Ok(());
        }
    };
    let (fixpoint, target) = program::build(root)?;
    let scratch = Scratch::new(&target, "kustomize")?;
    let (mut places, projects) = tree::list(&corpus)?;
    if scope == Scope::Smoke {
        places = tree::sample(places, SAMPLE);
    }
    for (project, from) in projects {
        Repository::of(&corpus.join(from), &scratch.path().join(project))?;
    }
    let judge = Judge { fixpoint, kustomize, folder: scratch.path() };
    let mut outcomes = BTreeMap::new();
    for place in &places {
        let outcome = judge.compare(place)?;
        take(&place.name(), &outcome, report);
        outcomes.insert(place.name(), outcome);
    }
    let version = judge.version()?;
    print::line(&summary(&version, &outcomes));
    if scope == Scope::Whole {
        page::keep(root, "kustomize.md", &text(&version, &outcomes))?;
    }
    Ok(())
}

fn take(name: &str, outcome: &Outcome, report: &mut Report) {
    match outcome {
        Outcome::Same => report.pass(name),
        Outcome::Printed(how) => {
            report.pass(name);
            print::line(&format!("        printed otherwise: {}", first(how)));
        }
        Outcome::Known(_) => print::line(&format!("known   {name}: kustomize changes a text")),
        Outcome::Different(how) => report.fail(name, how),
        Outcome::Refused(why) => print::line(&format!("refused {name}: {why}")),
        Outcome::Unbuildable(why) => print::line(&format!("no tree {name}: {why}")),
    }
}

/// Both programs, and a folder with the projects.
struct Judge<'a> {
    fixpoint: PathBuf,
    kustomize: PathBuf,
    folder: &'a Path,
}

impl Judge<'_> {
    fn compare(&self, place: &tree::Place) -> Result<Outcome> {
        let folder = self.folder.join(&place.project).join(&place.folder);
        let theirs = output(Command::new(&self.kustomize).arg("build").arg(&folder))?;
        if !theirs.status.success() {
            return Ok(Outcome::Unbuildable(self.plain(&first_line(&theirs.stderr))));
        }
        let ours = output(Command::new(&self.fixpoint).arg("build").arg(&folder))?;
        if !ours.status.success() {
            return Ok(Outcome::Refused(tree::reason(&String::from_utf8_lossy(&ours.stderr))));
        }
        if ours.stdout == theirs.stdout {
            return Ok(Outcome::Same);
        }
        let how = difference(
            &String::from_utf8_lossy(&theirs.stdout),
            &String::from_utf8_lossy(&ours.stdout),
        );
        if self.objects(&folder)? == self.reread(&theirs.stdout)? {
            return Ok(Outcome::Printed(how));
        }
        Ok(match FOLDED.contains(&place.name().as_str()) {
            true => Outcome::Known(how),
            false => Outcome::Different(how),
        })
    }

    /// The objects of a folder, as the engine reads them.
    fn objects(&self, folder: &Path) -> Result<Vec<u8>> {
        let output =
            output(Command::new(&self.fixpoint).arg("build").arg(folder).args(["-o", "json"]))?;
        if !output.status.success() {
            bail!("fixpoint build: {}", first_line(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// The objects in what was printed.
    fn reread(&self, printed: &[u8]) -> Result<Vec<u8>> {
        let folder = self.folder.join("printed");
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        std::fs::write(folder.join("objects.yaml"), printed).context("cannot write objects")?;
        // What a folder may see ends with the repository that it is in.
        Repository::create(&folder)?;
        let objects = self.objects(&folder)?;
        std::fs::remove_dir_all(&folder).context("cannot clear a folder")?;
        Ok(objects)
    }

    fn version(&self) -> Result<String> {
        let output = output(Command::new(&self.kustomize).arg("version"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A text without the places of this machine.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), "…")
    }
}

fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().display().to_string();
    command.output().with_context(|| format!("cannot run {program}"))
}

fn first_line(bytes: &[u8]) -> String {
    first(&String::from_utf8_lossy(bytes)).to_owned()
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Where two texts part, and how they go on.
fn difference(theirs: &str, ours: &str) -> String {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let at = theirs.iter().zip(&ours).take_while(|(one, other)| one == other).count();
    let mut text = format!("from line {} on:", at + 1);
    for (sign, lines) in [('-', &theirs), ('+', &ours)] {
        for line in lines.iter().skip(at).take(SHOWN) {
            let _ = write!(text, "\n{sign} {line}");
        }
    }
    text
}

fn summary(version: &str, outcomes: &BTreeMap<String, Outcome>) -> String {
    let count = |is: fn(&Outcome) -> bool| outcomes.values().filter(|outcome| is(outcome)).count();
    format!(
        "kustomize {version}: {} of {} trees byte for byte, {} printed otherwise, {} that \
         kustomize changes, {} different, {} refused, {} that kustomize does not render",
        count(|outcome| *outcome == Outcome::Same),
        outcomes.len(),
        count(|outcome| matches!(outcome, Outcome::Printed(_))),
        count(|outcome| matches!(outcome, Outcome::Known(_))),
        count(|outcome| matches!(outcome, Outcome::Different(_))),
        count(|outcome| matches!(outcome, Outcome::Refused(_))),
        count(|outcome| matches!(outcome, Outcome::Unbuildable(_))),
    )
}

fn text(version: &str, outcomes: &BTreeMap<String, Outcome>) -> String {
    let mut text = format!(
        "# Real kustomizations, rendered\n\n\
         Made by `cargo xtask e2e kustomize`; {}; {}.\n\n\
         Each tree of the corpus is rendered by `fixpoint build` and by `kustomize build`, and what \
         they print is\ncompared byte by byte. Printed otherwise means: the same objects.\n\
         What kustomize changes is a folded block in which lines further in follow an empty line: it has one\n\
         line break more there than YAML says.\n\n{}.\n",
        page::today(),
        page::machine(),
        summary(version, outcomes),
    );
    let sections: [(&str, Choose); 5] = [
        ("Printed otherwise", |outcome| match outcome {
            Outcome::Printed(how) => Some(how),
            _ => None,
        }),
        ("Changed by kustomize", |outcome| match outcome {
            Outcome::Known(how) => Some(how),
            _ => None,
        }),
        ("Different", |outcome| match outcome {
            Outcome::Different(how) => Some(how),
            _ => None,
        }),
        ("Refused, by what they need", |outcome| match outcome {
            Outcome::Refused(why) => Some(why),
            _ => None,
        }),
        ("Not rendered by kustomize", |outcome| match outcome {
            Outcome::Unbuildable(why) => Some(why),
            _ => None,
        }),
    ];
    for (title, choose) in sections {
        text.push_str(&section(title, outcomes, choose));
    }
    text
}

/// The trees of a kind, by what there is to say of them.
fn section(title: &str, outcomes: &BTreeMap<String, Outcome>, choose: Choose) -> String {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, outcome) in outcomes {
        if let Some(why) = choose(outcome) {
            found.entry(why).or_default().insert(name);
        }
    }
    let mut text = String::new();
    for (why, names) in found {
        if text.is_empty() {
            let _ = writeln!(text, "\n## {title}\n");
        }
        let names: Vec<&str> = names.into_iter().collect();
        match why.split_once('\n') {
            None => {
                let _ = writeln!(text, "- {why}: {}", names.join(", "));
            }
            Some((place, lines)) => {
                let _ = writeln!(text, "{}, {place}\n\n```diff\n{lines}\n```\n", names.join(", "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_begins_where_the_texts_part() {
        assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), "from line 2 on:\n- b\n- c\n+ B\n+ c");
        assert_eq!(difference("a\n", "a\nb\n"), "from line 2 on:\n+ b");
    }

    #[test]
    fn the_page_names_what_is_not_the_same() {
        let outcomes = BTreeMap::from([
            ("p/good".to_owned(), Outcome::Same),
            ("p/odd".to_owned(), Outcome::Refused("`x`".to_owned())),
            ("p/bad".to_owned(), Outcome::Different("from line 1 on:\n- a\n+ b".to_owned())),
        ]);
        let text = text("v5", &outcomes);
        let (_, rest) = text.split_once("than YAML says.\n\n").unwrap();
        assert_eq!(
            rest,
            "kustomize v5: 1 of 3 trees byte for byte, 0 printed otherwise, 0 that \
             kustomize changes, 1 different, 1 refused, 0 that kustomize does not render.\n\
             \n## Different\n\np/bad, from line 1 on:\n\n```diff\n- a\n+ b\n```\n\n\
             \n## Refused, by what they need\n\n- `x`: p/odd\n"
        );
    }
}
