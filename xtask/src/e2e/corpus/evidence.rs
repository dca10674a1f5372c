//! What the corpus showed: steps of the report, and the page that is kept.
//!
//! In: what became of each tree. Out: text without paths, names or addresses of a machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::tree::Place;
use crate::e2e::Report;
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
    pub fn page(&self, took: Duration) -> String {
        let mut page = format!(
            "# Real manifests, delivered\n\n\
             Made by `cargo xtask e2e corpus`; {}; {}; {} s in all.\n\n\
             Every tree that renders is delivered from a Git repository by a running engine \
             (`prune: true`, a target\nnamespace where that leaves the tree whole). Delivered means: \
             ready at the revision; a second look moved no\nresource version; a field changed by \
             hand and an object deleted by hand were mended with no interval\nrunning out; and when \
             the delivery was deleted, every object of its inventory went. Kinds that the server does\n\
             not know have definitions that let everything through.\n\n",
            date(SystemTime::now()),
            machine(),
            took.as_secs(),
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

/// The machine in words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        // What the kernel keeps for itself is missing in the total.
        Some((kib / f64::from(1 << 20)).ceil())
    });
    match memory {
        Some(gib) => format!("{cores}, {gib} GiB"),
        None => cores,
    }
}

/// The day of a moment, as the Gregorian calendar counts; after Hinnant's `civil_from_days`.
fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Days since the first of March of the year 0, in eras of 400 years.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(20_819), "2027-01-01");
    }

    #[test]
    fn the_page_tells_what_became_of_each_tree() {
        let mut evidence = Evidence::default();
        let place = |folder: &str| Place { project: "shop".to_owned(), folder: folder.to_owned() };
        evidence.record(&place("good"), Outcome::Delivered);
        evidence.record(&place("none"), Outcome::Empty);
        evidence.record(&place("odd"), Outcome::Refused("`helmCharts`".to_owned()));
        evidence.record(&place("bad"), Outcome::Failed("why\nmore".to_owned()));
        let page = evidence.page(Duration::from_secs(61));
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
