//! Why a TXT record cannot be written or does not do, or a name's place in DNS not be found.

use sancho_core::check::Fault;
use sancho_core::shown::shown_within;
use sancho_core::standing::StandingRecord;

use super::standing;

/// The Secret with the key is not there, or holds none.
pub(super) const CREDENTIALS_MISSING: &str = "DNSCredentialsMissing";
/// The Secret with the key cannot be read.
pub(super) const CREDENTIALS_UNREADABLE: &str = "DNSCredentialsUnreadable";
/// Nothing says how the record is written.
const NO_SOLVER: &str = "NoDNS01Solver";
/// The provider does not take the credentials.
pub(super) const CREDENTIALS_REFUSED: &str = "DNSCredentialsRefused";
/// The server does not take the key.
pub(super) const KEY_REFUSED: &str = "TSIGRefused";
/// The server does not let this key write there.
pub(super) const UPDATE_REFUSED: &str = "DNSUpdateRefused";
/// The server has no such zone to be written to.
pub(super) const ZONE_REFUSED: &str = "DNSZoneRefused";
/// The domain does not exist.
pub(super) const ZONE_NOT_FOUND: &str = "DNSZoneNotFound";
/// CNAMEs lead round in a circle, or on for ever.
pub(super) const CNAME_LOOP: &str = "CNAMELoop";
/// A DNS server does not answer, or fails.
pub(super) const SERVER_FAILS: &str = "DNSServerFails";
/// The provider's API does not answer, or fails.
pub(super) const PROVIDER_FAILS: &str = "DNSProviderFails";
/// The provider is asked too fast, or requests wait until it is not.
pub(super) const PROVIDER_THROTTLES: &str = "DNSProviderThrottles";
/// It is asked for later, since others before it take long.
const NOT_ASKED_YET: &str = "DNSNotAskedYet";

/// The standing record of a name is not there.
pub const STANDING_RECORD_MISSING: &str = "StandingRecordMissing";
/// The standing record of a name does not do.
pub const STANDING_RECORD_WRONG: &str = "StandingRecordWrong";

/// The most characters that are said of a fault.
const MOST_WORDS: usize = 384;

/// Why a TXT record cannot be written or does not do, or a name's place in DNS not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct DnsFault {
    /// A CamelCase reason, for conditions and events.
    pub reason: &'static str,
    /// What is wrong and what can be done about it, bounded and escaped.
    pub words: String,
    /// May it be otherwise with another name of the same zone?
    pub is_about_names: bool,
}

impl DnsFault {
    pub(super) fn new(reason: &'static str, words: &str) -> Self {
        Self {
            reason,
            words: shown_within(words, MOST_WORDS),
            is_about_names: false,
        }
    }

    /// Its issuer has no `dns01` for a name that has a record.
    #[must_use]
    pub fn no_solver(name: &str) -> Self {
        Self::new(
            NO_SOLVER,
            &format!(
                "no solver with dns01 is for {name} any more: add one to spec.acme.solvers of its issuer, or remove the \
                 record by hand"
            ),
        )
    }

    /// The issuer of a name that has a record is deleted.
    #[must_use]
    pub fn no_issuer() -> Self {
        Self::new(
            NO_SOLVER,
            "its issuer is gone, which says how it is removed: apply the issuer again, or remove the record by hand",
        )
    }

    /// Its issuer has a `dns01` in which nothing says how.
    pub(super) fn no_way() -> Self {
        Self::new(
            NO_SOLVER,
            "its solver has dns01 and does not say how records are written: write rfc2136, cloudflare or another way there",
        )
    }

    /// The zone that `field` of the issuer names, below `dns01`, does not have the record of this name.
    pub(super) fn outside(name: &str, zone: &str, field: &str) -> Self {
        let fault = Self::new(
            ZONE_REFUSED,
            &format!(
                "{name} is not in the zone {zone}, which dns01.{field} names: take that out, so that the zone is found by \
                 the domain, or choose another solver for its names by a selector"
            ),
        );
        Self {
            is_about_names: true,
            ..fault
        }
    }

    /// No server of its zone tells what stands at `record`.
    pub(super) fn unread(record: &str, words: &str) -> Self {
        Self::new(
            SERVER_FAILS,
            &format!(
                "no DNS server of its zone tells what stands at {record}: {words}: check them, or look at recursive servers \
                 alone with --dns01-recursive-nameservers-only"
            ),
        )
    }

    /// No standing record can be for the issuer's account.
    #[must_use]
    pub fn unwritable(words: &str) -> Self {
        Self::new(
            STANDING_RECORD_WRONG,
            &format!("{words}: give the name a solver with dns01 or http01 in place of dnsPersist01"),
        )
    }

    /// A standing record is missing, or does not do, since `why`. `wanted`: the record to create, which would stand at `due` if
    /// no CNAME led elsewhere.
    #[must_use]
    pub fn standing(reason: &'static str, wanted: &StandingRecord, due: &str, why: &str) -> Self {
        Self {
            reason,
            words: standing::words(wanted, due, why),
            is_about_names: false,
        }
    }

    /// May it be otherwise in a moment? A server may answer then, or not fail.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        Self::is_passing_reason(self.reason)
    }

    /// The same of its reason.
    #[must_use]
    pub fn is_passing_reason(reason: &str) -> bool {
        [
            SERVER_FAILS,
            PROVIDER_FAILS,
            PROVIDER_THROTTLES,
            NOT_ASKED_YET,
            CREDENTIALS_UNREADABLE,
        ]
        .contains(&reason)
    }

    /// Nothing says how the record is written, or was.
    #[must_use]
    pub fn is_without_solver(&self) -> bool {
        self.reason == NO_SOLVER
    }

    /// It says something of how fast a provider may be asked, and nothing of any name.
    #[must_use]
    pub fn is_of_pace(&self) -> bool {
        [PROVIDER_THROTTLES, NOT_ASKED_YET].contains(&self.reason)
    }

    /// A record was not asked for, since those before it take too long; what one of them fails for tells why.
    pub(super) fn not_asked_yet(because: Option<&Self>) -> Self {
        let why = because.map_or("they take longer than is waited for at once", |fault| {
            fault.words.as_str()
        });
        Self::new(
            NOT_ASKED_YET,
            &format!("it waits for others of the same order: {why}"),
        )
    }

    /// A record was not asked for, since `provider` is asked for those of another order in its zone.
    pub(super) fn not_its_turn(provider: &str) -> Self {
        Self::new(
            NOT_ASKED_YET,
            &format!("it waits for another order, whose records in the same zone {provider} is asked for"),
        )
    }

    /// It says that others came first, and nothing else.
    #[must_use]
    pub fn is_not_asked_yet(&self) -> bool {
        self.reason == NOT_ASKED_YET
    }
}

impl From<DnsFault> for Fault {
    fn from(fault: DnsFault) -> Self {
        let is_passing = fault.is_passing();
        let DnsFault { reason, words, .. } = fault;
        Fault::NoRecord {
            reason,
            words,
            is_passing,
        }
    }
}
