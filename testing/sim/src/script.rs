//! Scripts as text: commands with what they print, and everything between kept as it is.
//!
//! In: a file. Out: its commands in order; and, given what each printed, the file again, so that a
//! golden is compared, and rewritten, as a whole.

/// A script: what people read beside the commands is kept to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A comment or an empty line.
    Prose(String),
    Command(Command),
}

/// A line that begins with `> `, with the lines below that begin with `| `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The words of the command.
    pub words: Vec<String>,
    /// The text that goes with it, without its margin.
    pub body: Option<String>,
    written: String,
}

impl Command {
    /// The command without its first words.
    pub fn without(&self, count: usize) -> Self {
        let words = self.words.iter().skip(count).cloned().collect();
        Self { words, ..self.clone() }
    }
}

impl Script {
    /// Reads a script. Lines that are neither command, margin, comment nor empty are what the
    /// command above them printed.
    pub fn parse(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for line in text.lines() {
            if let Some(words) = line.strip_prefix("> ") {
                parts.push(Part::Command(Command {
                    words: words.split_whitespace().map(str::to_owned).collect(),
                    body: None,
                    written: format!("{line}\n"),
                }));
            } else if let (Some(body), Some(Part::Command(command))) =
                (margin(line), parts.last_mut())
            {
                let all = command.body.get_or_insert_default();
                all.push_str(body);
                all.push('\n');
                command.written.push_str(line);
                command.written.push('\n');
            } else if line.is_empty() || line.starts_with('#') {
                parts.push(Part::Prose(format!("{line}\n")));
            }
        }
        Self { parts }
    }

    /// Its commands in order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.parts.iter().filter_map(|part| match part {
            Part::Command(command) => Some(command),
            Part::Prose(_) => None,
        })
    }

    /// The script with what each command printed.
    pub fn with(&self, outputs: &[String]) -> String {
        let mut outputs = outputs.iter();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Prose(line) => text.push_str(line),
                Part::Command(command) => {
                    text.push_str(&command.written);
                    let output = outputs.next().map_or("", String::as_str);
                    for line in output.lines().filter(|line| !line.trim().is_empty()) {
                        text.push_str(line.trim_end());
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

fn margin(line: &str) -> Option<&str> {
    line.strip_prefix("| ").or_else(|| line.strip_prefix('|').filter(|rest| rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# A comment.

> commit main app/a.yaml
| kind: X
|
|   deep: 1
main is at A
> status
old
lines

# The end.
";

    #[test]
    fn what_is_not_output_is_kept() {
        let script = Script::parse(TEXT);
        let commands: Vec<_> = script.commands().collect();
        assert_eq!(commands[0].words, ["commit", "main", "app/a.yaml"]);
        assert_eq!(commands[0].body.as_deref(), Some("kind: X\n\n  deep: 1\n"));
        let outputs = ["main is at A".to_owned(), "new  \n".to_owned()];
        assert_eq!(script.with(&outputs), TEXT.replace("old\nlines\n", "new\n"));
    }
}
