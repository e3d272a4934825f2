//! The one source of chance: a seed gives the same run on every machine.

use std::time::Duration;

/// A linear congruential generator; far from secure, and quick.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
        };
        // Seeds that differ little would begin alike.
        for _ in 0..4 {
            random.below(1);
        }
        random
    }

    /// A whole number from 0 and less than `bound`; 0 if `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound.max(1)
    }

    /// A time up to `span`, in whole microseconds.
    pub fn up_to(&mut self, span: Duration) -> Duration {
        Duration::from_micros(
            self.below(
                u64::try_from(span.as_micros())
                    .unwrap_or(u64::MAX)
                    .saturating_add(1),
            ),
        )
    }
}
