//! What pages of evidence have in common: when and on what they were made.
//!
//! In: this machine, and a text. Out: words without paths, names or addresses of it, and a file.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// Keeps a page among the evidence.
pub fn keep(root: &Path, name: &str, text: &str) -> Result<()> {
    let folder = root.join("docs/evidence");
    std::fs::create_dir_all(&folder).context("cannot make the folder of evidence")?;
    std::fs::write(folder.join(name), text).context("cannot write the evidence")
}

/// The day.
pub fn today() -> String {
    date(SystemTime::now())
}

/// The machine in words.
pub fn machine() -> String {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(20_819), "2027-01-01");
    }
}
