//! Time spans as kubectl writes ages: one or two units.

use jiff::{SignedDuration, Timestamp};

/// `89d`, `3d4h`, `2h30m`, `12m`, `40s`; a span in the past is zero.
pub fn text(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match (days, seconds / 3600, seconds / 60) {
        (8.., _, _) => format!("{days}d"),
        (1.., _, _) => two(days, 'd', hours, 'h'),
        (_, 1.., _) => two(hours, 'h', minutes, 'm'),
        (_, _, 2..) => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}

/// How long it is until `at`; `expired` if that has passed.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        "expired".into()
    } else {
        text(at.duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let spans = [
            (89 * 86_400 + 5, "89d"),
            (3 * 86_400 + 4 * 3600, "3d4h"),
            (2 * 86_400, "2d"),
            (2 * 3600 + 30 * 60, "2h30m"),
            (12 * 60 + 5, "12m"),
            (90, "90s"),
            (-5, "0s"),
        ];
        for (seconds, expected) in spans {
            assert_eq!(text(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
