//! The shards of a Certificate added up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sancho_core::order::reason;
use sancho_crds::{CertificateShard, PAUSED_ANNOTATION, QuarantinedName, condition};

use super::{HoldingBack, IssuerState};
use crate::secrets::keystore::Asked;
use crate::shard::quarantine;
use crate::shard::reform::KEYSTORE_READY;

/// Shards added up.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) ready_shards: u32,
    pub(super) ready_names: u32,
    pub(super) not_after: Option<Timestamp>,
    /// How many shards wait for what.
    waiting: BTreeMap<String, u32>,
    /// The first failure's reason.
    failure: Option<String>,
    pub(super) renewing: Vec<String>,
    pub(super) rate_limited: Vec<String>,
    /// The names of each order that is still to be made, and is no renewal.
    pub(super) to_be_made: Vec<Vec<String>>,
    /// What Secrets lack besides certificate and key, each once.
    pub(super) lacking: Vec<String>,
    /// The names that cannot be validated.
    pub(super) quarantined: Vec<QuarantinedName>,
}

/// The reason of `Ready` while a certificate is kept until others serve names of it.
const HANDING_OVER: &str = "HandingOver";

/// How many shards' words a condition's message takes.
const SHOWN: usize = 3;

impl Tally {
    pub(super) fn of(
        shards: &[&CertificateShard],
        issuer: &IssuerState,
        holding_back: HoldingBack<'_>,
        now: Timestamp,
    ) -> Self {
        let mut tally = Self::default();
        for shard in shards {
            tally.add(shard, issuer, holding_back, now);
        }
        tally
    }

    fn add(
        &mut self,
        shard: &CertificateShard,
        issuer: &IssuerState,
        holding_back: HoldingBack<'_>,
        now: Timestamp,
    ) {
        let default = Default::default();
        let status = shard.status.as_ref().unwrap_or(&default);
        let server = issuer.server();
        let issued = status.issued.as_ref().filter(|issued| issued.not_after.0 > now);
        if let Some(issued) = issued {
            let end = issued.not_after.0;
            self.not_after = Some(self.not_after.map_or(end, |earliest| earliest.min(end)));
        }
        // Without its issuer nobody can tell what is asked for: what is there counts.
        let is_wanted = |of: &str| server.is_none_or(|server| quarantine::is_wanted(shard, server, of));
        self.quarantined
            .extend(quarantine::entries(shard).into_iter().cloned());
        let keystore = condition(&status.conditions, KEYSTORE_READY).filter(|ready| ready.status == "False");
        if let Some(keystore) = keystore.filter(|_| !Asked::of(&shard.spec).is_empty())
            && self.lacking.len() < SHOWN
            && !self.lacking.contains(&keystore.message)
        {
            self.lacking.push(keystore.message.clone());
        }
        let says = |kind| condition(&status.conditions, kind).filter(|c| c.status == "True");
        let failure = status.failure.as_ref();
        if let Some(failure) = failure
            && failure.reason == reason::RATE_LIMITED
            && failure.retry_time.0 > now
        {
            self.limited(&failure.message);
        }
        if let Some(issued) = issued.filter(|issued| is_wanted(&issued.target)) {
            self.ready_shards += 1;
            // What it keeps for others is theirs.
            let mut own = quarantine::rest_names(shard);
            own.retain(|name| !shard.spec.kept_names.contains(name));
            self.ready_names += u32::try_from(own.len()).unwrap_or_default();
            if let Some(renewing) = says("Renewing")
                && self.renewing.len() < SHOWN
            {
                self.renewing
                    .push(format!("{}: {}", shard.spec.secret_name, renewing.message));
            }
            if issued.renewal_time.0 <= now
                && status.order.is_none()
                && let Some(held_back) = holding_back(&quarantine::order_names(shard), true)
            {
                self.limited(&held_back.words);
            }
            return;
        }
        if status.order.is_none() && status.issued.is_none() {
            self.to_be_made.push(shard.spec.names());
        }
        // A quota that is granted anew holds nothing back.
        let failure = failure.filter(|failure| failure.quota.is_none() || failure.retry_time.0 > now);
        let what = match (failure, &status.order, says("Reconciling")) {
            (Some(failure), None, _) => {
                self.failure.get_or_insert_with(|| failure.reason.clone());
                format!("{}: {}", failure.reason, failure.message)
            }
            (_, Some(_), Some(reconciling)) if reconciling.reason != "Ordering" => {
                self.failure.get_or_insert_with(|| reconciling.reason.clone());
                if reconciling.reason == reason::RATE_LIMITED {
                    self.limited(&reconciling.message);
                }
                format!("{}: {}", reconciling.reason, reconciling.message)
            }
            // Until it has come further than the one before, the reason stays: it is no news each time.
            (Some(failure), Some(order), _) if is_wanted(&failure.target) => {
                self.failure.get_or_insert_with(|| failure.reason.clone());
                format!("order {} after {}", order.stage, failure.reason)
            }
            (_, Some(order), _) => format!("order {}", order.stage),
            (None, None, _) if quarantine::order_names(shard).is_empty() => {
                let entries = quarantine::entries(shard);
                let reason = quarantine::reason_of_all(&entries);
                self.failure.get_or_insert_with(|| reason.to_owned());
                let (_, words) = quarantine::words(&entries);
                format!("{reason}: {words}")
            }
            (None, None, _) if shard.spec.paused == Some(true) => {
                self.failure.get_or_insert_with(|| "Paused".to_owned());
                format!("the annotation {PAUSED_ANNOTATION} to be removed")
            }
            (None, None, _) if !shard.spec.kept_names.is_empty() => {
                let count = shard.spec.kept_names.len();
                self.failure.get_or_insert_with(|| HANDING_OVER.to_owned());
                format!("{HANDING_OVER}: {count} of its names to be served by other Secrets first")
            }
            (None, None, _) => {
                let is_renewal = status
                    .issued
                    .as_ref()
                    .is_some_and(|issued| is_wanted(&issued.target));
                match holding_back(&quarantine::order_names(shard), is_renewal) {
                    Some(held_back) => {
                        self.limited(&held_back.words);
                        held_back.words
                    }
                    None => "budget".to_owned(),
                }
            }
        };
        *self.waiting.entry(what).or_default() += 1;
    }

    /// A quota is used up.
    fn limited(&mut self, words: &str) {
        if self.rate_limited.len() < SHOWN && self.rate_limited.iter().all(|said| said != words) {
            self.rate_limited.push(words.to_owned());
        }
    }

    pub(super) fn reason(&self, is_planned: bool, issuer: &IssuerState) -> &str {
        match issuer {
            IssuerState::Missing { .. } => "IssuerNotFound",
            IssuerState::NotReady { .. } => "IssuerNotReady",
            IssuerState::Pending { .. } => "IssuerPending",
            IssuerState::Ready { .. } if !is_planned => "Planning",
            IssuerState::Ready { .. } => self.failure.as_deref().unwrap_or("Issuing"),
        }
    }

    pub(super) fn waiting_for(&self, is_planned: bool, issuer: &IssuerState) -> String {
        match issuer {
            IssuerState::Missing { issuer } => format!("{issuer}, which does not exist: create it"),
            IssuerState::NotReady { issuer, message, .. } => format!("{issuer}: {message}"),
            IssuerState::Pending { issuer, .. } => format!("{issuer}, which gets its account"),
            IssuerState::Ready { .. } if !is_planned => "the plan".into(),
            IssuerState::Ready { .. } => {
                let parts: Vec<String> = self
                    .waiting
                    .iter()
                    .take(SHOWN)
                    .map(|(what, count)| {
                        if *count == 1 {
                            what.clone()
                        } else {
                            format!("{what} ({count} shards)")
                        }
                    })
                    .collect();
                sancho_core::shown::shown_within(&parts.join("; "), 512)
            }
        }
    }
}
