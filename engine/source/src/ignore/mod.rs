//! Which files of a version are left out of its artifact.
//!
//! In: patterns in the notation of `.gitignore`: those of `.sourceignore` files, each for its own
//! folder, and those of `spec.ignore`. Out: for every path whether it is left out. The last
//! pattern that matches a path, or a folder it is in, decides. What must never happen: that a
//! stranger's patterns cost more than the limits say.
//!
//! That is Flux's rule and not quite Git's: in Git a file within a folder that is left out cannot
//! be kept by a later pattern; here it can.

mod glob;
mod pattern;

use fixpoint_base::{Class, Classified};

use self::pattern::{LINE_BYTES, Pattern};

/// The files that patterns are read from.
pub const FILE: &str = ".sourceignore";
/// Bytes of one file of patterns; also of `spec.ignore`.
pub const FILE_BYTES: u64 = 64 * 1024;
/// Bytes of all files of patterns of one version.
pub const TOTAL_BYTES: u64 = 1024 * 1024;
/// Patterns of one version. Each is asked about each file: 100,000 files times 4,096 patterns of
/// the usual kind take about half a minute, and the time that an operation may take binds too.
pub const PATTERNS: usize = 4096;
/// Patterns that are asked between two looks at the clock: one takes at worst about a millisecond.
const BETWEEN_LOOKS: usize = 64;

/// Files of version control: left out unless a pattern keeps them.
const VCS: &str = ".git/\n.gitignore\n.gitmodules\n.gitattributes";

/// What Flux leaves out where no pattern is declared: people rely on pictures, archives and CI
/// files not reaching their artifacts.
const DEFAULT: &str = "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n\
    .github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\n\
    cloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n\
    **/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml";

/// Why patterns are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreProblem {
    /// A file of patterns, or `spec.ignore`, is too long.
    #[error("{file} has {bytes} bytes of ignore patterns, over the limit of {limit}")]
    Bytes {
        /// Which one.
        file: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A line is too long to match any path.
    #[error("line {line} of {file} has more than {LINE_BYTES} bytes")]
    Line {
        /// Which file.
        file: String,
        /// Which line, counted from one.
        line: usize,
    },
    /// There are too many of them.
    #[error("there are more than {PATTERNS} ignore patterns")]
    Patterns,
    /// A file of patterns is not text.
    #[error("{file} is not UTF-8 text")]
    NotText {
        /// Which one.
        file: String,
    },
}

impl Classified for IgnoreProblem {
    fn class(&self) -> Class {
        match self {
            Self::Bytes { .. } | Self::Line { .. } | Self::Patterns => Class::Refused,
            Self::NotText { .. } => Class::User,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Bytes { .. } | Self::Line { .. } | Self::Patterns => {
                Some("leave out whole folders instead of single files".to_owned())
            }
            Self::NotText { .. } => Some("write the patterns as UTF-8 text".to_owned()),
        }
    }
}

/// Collects the patterns of one version, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct SieveBuilder {
    patterns: Vec<Pattern>,
    bytes: u64,
}

impl SieveBuilder {
    /// Makes sure that a file of patterns may be read at all, before it is.
    ///
    /// # Errors
    /// When it, or all of them together, are over a limit.
    pub fn admit(&mut self, file: &str, bytes: u64) -> Result<(), IgnoreProblem> {
        let over = |bytes, limit| IgnoreProblem::Bytes { file: file.to_owned(), bytes, limit };
        if bytes > FILE_BYTES {
            return Err(over(bytes, FILE_BYTES));
        }
        self.bytes += bytes;
        if self.bytes > TOTAL_BYTES {
            return Err(over(self.bytes, TOTAL_BYTES));
        }
        Ok(())
    }

    /// Adds the patterns of a file that was admitted, for the folder it is in.
    ///
    /// # Errors
    /// When it is not text, a line is too long, or there are too many patterns.
    pub fn add(&mut self, file: &str, bytes: &[u8]) -> Result<(), IgnoreProblem> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| IgnoreProblem::NotText { file: file.to_owned() })?;
        let domain = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.lines(file, domain, text)
    }

    /// Closes the list with what the source itself declares.
    ///
    /// # Errors
    /// When that is too long, or there are too many patterns.
    pub fn finish(mut self, declared: Option<&str>) -> Result<Sieve, IgnoreProblem> {
        if let Some(declared) = declared {
            let bytes = declared.len() as u64;
            if bytes > FILE_BYTES {
                let file = "spec.ignore".to_owned();
                return Err(IgnoreProblem::Bytes { file, bytes, limit: FILE_BYTES });
            }
            self.lines("spec.ignore", "", declared)?;
        }
        let mut patterns = ours(VCS);
        if self.patterns.is_empty() {
            patterns.extend(ours(DEFAULT));
        }
        patterns.append(&mut self.patterns);
        Ok(Sieve { patterns })
    }

    fn lines(&mut self, file: &str, domain: &str, text: &str) -> Result<(), IgnoreProblem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, number) in text.lines().zip(1..) {
            if line.len() > LINE_BYTES && !line.starts_with('#') {
                return Err(IgnoreProblem::Line { file: file.to_owned(), line: number });
            }
            let Some(pattern) = Pattern::parse(line, domain) else { continue };
            if self.patterns.len() >= PATTERNS {
                return Err(IgnoreProblem::Patterns);
            }
            self.patterns.push(pattern);
        }
        Ok(())
    }
}

fn ours(lines: &str) -> Vec<Pattern> {
    lines.lines().filter_map(|line| Pattern::parse(line, "")).collect()
}

/// The patterns of one version.
#[derive(Debug, Clone)]
pub struct Sieve {
    patterns: Vec<Pattern>,
}

impl Default for Sieve {
    /// What is left out where nothing is declared.
    fn default() -> Self {
        let mut patterns = ours(VCS);
        patterns.extend(ours(DEFAULT));
        Self { patterns }
    }
}

impl Sieve {
    /// Whether a file is left out. `look` is called now and then and may end the work.
    ///
    /// # Errors
    /// When `look` says so.
    pub fn drops_file<E>(
        &self,
        path: &str,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        let decided = self.decides(path, false, look)?;
        Ok(decided.is_some_and(|index| !self.patterns[index].keeps))
    }

    /// Whether everything below a folder is left out, so that it need not be looked into.
    ///
    /// # Errors
    /// When `look` says so.
    pub fn drops_folder<E>(
        &self,
        path: &str,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(decided) = self.decides(path, true, look)? else { return Ok(false) };
        if self.patterns[decided].keeps {
            return Ok(false);
        }
        let later = &self.patterns[decided + 1..];
        Ok(!later.iter().any(|pattern| pattern.keeps && pattern.reaches_into(path)))
    }

    /// The last pattern that matches.
    fn decides<E>(
        &self,
        path: &str,
        folder: bool,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        for (asked, (index, pattern)) in self.patterns.iter().enumerate().rev().enumerate() {
            if asked % BETWEEN_LOOKS == 0 {
                look()?;
            }
            if pattern.matches(path, folder) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
