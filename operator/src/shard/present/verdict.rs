//! What a look at an order's records says of it. Pure: records, faults, what servers lack, `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sancho_crds::{FoundBy, PresentedRecord};

use crate::shard::quarantine::Finding;
use crate::solvers::dns01::{DnsFault, Lack};

/// The record could not be seen everywhere in time.
pub(super) const RECORD_NOT_SEEN: &str = "DNSRecordNotSeen";
/// After so many looks, some ten minutes, a name whose place in DNS cannot be found is given up.
const MOST_LOOKS: u32 = 45;

/// What one look at an order's records came to.
pub(super) struct Look<'a> {
    pub(super) records: &'a [PresentedRecord],
    /// What is wrong, by name, of records that were not written and of those that have to stand.
    pub(super) faults: &'a BTreeMap<String, DnsFault>,
    /// What servers lack, by record.
    pub(super) unseen: &'a BTreeMap<String, Lack>,
    /// The names of which the CA was asked since.
    pub(super) reread: &'a BTreeSet<String>,
    /// How many there were before.
    pub(super) looks: u32,
    /// How long a record may take to be seen.
    pub(super) timeout: Duration,
    pub(super) now: Timestamp,
}

/// What it says of the order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All records can be seen.
    Seen,
    /// These names' records were not seen in time. Where another shard of the account has the same challenge,
    /// they may be valid, and their records gone.
    Doubted(BTreeSet<String>),
    /// These names' records cannot be written, or were not seen in time.
    GivenUp(Vec<Finding>),
    /// All may be seen later.
    Waits { reason: &'static str, words: String },
}

impl Look<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        let unread = self
            .late()
            .filter(|(record, _)| !self.reread.contains(&record.name));
        let unread: BTreeSet<String> = unread.map(|(record, _)| record.name.clone()).collect();
        if !unread.is_empty() {
            return Verdict::Doubted(unread);
        }
        let over = self
            .faults
            .iter()
            .filter(|(name, fault)| self.is_over(name, fault));
        let mut findings: Vec<Finding> = over
            .map(|(name, fault)| finding(name, fault.reason, fault.words.clone()))
            .collect();
        findings.extend(self.late().map(|(record, lack)| self.not_seen(record, lack)));
        if !findings.is_empty() {
            return Verdict::GivenUp(findings);
        }
        match (self.faults.values().next(), self.lacking().next()) {
            (Some(fault), _) => Verdict::Waits {
                reason: fault.reason,
                words: fault.words.clone(),
            },
            (None, Some((record, lack))) => Verdict::Waits {
                reason: "WaitsForDNS",
                words: format!(
                    "the TXT record {} is not seen everywhere yet: {}",
                    record.record, lack.words
                ),
            },
            (None, None) => Verdict::Seen,
        }
    }

    /// The records that are written and not seen everywhere.
    fn lacking(&self) -> impl Iterator<Item = (&PresentedRecord, &Lack)> {
        let written = self.records.iter().filter(|record| record.written);
        written.filter_map(move |record| Some((record, self.unseen.get(&record.record)?)))
    }

    /// Those of them that were not seen in time.
    fn late(&self) -> impl Iterator<Item = (&PresentedRecord, &Lack)> {
        let is_late =
            |(record, lack): &(&PresentedRecord, &Lack)| record.since.0 + lack.wait(self.timeout) <= self.now;
        self.lacking().filter(is_late)
    }

    /// Is this fault of a name not to be waited out, or has it been for long enough?
    fn is_over(&self, name: &str, fault: &DnsFault) -> bool {
        if fault.is_of_pace() {
            return false;
        }
        let record = self.records.iter().find(|record| record.name == name);
        let has_lasted = record.map_or(self.looks >= MOST_LOOKS, |record| self.is_late(record));
        has_lasted || !fault.is_passing()
    }

    fn is_late(&self, record: &PresentedRecord) -> bool {
        record.since.0 + self.timeout <= self.now
    }

    fn not_seen(&self, record: &PresentedRecord, lack: &Lack) -> Finding {
        let words = format!(
            "the TXT record {} was not seen at all DNS servers of its zone within {} s: {}: {}",
            record.record,
            lack.wait(self.timeout).as_secs(),
            lack.words,
            lack.mend()
        );
        finding(&record.name, RECORD_NOT_SEEN, words)
    }
}

fn finding(name: &str, reason: &str, message: String) -> Finding {
    Finding {
        name: name.to_owned(),
        by: FoundBy::Check,
        reason: reason.to_owned(),
        message,
        not_before: None,
    }
}
