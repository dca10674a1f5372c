//! The order in which go-yaml writes the keys of a mapping.
//!
//! It is nearly the order a person expects: digits before letters, numbers by value. It is not
//! a total order for every set of keys, so the standard sort (which may panic on such) is never
//! used with it.

use std::cmp::Ordering;

/// Compares two keys as go-yaml orders them: letters after everything else, runs of digits by
/// their value.
pub fn natural(a: &str, b: &str) -> Ordering {
    if a == b {
        Ordering::Equal
    } else if less(a, b) {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

fn less(a: &str, b: &str) -> bool {
    let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let at = (0..=shared).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(0);
    let (Some(first_a), Some(first_b)) = (a[at..].chars().next(), b[at..].chars().next()) else {
        return a.len() < b.len();
    };
    match (first_a.is_alphabetic(), first_b.is_alphabetic()) {
        (true, true) => return first_a < first_b,
        (false, false) => {}
        (_, letter_in_b) => return letter_in_b,
    }
    // A zero within a number is a digit; a zero that leads one is not counted.
    let within_number = (first_a == '0' || first_b == '0') && {
        let digits = a[..at].chars().rev().take_while(|c| c.is_numeric());
        digits.into_iter().any(|c| c != '0')
    };
    let start = i64::from(within_number);
    let (value_a, length_a) = number(&a[at..], start);
    let (value_b, length_b) = number(&b[at..], start);
    if value_a != value_b {
        value_a < value_b
    } else if length_a != length_b {
        length_a < length_b
    } else {
        first_a < first_b
    }
}

/// The value of the digits a text starts with, and how many they are. Wraps as Go's does.
fn number(text: &str, start: i64) -> (i64, usize) {
    let digits = text.chars().take_while(|c| c.is_numeric());
    digits.fold((start, 0), |(value, length), c| {
        let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
        (value.wrapping_mul(10).wrapping_add(digit), length + 1)
    })
}

/// Sorts keys naturally; a merge sort of its own, because the order is not always total.
pub(crate) fn sort<T>(keys: &mut Vec<(&str, T)>) {
    if keys.is_sorted_by(|a, b| a.0 == b.0 || less(a.0, b.0)) {
        return;
    }
    let rest = keys.split_off(keys.len() / 2);
    let (mut left, mut right) = (std::mem::take(keys), rest);
    sort(&mut left);
    sort(&mut right);
    let mut right = right.into_iter().peekable();
    for key in left {
        while let Some(smaller) = right.next_if(|other| less(other.0, key.0)) {
            keys.push(smaller);
        }
        keys.push(key);
    }
    keys.extend(right);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &str) {
        let mut sorted: Vec<(&str, ())> = keys.split(' ').map(|key| (key, ())).collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        sort(&mut sorted);
        assert_eq!(sorted.iter().map(|key| key.0).collect::<Vec<_>>().join(" "), keys);
    }

    #[test]
    fn numbers_by_value() {
        check("a2 a10 a100");
        check("1.yaml 2.yaml 10.yaml");
        check("v1 v2beta1 v10");
    }

    #[test]
    fn signs_before_letters() {
        check("a-b a.b a_b ab");
        check(".dotfile A Z a z");
        check("1a a b");
    }

    #[test]
    fn prefixes_first() {
        check("a aa aaa");
        check("name namespace");
    }
}
