//! TXT records that no shard lists any more: of a shard that was deleted, or that somebody else wrote before
//! it was recorded what stands in DNS for it. Does none list it? → remove → once more, ever more rarely, for
//! ten minutes.
//!
//! # Guarantees
//! - What a shard lists is left to it.
//! - It is done in the background, and ends with the process.
//!
//! # Caveats
//! - Each replica that sees a deletion does this; nothing is lost by that. What none has done when it ends
//!   stays in DNS.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kube::ResourceExt;
use sancho_crds::{CertificateShard, PresentedRecord};

use super::sweep::remove;
use crate::context::{Context, full_name};
use crate::found_by;
use crate::queue::ShardKey;
use crate::solvers::Labels;
use crate::solvers::dns01::Patience;

/// The pauses between two tries, in seconds.
const PAUSES: [u64; 7] = [5, 10, 20, 40, 80, 160, 285];

/// TXT records that may have lost their shard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Orphans {
    /// As it was last.
    shard: CertificateShard,
    /// Those of its Certificate, if they are known.
    labels: Option<Labels>,
    records: Vec<PresentedRecord>,
}

impl Orphans {
    /// These records of `shard`.
    pub(super) fn new(
        shard: CertificateShard,
        labels: Option<Labels>,
        records: Vec<PresentedRecord>,
    ) -> Self {
        Self {
            shard,
            labels,
            records,
        }
    }
}

/// The shards that were seen to list TXT records, which are few: what is missing from a new listing is not
/// shown any more.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    shards: HashMap<ShardKey, Orphans>,
}

impl Remembered {
    /// Takes note of a shard that is there. `labels` are those of its Certificate, if that is seen. Gives
    /// back what another one of its name has left, which must have been deleted before.
    pub(super) fn note(
        &mut self,
        shard: &CertificateShard,
        labels: impl FnOnce() -> Option<Labels>,
    ) -> Option<Orphans> {
        let has_none = listed(shard).is_empty();
        if has_none && self.shards.is_empty() {
            return None;
        }
        let key = ShardKey::of(shard);
        let before = self.shards.remove(&key);
        let is_it = |before: &Orphans| before.shard.metadata.uid == shard.metadata.uid;
        let (before, another) = match before {
            Some(before) if !is_it(&before) => (None, Some(before)),
            before => (before, None),
        };
        if !has_none {
            let labels = labels().or(before.and_then(|before| before.labels));
            let orphans = Orphans::new(shard.clone(), labels, listed(shard).to_vec());
            self.shards.insert(key, orphans);
        }
        another
    }

    /// `shard` was deleted, as it was last. Gives back what it has left.
    pub(super) fn delete(&mut self, shard: CertificateShard, labels: Option<Labels>) -> Option<Orphans> {
        let before = self.shards.remove(&ShardKey::of(&shard));
        let labels = labels.or(before.and_then(|before| before.labels));
        let records = listed(&shard).to_vec();
        (!records.is_empty()).then(|| Orphans::new(shard, labels, records))
    }

    /// What shards have left that are not among these.
    pub(super) fn delete_others(&mut self, present: &HashSet<ShardKey>) -> Vec<Orphans> {
        let gone = self.shards.extract_if(|key, _| !present.contains(key));
        gone.map(|(_, orphans)| orphans).collect()
    }
}

/// Begins to remove them.
pub(super) fn begin(context: &Context, orphans: Orphans) {
    let context = context.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = remove_all(&context, orphans) => {}
            () = context.is_ending() => {}
        }
    });
}

async fn remove_all(context: &Context, orphans: Orphans) {
    let Orphans {
        shard,
        labels,
        mut records,
    } = orphans;
    for pause in PAUSES {
        loop {
            let before = records.len();
            let left = try_once(context, &shard, labels.as_ref(), records).await;
            if left.is_empty() {
                return;
            }
            records = left.into_iter().map(|(record, _)| record).collect();
            // Where a slow provider has removed some, there was no time for the others.
            if records.len() == before {
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    for (record, words) in try_once(context, &shard, labels.as_ref(), records).await {
        let (record, value) = (record.record, record.value);
        tracing::warn!(
            shard = full_name(&shard),
            record,
            value,
            words,
            "a TXT record that no shard lists any more has to be removed by hand"
        );
    }
}

/// Removes those of `records` that no shard lists. Gives back what may still be there, and why.
async fn try_once(
    context: &Context,
    shard: &CertificateShard,
    labels: Option<&Labels>,
    mut records: Vec<PresentedRecord>,
) -> Vec<(PresentedRecord, String)> {
    let of_namespace = context.shards(&shard.namespace().unwrap_or_default());
    let present = match of_namespace.get_opt(&shard.name_any()).await {
        Ok(present) => present,
        Err(error) => {
            let words = format!("whether a shard still lists it cannot be read: {error}");
            let unread = |record| (record, words.clone());
            return records.into_iter().map(unread).collect();
        }
    };
    records.retain(|record| {
        let seen = context.seen.shards.find(&found_by::listing(record));
        let mut others = seen
            .iter()
            .filter(|other| other.metadata.uid != shard.metadata.uid);
        let is_own = present.as_ref().is_some_and(|present| lists(present, record));
        others.next().is_none() && !is_own
    });
    let outcomes = remove(context, shard, records, labels, Patience::OfTask).await;
    outcomes
        .into_iter()
        .filter_map(|(record, outcome)| Some((record, outcome.err()?.words)))
        .collect()
}

/// The records that a shard lists.
fn listed(shard: &CertificateShard) -> &[PresentedRecord] {
    let status = shard.status.as_ref();
    status.map_or(&[][..], |status| &status.dns_records)
}

fn lists(shard: &CertificateShard, record: &PresentedRecord) -> bool {
    let is_it = |one: &PresentedRecord| (&one.record, &one.value) == (&record.record, &record.value);
    listed(shard).iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shard(name: &str, uid: &str, values: &[&str]) -> CertificateShard {
        let record = |value: &&str| {
            json!({
                "name": "a.example", "record": "_acme-challenge.a.example", "zone": "a.example", "value": value,
                "since": "2026-11-24T06:00:00Z",
            })
        };
        let records: Vec<_> = values.iter().map(record).collect();
        serde_json::from_value(json!({
            "apiVersion": "sancho.dev/v1alpha1", "kind": "CertificateShard",
            "metadata": { "name": name, "namespace": "default", "uid": uid },
            "spec": {
                "certificate": "shop", "index": 0, "secretName": "shop-tls", "issuerRef": { "name": "ca" },
                "dnsNames": ["a.example"],
            },
            "status": { "dnsRecords": records },
        }))
        .unwrap()
    }

    fn labels(team: &str) -> Option<Labels> {
        Some([("team".to_owned(), team.to_owned())].into())
    }

    /// The values that a shard has left, and the labels by which their solver is chosen.
    fn left(orphans: Option<Orphans>) -> (Vec<String>, Option<Labels>) {
        let orphans = orphans.unwrap();
        let values = orphans.records.into_iter().map(|record| record.value);
        (values.collect(), orphans.labels)
    }

    #[test]
    fn what_a_deleted_shard_listed_last_is_left_with_the_labels_that_were_known() {
        let mut remembered = Remembered::default();
        assert_eq!(remembered.note(&shard("a", "1", &["v"]), || labels("shop")), None);
        // Its Certificate is gone by then.
        let gone = remembered.delete(shard("a", "1", &["v", "w"]), None);
        assert_eq!(left(gone), (vec!["v".into(), "w".into()], labels("shop")));
        assert_eq!(remembered.delete(shard("a", "1", &[]), None), None);
    }

    #[test]
    fn what_is_missing_from_a_listing_is_left_unless_it_listed_nothing_any_more() {
        let mut remembered = Remembered::default();
        for (name, values) in [("a", &["v"][..]), ("b", &["v"]), ("c", &["v"]), ("d", &[])] {
            remembered.note(&shard(name, "1", values), || labels("shop"));
        }
        remembered.note(&shard("b", "1", &[]), || labels("shop"));
        let present = HashSet::from([ShardKey::of(&shard("c", "1", &[]))]);
        let mut gone = remembered.delete_others(&present);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].shard.name_any(), "a");
        assert_eq!(left(gone.pop()).0, ["v"]);
        assert!(remembered.delete_others(&present).is_empty());
    }

    #[test]
    fn a_shard_of_the_same_name_is_another_one() {
        let mut remembered = Remembered::default();
        remembered.note(&shard("a", "1", &["v"]), || labels("shop"));
        assert_eq!(remembered.note(&shard("a", "1", &["v", "w"]), || None), None);
        let gone = remembered.note(&shard("a", "2", &[]), || labels("blog"));
        assert_eq!(left(gone), (vec!["v".into(), "w".into()], labels("shop")));
        assert_eq!(remembered.note(&shard("a", "2", &[]), || None), None);
    }

    #[test]
    fn a_record_is_tried_for_ten_minutes_and_left_to_a_shard_that_lists_it() {
        assert_eq!(PAUSES.iter().sum::<u64>(), 600);
        let records = listed(&shard("a", "1", &["v"])).to_vec();
        assert!(lists(&shard("a", "2", &["w", "v"]), &records[0]));
        assert!(!lists(&shard("a", "2", &["w"]), &records[0]));
    }
}
