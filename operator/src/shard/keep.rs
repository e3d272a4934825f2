//! A claim that is kept while something is done that needs no slot: looks at names, requests to providers of DNS.
//!
//! # Guarantees
//! Slots go round among the replicas that want one, so that whoever looks at names for longer than a turn holds none for a
//! while, and a claim counts with a slot alone. Others would take the shard over and look in their turn, each for as long,
//! and none would come to an end. So what takes its time is written down with the claim (`busyUntil`), again and again,
//! and others heed it. A replica that dies meanwhile keeps its shard from them for [`LASTS`] at most.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sancho_crds::{CertificateShardStatus, Claim};
use tokio::time::sleep;

use super::record::{RecordError, Recorder};
use crate::clock;

/// What is done within that time costs no write.
const QUIET: Duration = Duration::from_secs(5);
/// How often it is written down after that.
const AGAIN: Duration = Duration::from_secs(10);
/// How long others heed what was written down last.
const LASTS: SignedDuration = SignedDuration::from_secs(30);

/// Until when is the shard with this claim not to be taken over, though its holder may hold no slot? Not at all by a clock
/// that is far ahead.
pub(super) fn busy_until(claim: &Claim, now: Timestamp) -> Option<Timestamp> {
    let until = claim.busy_until.as_ref()?.0;
    let left = until.duration_since(now);
    (left.is_positive() && left <= LASTS + LASTS).then_some(until)
}

/// Does `work`, and keeps the claim of the shard in `recorder` meanwhile. That somebody else has taken it over
/// nonetheless is found by whatever is recorded next.
pub(super) async fn keep<T>(recorder: &mut Recorder, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut pause = QUIET;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(pause) => {}
        }
        pause = AGAIN;
        // Once begun a write is waited for: nothing could be recorded on top of one that may have landed.
        let mut writing = pin!(write_down(recorder));
        let mut done = None;
        let written = loop {
            tokio::select! {
                written = &mut writing => break written,
                early = &mut work, if done.is_none() => done = Some(early),
            }
        };
        if let Some(done) = done {
            return done;
        }
        if written.is_err() {
            return work.await;
        }
    }
}

async fn write_down(recorder: &mut Recorder) -> Result<(), RecordError> {
    let mut status = recorder.status();
    if let Some(claim) = status.claim.as_mut() {
        claim.busy_until = clock::now().checked_add(LASTS).ok().map(clock::time);
    }
    recorder.record(status).await
}

/// Says in `status`, which is about to be recorded, that it is done.
pub(super) fn done(status: &mut CertificateShardStatus) {
    if let Some(claim) = status.claim.as_mut() {
        claim.busy_until = None;
    }
}

/// Gives a claim back that others would heed, since the process is to end.
pub(super) async fn give_back(recorder: &mut Recorder) {
    let mut status = recorder.status();
    if status.claim.take_if(|claim| claim.busy_until.is_some()).is_none() {
        return;
    }
    if let Err(error) = recorder.record(status).await {
        tracing::debug!(%error, "a claim could not be given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_claim_is_heeded_until_what_it_says_and_not_by_a_clock_that_is_far_ahead() {
        let claim = |second| Claim {
            holder: "other".into(),
            busy_until: Some(clock::time(at(second))),
        };
        assert_eq!(busy_until(&claim(130), at(100)), Some(at(130)));
        assert_eq!(busy_until(&claim(130), at(130)), None);
        assert_eq!(busy_until(&claim(161), at(100)), None);
        let quiet = Claim {
            holder: "other".into(),
            busy_until: None,
        };
        assert_eq!(busy_until(&quiet, at(100)), None);
    }
}
