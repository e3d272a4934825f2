//! What this process has seen of the Lease, and since when by its own clock.

use std::time::Duration;

use crate::durations::Durations;
use crate::holder::Holder;
use crate::moment::Moment;
use crate::record::{Record, Row, Unreadable};

/// The Lease as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lease {
    /// Not read yet, or not known any more.
    Unseen,
    /// There is none.
    Absent,
    /// A record with its `resourceVersion`.
    Found { record: Box<Record>, version: String },
    /// Not usable; may be replaced unless a newer release wrote it.
    Unreadable { reason: Unreadable, version: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) lease: Lease,
    /// When the Lease was last confirmed to be so.
    pub(super) at: Moment,
    /// Incarnation and revision of the latest record ever seen.
    latest: Option<(String, u64)>,
    rows: Vec<Sighting>,
    /// Since when only older revisions have been seen.
    older_since: Option<Moment>,
}

/// A row's content, by what makes it this and no other, and since when it has been seen so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sighting {
    holder: Option<Holder>,
    stamp: u64,
    in_doubt: bool,
    since: Moment,
    /// This process itself wrote it so.
    own: bool,
}

/// How a record relates to what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adoption {
    /// Older than what is known: passed over.
    Stale,
    /// The same table, as old or newer.
    Continued,
    /// Another table: nothing known about the former one holds.
    NewTable,
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            lease: Lease::Unseen,
            at: Moment::default(),
            latest: None,
            rows: Vec::new(),
            older_since: None,
        }
    }

    pub(super) fn record(&self) -> Option<&Record> {
        match &self.lease {
            Lease::Found { record, .. } => Some(record),
            Lease::Unseen | Lease::Absent | Lease::Unreadable { .. } => None,
        }
    }

    /// Takes note of a record. `own`: this process wrote it.
    ///
    /// A lower revision of the same table is an answer that came late, and passed over. If nothing else
    /// comes for the takeover time, somebody restored the Lease from a backup: then it is a new table.
    pub(super) fn adopt(
        &mut self,
        record: Record,
        version: String,
        now: Moment,
        own: bool,
        takeover: Duration,
    ) -> Adoption {
        let adoption = match &self.latest {
            Some((incarnation, _)) if *incarnation != record.incarnation => Adoption::NewTable,
            Some((_, revision)) if record.revision < *revision => {
                let since = *self.older_since.get_or_insert(now);
                if now < since + takeover {
                    return Adoption::Stale;
                }
                Adoption::NewTable
            }
            Some(_) | None => Adoption::Continued,
        };
        if adoption == Adoption::NewTable {
            self.rows.clear();
        }
        self.older_since = None;
        self.latest = Some((record.incarnation.clone(), record.revision));
        self.rows = record
            .slots
            .iter()
            .enumerate()
            .map(|(number, row)| match self.rows.get(number) {
                Some(seen) if seen.shows(row) => seen.clone(),
                _ => Sighting::new(row, now, own),
            })
            .collect();
        self.lease = Lease::Found {
            record: Box::new(record),
            version,
        };
        self.at = now;
        adoption
    }

    pub(super) fn absent(&mut self, now: Moment) {
        self.lease = Lease::Absent;
        self.at = now;
    }

    pub(super) fn unreadable(&mut self, reason: Unreadable, version: String, now: Moment) {
        self.lease = Lease::Unreadable { reason, version };
        self.at = now;
    }

    /// From when on the row may be taken by another, by this process's clock: a free row since it was seen
    /// free, any other once it has not changed for the takeover time.
    pub(super) fn open_from(&self, number: usize, takeover: Duration) -> Option<Moment> {
        let row = self.record()?.slots.get(number)?;
        let since = self.rows.get(number)?.since;
        Some(if row.is_free() { since } else { since + takeover })
    }

    pub(super) fn seen_since(&self, number: usize) -> Option<Moment> {
        self.rows.get(number).map(|seen| seen.since)
    }

    /// Did this process itself bring the row into its present state?
    pub(super) fn is_own_doing(&self, number: usize) -> bool {
        self.rows.get(number).is_some_and(|seen| seen.own)
    }

    /// The longer of both takeover times.
    pub(super) fn takeover(&self, own: &Durations) -> Duration {
        self.record()
            .map_or(own.takeover, |record| record.durations.takeover.max(own.takeover))
    }
}

impl Sighting {
    fn new(row: &Row, since: Moment, own: bool) -> Self {
        Self {
            holder: row.holder.clone(),
            stamp: row.stamp,
            in_doubt: row.in_doubt,
            since,
            own,
        }
    }

    fn shows(&self, row: &Row) -> bool {
        self.holder == row.holder && self.stamp == row.stamp && self.in_doubt == row.in_doubt
    }
}
