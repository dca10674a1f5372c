//! Dates and times that go-yaml takes a plain scalar for.
//!
//! In: the text of a scalar. Out: the same instant as RFC 3339 text, or nothing where go-yaml
//! sees a string. No clock and no zone but the one that is written.

/// Reads a date or a time and writes it as Go's JSON encoder does.
pub(crate) fn rfc3339(text: &str) -> Option<String> {
    let (date, rest) = split_date(text)?;
    if rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    match rest.as_bytes()[0] {
        b'T' | b't' => {
            let (time, zone) = clock(&rest[1..])?;
            Some(format!("{date}T{time}{}", offset(zone)?))
        }
        b' ' => {
            let (time, zone) = clock(&rest[1..])?;
            zone.is_empty().then(|| format!("{date}T{time}Z"))
        }
        _ => None,
    }
}

fn split_date(text: &str) -> Option<(String, &str)> {
    let year_text = text.get(..4)?;
    let year: u32 = all_digits(year_text)?;
    let rest = text[4..].strip_prefix('-')?;
    let (month, rest) = one_or_two(rest)?;
    let rest = rest.strip_prefix('-')?;
    let (day, rest) = one_or_two(rest)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days).contains(&day).then(|| (format!("{year:04}-{month:02}-{day:02}"), rest))
}

/// Hours, minutes and seconds with a fraction; gives them padded, and what follows.
fn clock(text: &str) -> Option<(String, &str)> {
    let hour_digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let hour: u32 = all_digits(text.get(..hour_digits)?)?;
    let (minute, rest) = one_or_two(text[hour_digits..].strip_prefix(':')?)?;
    let (second, rest) = one_or_two(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix(['.', ',']) {
        Some(after) => {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            if length == 0 || length > 9 {
                return None;
            }
            (after[..length].trim_end_matches('0'), &after[length..])
        }
        None => ("", rest),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some((format!("{hour:02}:{minute:02}:{second:02}{point}{fraction}"), rest))
}

fn offset(zone: &str) -> Option<String> {
    if zone == "Z" {
        return Some("Z".to_owned());
    }
    let bytes = zone.as_bytes();
    let shaped = bytes.len() == 6 && matches!(bytes[0], b'+' | b'-') && bytes[3] == b':';
    if !shaped || !zone.is_ascii() {
        return None;
    }
    let (hours, minutes): (u32, u32) = (all_digits(&zone[1..3])?, all_digits(&zone[4..])?);
    if hours > 24 || minutes > 60 {
        return None;
    }
    Some(if hours == 0 && minutes == 0 { "Z".to_owned() } else { zone.to_owned() })
}

fn one_or_two(text: &str) -> Option<(u32, &str)> {
    let length = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    Some((all_digits(text.get(..length)?)?, &text[length..]))
}

fn all_digits(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_time() {
        for (text, expected) in [
            ("2001-12-14", "2001-12-14T00:00:00Z"),
            ("2001-1-2", "2001-01-02T00:00:00Z"),
            ("2001-12-14T21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14t21:59:43Z", "2001-12-14T21:59:43Z"),
            ("2001-12-14 21:59:43.5", "2001-12-14T21:59:43.5Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not() {
        for text in [
            "2001",
            "2001-",
            "2001-12",
            "2001-12-",
            "20011-12-14",
            "2023-02-29",
            "2001-12-14T",
            "2001-12-14T25:00:00Z",
            "2001-12-14 21:59:43 -5",
            "2001-12-14x",
            "2001-12-1é",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
