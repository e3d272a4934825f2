//! TXT records of shards whose issuer is not ready, or is deleted: no drive comes for them, since there is no CA whose slot it
//! could have. Half a minute without the issuer → a sweep of its own → another when the next is due.
//!
//! # Guarantees
//! - Records that an order still needs stay for as long as its issuer is there, which may be ready again.
//! - Once the issuer is deleted nothing says how records are removed: that is told at once, with their names, and half an hour
//!   later they are given up.
//!
//! # Caveats
//! - Any replica does this. A sweep's claim and its end are compare-and-swaps, so that of several one comes to its end.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use sancho_crds::CertificateShard;
use tokio::task::{Id, JoinSet};

use super::drive::Stop;
use super::looks::is_issuer_gone;
use super::record::Recorder;
use super::sweep::{Which, sweep};
use crate::clock;
use crate::context::Context;
use crate::issuer::IssuerKey;
use crate::queue::ShardKey;

/// An issuer that is replaced, or whose account is registered anew, is ready again before that.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// After a sweep has begun, whatever came of it, no other one of its shard does for so long.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// So many sweeps are under way at once.
const MOST_AT_ONCE: usize = 4;

/// The shards with records whose issuer is not ready.
#[derive(Debug, Default)]
pub(super) struct Forsaken {
    /// Before when each is left alone.
    not_before: HashMap<ShardKey, Timestamp>,
    sweeps: JoinSet<()>,
    swept: HashMap<Id, ShardKey>,
}

impl Forsaken {
    /// Takes note of a shard whose issuer is not ready. Says when to look again.
    pub(super) fn look(&mut self, context: &Context, shard: &CertificateShard) -> Option<Timestamp> {
        let key = ShardKey::of(shard);
        if shard
            .status
            .as_ref()
            .is_none_or(|status| status.dns_records.is_empty())
        {
            self.forget(&key);
            return None;
        }
        if self.swept.values().any(|swept| *swept == key) {
            // Its end is followed by another look.
            return None;
        }
        let now = clock::now();
        let Some(is_gone) = is_issuer_gone(context, shard) else {
            // The watch tells before long.
            return Some(after(now, PATIENCE));
        };
        let due = which(is_gone).due(shard)?;
        match self.until(&key, due, now) {
            until if until > now => Some(until),
            _ if self.sweeps.len() >= MOST_AT_ONCE => Some(after(now, AGAIN)),
            _ => {
                self.begin(context, key, now);
                None
            }
        }
    }

    /// When the shard's records may be swept, which are `due` then.
    fn until(&mut self, key: &ShardKey, due: Timestamp, now: Timestamp) -> Timestamp {
        let not_before = self.not_before.entry(key.clone());
        due.max(*not_before.or_insert_with(|| after(now, PATIENCE)))
    }

    fn begin(&mut self, context: &Context, key: ShardKey, now: Timestamp) {
        self.not_before.insert(key.clone(), after(now, AGAIN));
        let (context, shard) = (context.clone(), key.clone());
        let begun = self.sweeps.spawn(async move {
            if let Err(stop) = sweep_alone(&context, &shard).await {
                tracing::debug!(%shard, %stop, "records are not swept without their issuer");
            }
        });
        self.swept.insert(begun.id(), key);
    }

    /// The shard whose sweep has ended; nothing if none is under way.
    pub(super) async fn ended(&mut self) -> Option<ShardKey> {
        let id = match self.sweeps.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a sweep broke off");
                error.id()
            }
        };
        self.swept.remove(&id)
    }

    /// The shard's issuer is ready, or the shard is gone.
    pub(super) fn forget(&mut self, key: &ShardKey) {
        self.not_before.remove(key);
    }

    /// Only the shards that `keep` accepts are there.
    pub(super) fn retain(&mut self, keep: impl Fn(&ShardKey) -> bool) {
        self.not_before.retain(|key, _| keep(key));
    }
}

fn after(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// Which records are swept while the issuer is not ready.
fn which(is_issuer_gone: bool) -> Which {
    match is_issuer_gone {
        true => Which::All,
        false => Which::Leftover,
    }
}

/// Sweeps the shard's records, unless its issuer is ready by now or others have done so.
async fn sweep_alone(context: &Context, key: &ShardKey) -> Result<(), Stop> {
    let api = context.shards(&key.namespace);
    let Some(seen) = api.get_opt(&key.name).await? else {
        return Err(Stop::Nothing);
    };
    // Those who come first write it; it is read again after that.
    tokio::time::sleep(context.head_start(&seen.uid().unwrap_or_default())).await;
    let Some(shard) = api.get_opt(&key.name).await? else {
        return Err(Stop::Nothing);
    };
    let issuer = IssuerKey::of(&shard.spec.issuer_ref, &key.namespace);
    let which = is_issuer_gone(context, &shard).map(which);
    let Some(which) = which.filter(|_| context.issuers.get(&issuer).is_none()) else {
        return Err(Stop::Nothing);
    };
    if which.due(&shard).is_none_or(|due| due > clock::now()) {
        return Err(Stop::Nothing);
    }
    tokio::select! {
        swept = sweep(context, Recorder::new(api, shard), which) => swept,
        () = context.is_ending() => Err(Stop::SlotsLost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_issuer_is_waited_for_before_its_records_are_swept_and_after_that_they_are_when_they_are_due() {
        let mut forsaken = Forsaken::default();
        let key = ShardKey {
            namespace: "shop".into(),
            name: "shop-0".into(),
        };
        assert_eq!(forsaken.until(&key, Timestamp::MIN, at(100)), at(130));
        assert_eq!(forsaken.until(&key, Timestamp::MIN, at(130)), at(130));
        assert_eq!(forsaken.until(&key, at(190), at(131)), at(190));
        // It was ready in between.
        forsaken.forget(&key);
        assert_eq!(forsaken.until(&key, Timestamp::MIN, at(200)), at(230));
    }

    #[test]
    fn what_an_order_needs_is_left_alone_unless_its_issuer_is_deleted() {
        assert_eq!(which(false), Which::Leftover);
        assert_eq!(which(true), Which::All);
    }
}
