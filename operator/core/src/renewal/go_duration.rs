//! Go durations (`720h`, `1h30m`), as Kubernetes manifests write them.

use std::time::Duration;

use crate::shown::shown_within;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Why a text is not a duration that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    /// Not a number with a unit, one or more times.
    #[error("\"{0}\" is not a duration: write numbers with the units h, m or s, such as 720h or 1h30m")]
    Syntax(String),
    /// A number without its unit.
    #[error("\"{0}\" lacks a unit at its end: write h, m or s after each number, such as 720h")]
    NoUnit(String),
    /// A unit that Go does not have.
    #[error("\"{0}\" has the unit \"{1}\": only h, m, s, ms, us and ns exist; a day is 24h")]
    Unit(String, String),
    /// Zero or less.
    #[error("\"{0}\" is not longer than zero: write a positive duration, such as 720h")]
    NotPositive(String),
    /// More than Go's own limit (2^63 ns, about 292 years).
    #[error("\"{0}\" is longer than a duration can be (about 2562047h)")]
    Long(String),
}

/// Reads a positive Go duration: one or more decimal numbers with a unit each.
pub fn parse_go_duration(text: &str) -> Result<Duration, GoDurationError> {
    let name = || shown_within(text, 40);
    if text.starts_with('-') {
        return Err(GoDurationError::NotPositive(name()));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Err(GoDurationError::NotPositive(name()));
    }
    if rest.is_empty() {
        return Err(GoDurationError::Syntax(name()));
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !(c.is_ascii_digit() || c == '.'));
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return Err(GoDurationError::Syntax(name()));
        }
        if unit.is_empty() {
            return Err(GoDurationError::NoUnit(name()));
        }
        let Some((_, scale)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            return Err(GoDurationError::Unit(name(), shown_within(unit, 10)));
        };
        total = nanoseconds(whole, part, *scale)
            .and_then(|value| total.checked_add(value))
            .filter(|&sum| sum <= i64::MAX as u128)
            .ok_or_else(|| GoDurationError::Long(name()))?;
        rest = after;
    }
    if total == 0 {
        return Err(GoDurationError::NotPositive(name()));
    }
    // It fits: at most 2^63 nanoseconds.
    Ok(Duration::from_nanos(total as u64))
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn nanoseconds(whole: &str, part: &str, scale: u128) -> Option<u128> {
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits are finer than a nanosecond of an hour; what follows adds nothing.
    let part = &part[..part.len().min(18)];
    let fraction: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    whole
        .checked_mul(scale)?
        .checked_add(fraction * scale / 10u128.pow(part.len() as u32))
}
