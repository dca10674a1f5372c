//! What the corpus showed: steps of the report, and the page that is kept.
//!
//! In: what became of each tree. Out: text without paths, names or addresses of a machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::tree::Place;
use crate::e2e::bed::Arrangement;
use crate::e2e::{Report, page};
use crate::print;

/// What became of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything went as it should, but it has no field that could be changed by hand.
    Unchanged,
    /// Everything went as it should.
    Delivered,
    /// It renders to nothing.
    Empty,
    /// It does not render: what it needs.
    Refused(String),
    /// Something went wrong.
    Failed(String),
}

/// What became of all trees.
#[derive(Debug, Default)]
pub struct Evidence(BTreeMap<String, BTreeMap<String, Outcome>>);

impl Evidence {
    /// Puts a tree on record.
    pub fn record(&mut self, place: &Place, outcome: Outcome) {
        self.0.entry(place.project.clone()).or_default().insert(place.folder.clone(), outcome);
    }

    /// Counts the trees.
    pub fn judge(&self, report: &mut Report) {
        for (name, outcome) in self.trees() {
            match outcome {
                Outcome::Delivered | Outcome::Unchanged => report.pass(&name),
                Outcome::Empty => print::line(&format!("empty   {name}")),
                Outcome::Refused(why) => print::line(&format!("refused {name}: {why}")),
                Outcome::Failed(why) => report.fail(&name, why),
            }
        }
        let [delivered, empty, refused, failed] = counts(self.trees().map(|(_, outcome)| outcome));
        print::line(&format!(
            "corpus: {delivered} delivered, {empty} render to nothing, {refused} refused, \
             {failed} failed"
        ));
    }

    /// The page that is kept.
    pub fn page(&self, suite: &str, arrangement: Arrangement, took: Duration) -> String {
        let mut page = format!(
            "# Real manifests, delivered\n\n\
             Made by `cargo xtask e2e {suite}`; {}; {}; {} s in all. {}\n\n\
             Every tree that renders is delivered from a Git repository by a running engine \
             (`prune: true`, a target\nnamespace where that leaves the tree whole). Delivered means: \
             ready at the revision; a second look moved no\nresource version; a field changed by \
             hand and an object deleted by hand were mended with no interval\nrunning out; and when \
             the delivery was deleted, every object of its inventory went. Kinds that the server does\n\
             not know have definitions that let everything through.\n\n",
            page::today(),
            page::machine(),
            took.as_secs(),
            arrangement.in_words(),
        );
        page.push_str(&self.table());
        let unchanged = self.trees().filter(|(_, outcome)| **outcome == Outcome::Unchanged);
        let _ = writeln!(
            page,
            "\nTrees among the delivered in which there is no field to change (a bare namespace, \
             say), so that only a\ndeletion was mended: {}.",
            unchanged.count()
        );
        page.push_str(&self.reasons());
        page.push_str("\n## Delivered\n");
        for (project, trees) in &self.0 {
            let delivered: Vec<&str> = trees
                .iter()
                .filter(|(_, outcome)| matches!(outcome, Outcome::Delivered | Outcome::Unchanged))
                .map(|(folder, _)| folder.as_str())
                .collect();
            if !delivered.is_empty() {
                let _ = write!(page, "\n### {project}\n\n");
                delivered.iter().for_each(|folder| page.push_str(&format!("- {folder}\n")));
            }
        }
        page
    }

    fn table(&self) -> String {
        let mut table = "| project | delivered | render to nothing | refused | failed |\n\
             |---|---|---|---|---|\n"
            .to_owned();
        let mut row = |name: &str, [delivered, empty, refused, failed]: [usize; 4]| {
            let _ = writeln!(table, "| {name} | {delivered} | {empty} | {refused} | {failed} |");
        };
        for (project, trees) in &self.0 {
            row(project, counts(trees.values()));
        }
        row("all", counts(self.trees().map(|(_, outcome)| outcome)));
        table
    }

    /// Why some were not delivered.
    fn reasons(&self) -> String {
        let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut failed = vec![];
        for (name, outcome) in self.trees() {
            match outcome {
                Outcome::Refused(why) => refused.entry(why.as_str()).or_default().push(name),
                Outcome::Failed(why) => {
                    failed.push(format!("- {name}: {}\n", why.lines().next().unwrap_or_default()));
                }
                Outcome::Delivered | Outcome::Unchanged | Outcome::Empty => {}
            }
        }
        let mut text = String::new();
        if !refused.is_empty() {
            text.push_str("\n## Refused, by what they need\n\n");
        }
        for (why, names) in refused {
            let _ = writeln!(text, "- {why}: {}", names.join(", "));
        }
        if !failed.is_empty() {
            let _ = write!(text, "\n## Failed\n\n{}", failed.concat());
        }
        text
    }

    fn trees(&self) -> impl Iterator<Item = (String, &Outcome)> {
        self.0.iter().flat_map(|(project, trees)| {
            trees.iter().map(move |(folder, outcome)| (format!("{project}/{folder}"), outcome))
        })
    }
}

/// Delivered, empty, refused and failed.
fn counts<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> [usize; 4] {
    let mut counts = [0; 4];
    for outcome in outcomes {
        let at = match outcome {
            Outcome::Delivered | Outcome::Unchanged => 0,
            Outcome::Empty => 1,
            Outcome::Refused(_) => 2,
            Outcome::Failed(_) => 3,
        };
        counts[at] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_what_became_of_each_tree() {
        let mut evidence = Evidence::default();
        let place = |folder: &str| Place { project: "shop".to_owned(), folder: folder.to_owned() };
        evidence.record(&place("good"), Outcome::Delivered);
        evidence.record(&place("none"), Outcome::Empty);
        evidence.record(&place("odd"), Outcome::Refused("`helmCharts`".to_owned()));
        evidence.record(&place("bad"), Outcome::Failed("why\nmore".to_owned()));
        let page = evidence.page("corpus", Arrangement::Standalone, Duration::from_secs(61));
        assert!(page.contains("61 s in all"), "{page}");
        let end = page.split_once("|---|---|---|---|---|\n").unwrap().1;
        assert_eq!(
            end,
            "| shop | 1 | 1 | 1 | 1 |\n| all | 1 | 1 | 1 | 1 |\n\n\
             Trees among the delivered in which there is no field to change (a bare namespace, \
             say), so that only a\ndeletion was mended: 0.\n\n\
             ## Refused, by what they need\n\n- `helmCharts`: shop/odd\n\n\
             ## Failed\n\n- shop/bad: why\n\n## Delivered\n\n### shop\n\n- good\n"
        );
    }
}
