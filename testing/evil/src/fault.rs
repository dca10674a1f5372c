//! The ways in which a server lets its clients down.
//!
//! In and out: text, such as `status 429 retry-after 2` or `cut 100`. What each does is said once,
//! at the variants.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `reset`: the connection breaks before the server hears of the request.
    Reset,
    /// `lose`: the server does it, and the connection breaks before it can say so.
    Lose,
    /// `status CODE [retry-after SECONDS] [TEXT]`: the answer is this, and the server never hears
    /// of the request.
    Status {
        /// The HTTP status.
        code: u16,
        /// What the header of that name asks for.
        retry_after: Option<u32>,
        /// What the answer says.
        text: String,
    },
    /// `delay TIME`: the request arrives late.
    Delay(Duration),
    /// `hang`: no answer ever, and the server never hears of the request.
    Hang,
    /// `mute`: the server does it, and no answer ever comes.
    Mute,
    /// `cut BYTES`: the connection breaks after so many bytes of the answer.
    Cut(usize),
    /// `truncate BYTES`: the answer ends well, but after so many bytes.
    Truncate(usize),
    /// `drip BYTES TIME`: the answer comes so many bytes at a time, with a pause before each.
    Drip(usize, Duration),
    /// `stale`: the answer is the oldest that this path ever had.
    Stale,
    /// `gone`: the resource version is too old, in the answer or as an event of a watch.
    Gone,
    /// `end`: a watch ends at once, as if its time was over.
    End,
    /// `silent`: a watch begins and then says nothing.
    Silent,
    /// `skip N`: a watch does not tell of its Nth event.
    Skip(usize),
    /// `double N`: a watch tells of its Nth event twice.
    Double(usize),
    /// `swap N`: a watch tells of its Nth event after the one that follows.
    Swap(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Duration| format!("{}ms", time.as_millis());
        match self {
            Self::Reset => f.write_str("reset"),
            Self::Lose => f.write_str("lose"),
            Self::Status { code, retry_after, text } => {
                write!(f, "status {code}")?;
                if let Some(seconds) = retry_after {
                    write!(f, " retry-after {seconds}")?;
                }
                if !text.is_empty() {
                    write!(f, " {text}")?;
                }
                Ok(())
            }
            Self::Delay(by) => write!(f, "delay {}", time(by)),
            Self::Hang => f.write_str("hang"),
            Self::Mute => f.write_str("mute"),
            Self::Cut(bytes) => write!(f, "cut {bytes}"),
            Self::Truncate(bytes) => write!(f, "truncate {bytes}"),
            Self::Drip(bytes, pause) => write!(f, "drip {bytes} {}", time(pause)),
            Self::Stale => f.write_str("stale"),
            Self::Gone => f.write_str("gone"),
            Self::End => f.write_str("end"),
            Self::Silent => f.write_str("silent"),
            Self::Skip(n) => write!(f, "skip {n}"),
            Self::Double(n) => write!(f, "double {n}"),
            Self::Swap(n) => write!(f, "swap {n}"),
        }
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["reset"] => Self::Reset,
            ["lose"] => Self::Lose,
            ["status", code, "retry-after", seconds, text @ ..] => Self::Status {
                code: number(code)?,
                retry_after: Some(number(seconds)?),
                text: text.join(" "),
            },
            ["status", code, text @ ..] => {
                Self::Status { code: number(code)?, retry_after: None, text: text.join(" ") }
            }
            ["delay", by] => Self::Delay(time(by)?),
            ["hang"] => Self::Hang,
            ["mute"] => Self::Mute,
            ["cut", bytes] => Self::Cut(number(bytes)?),
            ["truncate", bytes] => Self::Truncate(number(bytes)?),
            ["drip", bytes, pause] => Self::Drip(number(bytes)?, time(pause)?),
            ["stale"] => Self::Stale,
            ["gone"] => Self::Gone,
            ["end"] => Self::End,
            ["silent"] => Self::Silent,
            ["skip", n] => Self::Skip(number(n)?),
            ["double", n] => Self::Double(number(n)?),
            ["swap", n] => Self::Swap(number(n)?),
            _ => bail!("{text:?} is no fault"),
        })
    }
}

fn number<Number: FromStr>(text: &str) -> Result<Number> {
    text.parse().ok().with_context(|| format!("{text} is no number that fits"))
}

fn time(text: &str) -> Result<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
    let count: u64 = number(digits)?;
    Ok(match unit {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        _ => bail!("{text} is no time; write 20ms or 3s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_are_written() {
        for text in [
            "reset",
            "lose",
            "status 500",
            "status 429 retry-after 2",
            "status 403 denied by x",
            "delay 20ms",
            "hang",
            "mute",
            "cut 3",
            "truncate 0",
            "drip 64 5ms",
            "stale",
            "gone",
            "end",
            "silent",
            "skip 2",
            "double 1",
            "swap 1",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("delay 3s".parse::<Fault>().unwrap().to_string(), "delay 3000ms");
        for text in ["", "status", "status x", "delay 3", "cut -1", "drip 64", "status 99999"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
