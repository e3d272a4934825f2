//! The replay nonces that are in hand (RFC 8555 §6.5).

use std::time::Duration;

use tokio::time::Instant;

/// More than any budget has requests in flight.
const MOST: usize = 64;

/// A CA keeps nonces by number, not by time, so an old one may still do. After this long it is
/// more likely gone than not.
const OLDEST: Duration = Duration::from_secs(600);

/// A nonce and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    /// The value, base64url.
    pub value: String,
    /// When the response that carried it was read.
    pub received: Instant,
}

/// The unused nonces of one CA: bounded, newest first, old ones dropped.
#[derive(Debug, Default)]
pub struct NoncePool {
    nonces: Vec<Nonce>,
}

impl Nonce {
    /// The nonce in a `Replay-Nonce` field, if it has the syntax that RFC 8555 §6.5.1 asks for.
    #[must_use]
    pub fn parse(value: &str, received: Instant) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (!value.is_empty() && value.len() <= 512 && value.bytes().all(legal)).then(|| Nonce {
            value: value.to_owned(),
            received,
        })
    }
}

impl NoncePool {
    /// Is none in hand?
    pub fn is_empty(&self) -> bool {
        self.nonces.is_empty()
    }

    /// Takes the newest nonce that is not too old at `now`.
    pub fn take(&mut self, now: Instant) -> Option<Nonce> {
        let newest = self.nonces.pop()?;
        if now.saturating_duration_since(newest.received) > OLDEST {
            // All the others are older still.
            self.nonces.clear();
            return None;
        }
        Some(newest)
    }

    /// Keeps a nonce for later; the oldest one makes way when there are too many.
    pub fn put(&mut self, nonce: Nonce) {
        let place = self
            .nonces
            .partition_point(|held| held.received <= nonce.received);
        self.nonces.insert(place, nonce);
        if self.nonces.len() > MOST {
            self.nonces.remove(0);
        }
    }

    /// The CA no longer knew `nonce`: those that came before it are dropped too.
    pub fn rejected(&mut self, nonce: &Nonce) {
        self.nonces.retain(|held| held.received > nonce.received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(value: &str, received: Instant) -> Nonce {
        Nonce::parse(value, received).unwrap()
    }

    fn taken(pool: &mut NoncePool, now: Instant) -> Option<String> {
        pool.take(now).map(|nonce| nonce.value)
    }

    #[test]
    fn the_newest_nonce_is_taken_first_whatever_the_order_of_arrival() {
        let now = Instant::now();
        let mut pool = NoncePool::default();
        pool.put(nonce("second", now + Duration::from_secs(2)));
        pool.put(nonce("first", now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(3);
        assert_eq!(taken(&mut pool, later).as_deref(), Some("second"));
        assert_eq!(taken(&mut pool, later).as_deref(), Some("first"));
        assert_eq!(taken(&mut pool, later), None);
    }

    #[test]
    fn the_oldest_makes_way_when_the_pool_is_full() {
        let now = Instant::now();
        let mut pool = NoncePool::default();
        for index in 0..=MOST {
            pool.put(nonce(
                &format!("n{index}"),
                now + Duration::from_millis(index as u64),
            ));
        }
        let values: Vec<String> = std::iter::from_fn(|| taken(&mut pool, now)).collect();
        assert_eq!(values.len(), MOST);
        assert_eq!(values.last().map(String::as_str), Some("n1"));
    }

    #[test]
    fn an_old_nonce_is_not_used() {
        let now = Instant::now();
        let mut pool = NoncePool::default();
        pool.put(nonce("old", now));
        pool.put(nonce("older", now - Duration::from_secs(1)));
        assert_eq!(taken(&mut pool, now + OLDEST + Duration::from_secs(1)), None);
        assert_eq!(taken(&mut pool, now), None);
    }

    #[test]
    fn a_rejected_nonce_takes_those_before_it_along() {
        let now = Instant::now();
        let mut pool = NoncePool::default();
        pool.put(nonce("before", now));
        pool.put(nonce("after", now + Duration::from_secs(2)));
        pool.rejected(&nonce("rejected", now + Duration::from_secs(1)));
        assert_eq!(taken(&mut pool, now).as_deref(), Some("after"));
        assert_eq!(taken(&mut pool, now), None);
    }

    #[test]
    fn a_nonce_that_is_not_base64url_is_ignored() {
        let now = Instant::now();
        assert_eq!(Nonce::parse("", now), None);
        assert_eq!(Nonce::parse("a b", now), None);
        assert_eq!(Nonce::parse("a=", now), None);
        assert_eq!(Nonce::parse(&"a".repeat(513), now), None);
        assert!(Nonce::parse("oFvnlFP1wIhRlYS2jTaXbA", now).is_some());
    }
}
