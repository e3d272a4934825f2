//! Counts the steps whose answer is, or may be, here and not yet recorded at the API server.
//!
//! A slot that were released in between would let another replica take the shard over from a state
//! in which, say, its order does not exist yet. Steps that still wait for their permit are no
//! hindrance: nothing of them has left.

use tokio::sync::watch;

/// The count. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Unrecorded {
    steps: watch::Sender<usize>,
    asking: watch::Sender<usize>,
}

/// One step, from before its request to its record. It ends when this is dropped.
#[derive(Debug)]
pub struct UnrecordedGuard {
    steps: watch::Sender<usize>,
}

impl Default for Unrecorded {
    fn default() -> Self {
        Self {
            steps: watch::Sender::new(0),
            asking: watch::Sender::new(0),
        }
    }
}

impl Unrecorded {
    /// A step begins.
    #[must_use]
    pub fn begin(&self) -> UnrecordedGuard {
        self.steps.send_modify(|count| *count += 1);
        UnrecordedGuard {
            steps: self.steps.clone(),
        }
    }

    /// So many steps wait for a permit now.
    pub(super) fn set_asking(&self, waiting: usize) {
        self.asking
            .send_if_modified(|asking| std::mem::replace(asking, waiting) != waiting);
    }

    /// Returns once every step either waits for a permit or is recorded.
    pub async fn none(&self) {
        let (mut steps, mut asking) = (self.steps.subscribe(), self.asking.subscribe());
        loop {
            if *steps.borrow_and_update() <= *asking.borrow_and_update() {
                return;
            }
            // The senders live as long as `self`, so neither wait can fail.
            tokio::select! {
                _ = steps.changed() => {}
                _ = asking.changed() => {}
            }
        }
    }
}

impl Drop for UnrecordedGuard {
    fn drop(&mut self) {
        self.steps.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn is_none(unrecorded: &Unrecorded) -> bool {
        tokio::time::timeout(Duration::from_secs(1), unrecorded.none())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_all_that_have_begun() {
        let unrecorded = Unrecorded::default();
        assert!(is_none(&unrecorded).await);
        let first = unrecorded.begin();
        let second = unrecorded.begin();
        drop(first);
        assert!(!is_none(&unrecorded).await);
        drop(second);
        assert!(is_none(&unrecorded).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_waits_for_its_permit_is_no_hindrance() {
        let unrecorded = Unrecorded::default();
        let _step = unrecorded.begin();
        unrecorded.set_asking(1);
        assert!(is_none(&unrecorded).await);
        unrecorded.set_asking(0);
        assert!(!is_none(&unrecorded).await);
    }
}
