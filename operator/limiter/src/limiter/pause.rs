//! The pause of the whole budget after a throttle.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Throttle;
use crate::moment::Moment;
use crate::record::Pause;

/// The shortest pause after a refusal without a Retry-After.
const SHORTEST_BARE: Duration = Duration::from_secs(1);
/// The longest: after an outage it takes at most this long until that is noticed.
const LONGEST_BARE: Duration = Duration::from_secs(30);
/// No Retry-After stops all sending for longer than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A request that was refused, or lost with the CA out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    retry_after: Option<Duration>,
}

impl From<Throttle> for Refusal {
    fn from(throttle: Throttle) -> Self {
        let Throttle { retry_after } = throttle;
        Self { retry_after }
    }
}

/// What this process knows about pauses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Paused {
    until: Option<Moment>,
    /// When the last throttle that counted came.
    began: Option<Moment>,
    bare_throttles: u32,
    /// The Retry-After that `until` comes from, in seconds.
    asked_seconds: Option<u64>,
    /// The pause in the Lease that `until` already accounts for.
    seen: Option<u64>,
    /// There is more to it than the Lease says.
    pub(super) unwritten: bool,
}

impl Paused {
    /// The end of the pause, if it is not over.
    pub(super) fn until(&self, now: Moment) -> Option<Moment> {
        self.until.filter(|until| *until > now)
    }

    /// A request that left at `sent` was refused.
    ///
    /// The pause is two `spacing`s of the budget, at least 1 s, doubled for each refusal in a row, up to 30 s;
    /// a Retry-After makes it longer, never shorter. Requests that were under way when the pause began count
    /// as one refusal.
    pub(super) fn refused(&mut self, refusal: Refusal, sent: Moment, spacing: Duration, now: Moment) {
        let is_new = self.began.is_none_or(|began| sent > began);
        let own = is_new.then(|| {
            let first = spacing.saturating_mul(2).max(SHORTEST_BARE);
            let doubled = first.saturating_mul(2_u32.saturating_pow(self.bare_throttles));
            self.bare_throttles = self.bare_throttles.saturating_add(1);
            doubled.min(LONGEST_BARE)
        });
        let asked = refusal.retry_after.map(|asked| asked.min(LONGEST));
        let Some(pause) = own.max(asked) else {
            return;
        };
        self.began = Some(now);
        let end = now + pause;
        if self.until.is_none_or(|until| until < end) {
            self.until = Some(end);
            self.unwritten = true;
            self.asked_seconds = refusal
                .retry_after
                .filter(|_| asked >= own)
                .map(|asked| asked.as_secs());
        }
    }

    /// A request that left at `sent` got through.
    pub(super) fn accepted(&mut self, sent: Moment) {
        if self.began.is_none_or(|began| sent > began) {
            self.bare_throttles = 0;
        }
    }

    /// The Lease, seen at `now`, says this.
    pub(super) fn read(&mut self, pause: Option<&Pause>, now: Moment) {
        match pause {
            Some(pause) if self.seen != Some(pause.serial) => {
                self.seen = Some(pause.serial);
                self.began = Some(now);
                self.bare_throttles = self.bare_throttles.max(pause.bare_throttles);
                self.asked_seconds = pause.asked_seconds;
                let end = now + pause.remaining.min(LONGEST);
                self.until = Some(self.until.map_or(end, |until| until.max(end)));
            }
            Some(_) => {}
            // Whoever took it out saw it before us or when we did, and has waited it out.
            None if self.seen.take().is_some() && !self.unwritten => self.until = None,
            None => {}
        }
    }

    /// What to write into the Lease at `now` in a write that makes revision `revision`.
    pub(super) fn to_write(&self, standing: Option<&Pause>, revision: u64, now: Moment) -> Option<Pause> {
        let until = self.until(now)?;
        let serial = match standing {
            Some(pause) if !self.unwritten => pause.serial,
            _ => revision,
        };
        Some(Pause {
            serial,
            remaining: until.since(now),
            bare_throttles: self.bare_throttles,
            asked_seconds: self.asked_seconds,
            unknown: standing.map_or_else(BTreeMap::new, |pause| pause.unknown.clone()),
        })
    }

    /// A write that said `pause`, to end at `until`, has landed.
    pub(super) fn written(&mut self, pause: Option<&Pause>, until: Option<Moment>) {
        self.seen = pause.map(|pause| pause.serial);
        if self.until == until {
            self.unwritten = false;
        }
    }

    /// The table is another one: serials of the former mean nothing.
    pub(super) fn forget_table(&mut self) {
        self.seen = None;
    }

    /// The end of the latest pause, be it over or not.
    pub(super) fn latest(&self) -> Option<Moment> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn bare() -> Refusal {
        Refusal::default()
    }

    #[test]
    fn bare_throttles_in_a_row_double_the_pause_up_to_half_a_minute() {
        let mut paused = Paused::default();
        let mut now = at(1);
        for expected in [2, 4, 8, 16, 30, 30] {
            paused.refused(bare(), now, SPACING, now + Duration::from_millis(1));
            let began = now + Duration::from_millis(1);
            assert_eq!(paused.until(began), Some(began + Duration::from_secs(expected)));
            now = began + Duration::from_secs(expected);
        }
        paused.accepted(now);
        paused.refused(bare(), now, SPACING, now);
        assert_eq!(
            paused.until(now),
            Some(now + SPACING * 2),
            "one that got through ends the row"
        );
    }

    #[test]
    fn requests_refused_together_count_as_one() {
        let mut paused = Paused::default();
        paused.refused(bare(), at(1), SPACING, at(2));
        paused.refused(bare(), at(1), SPACING, at(2));
        assert_eq!(paused.until(at(2)), Some(at(4)));
    }

    #[test]
    fn a_retry_after_only_ever_lengthens_the_pause() {
        let mut paused = Paused::default();
        paused.refused(
            Refusal {
                retry_after: Some(Duration::from_secs(30)),
            },
            at(1),
            SPACING,
            at(2),
        );
        paused.refused(
            Refusal {
                retry_after: Some(Duration::from_secs(5)),
            },
            at(1),
            SPACING,
            at(3),
        );
        assert_eq!(paused.until(at(3)), Some(at(32)));
    }

    #[test]
    fn a_pause_in_the_lease_counts_once_and_ends_when_another_ends_it() {
        let mut paused = Paused::default();
        let standing = Pause {
            serial: 4,
            remaining: Duration::from_secs(10),
            bare_throttles: 0,
            asked_seconds: None,
            unknown: BTreeMap::new(),
        };
        paused.read(Some(&standing), at(1));
        paused.read(Some(&standing), at(5));
        assert_eq!(paused.until(at(5)), Some(at(11)));
        paused.read(None, at(6));
        assert_eq!(paused.until(at(6)), None);
    }
}
