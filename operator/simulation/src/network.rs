//! How long messages take, and how many are lost.

use std::time::Duration;

use crate::random::Random;

/// The way to the CA and to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The quickest round trip to the CA, both ways together.
    pub round_trip: Duration,
    /// Each way may take this much longer.
    pub jitter: Duration,
    /// Of a thousand messages to and from the API server, so many go wrong; the same of answers of the CA, which
    /// then take up to 25 s.
    pub trouble_per_mille: u64,
}

impl Network {
    /// A CA on the same machine.
    pub fn loopback() -> Self {
        Self {
            round_trip: Duration::from_micros(200),
            jitter: Duration::from_millis(1),
            trouble_per_mille: 0,
        }
    }

    /// A CA 40 ms away, with up to 10 ms of jitter each way.
    pub fn far() -> Self {
        Self {
            round_trip: Duration::from_millis(40),
            jitter: Duration::from_millis(10),
            trouble_per_mille: 0,
        }
    }

    pub(crate) fn way_to_ca(&self, random: &mut Random) -> Duration {
        self.round_trip / 2 + random.up_to(self.jitter)
    }

    /// One way to the API server, its work included.
    pub(crate) fn way_to_api_server(random: &mut Random) -> Duration {
        Duration::from_millis(1) + random.up_to(Duration::from_millis(4))
    }

    pub(crate) fn is_trouble(&self, random: &mut Random) -> bool {
        self.trouble_per_mille > 0 && random.below(1000) < self.trouble_per_mille
    }
}
