//! How many questions wait for the answers of DNS servers at once: those of one process, and those about one domain.
//!
//! Whoever has a domain may have its servers keep silent, so that each question holds its place for seconds. So a domain has a
//! share of the places, and questions about others go on beside it. Zones below a domain are free of charge, and count as that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sancho_core::names::domain_of;
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many questions are asked at once.
const MOST_AT_ONCE: usize = 128;
/// So many of them are about one domain.
const MOST_OF_DOMAIN: usize = 32;
/// So many domains are remembered before those that nobody asks about are forgotten.
const MOST_DOMAINS: usize = 1000;

/// Places for questions.
pub(super) struct Places {
    all: Semaphore,
    shares: Mutex<HashMap<String, Share>>,
}

/// The places of one domain.
#[derive(Clone)]
pub(super) struct Share(Arc<Semaphore>);

/// A place, until it is dropped.
pub(super) struct Held<'a> {
    _of_domain: Option<SemaphorePermit<'a>>,
    _of_all: Option<SemaphorePermit<'a>>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            all: Semaphore::new(MOST_AT_ONCE),
            shares: Mutex::default(),
        }
    }

    /// The places of the domain that `name` is in.
    pub(super) fn share(&self, name: &str) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= MOST_DOMAINS {
            shares.retain(|_, Share(places)| Arc::strong_count(places) > 1);
        }
        let new = || Share(Arc::new(Semaphore::new(MOST_OF_DOMAIN)));
        shares
            .entry(domain_of(name).to_owned())
            .or_insert_with(new)
            .clone()
    }

    /// Waits for a place of this share.
    pub(super) async fn take<'a>(&'a self, share: &'a Share) -> Held<'a> {
        // In this order no more than its share of a domain waits where the others do. Neither is ever closed.
        let of_domain = share.0.acquire().await.ok();
        let of_all = self.all.acquire().await.ok();
        Held {
            _of_domain: of_domain,
            _of_all: of_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_domain_that_has_its_share_waits_and_keeps_no_other_waiting() {
        let places = Places::new();
        let (greedy, other) = (places.share("a.shop.example"), places.share("blog.example"));
        let same = places.share("_acme-challenge.b.shop.example");
        let mut held: Vec<Held<'_>> = (0..MOST_OF_DOMAIN)
            .filter_map(|_| places.take(&greedy).now_or_never())
            .collect();
        assert_eq!(held.len(), MOST_OF_DOMAIN);
        assert!(places.take(&same).now_or_never().is_none());
        assert!(places.take(&other).now_or_never().is_some());
        held.pop();
        assert!(places.take(&same).now_or_never().is_some());
    }

    #[test]
    fn no_more_than_all_places_are_taken() {
        let places = Places::new();
        let shares: Vec<Share> = (0..5)
            .map(|number| places.share(&format!("{number}.example")))
            .collect();
        let wishes = shares
            .iter()
            .flat_map(|share| std::iter::repeat_n(share, MOST_OF_DOMAIN));
        let held: Vec<Held<'_>> = wishes
            .filter_map(|share| places.take(share).now_or_never())
            .collect();
        assert_eq!(held.len(), MOST_AT_ONCE);
    }

    #[test]
    fn domains_that_nobody_asks_about_are_forgotten() {
        let places = Places::new();
        let kept = places.share("kept.example");
        for number in 0..3 * MOST_DOMAINS {
            places.share(&format!("{number}.example"));
        }
        let shares = places.shares.lock().unwrap();
        assert!(shares.len() <= MOST_DOMAINS);
        assert!(Arc::ptr_eq(&shares["kept.example"].0, &kept.0));
    }
}
