//! The standing TXT record of dns-persist-01 (draft-ietf-acme-dns-persist-01): how it is to be written, and whether
//! what was found does.
//!
//! # Guarantees
//! - What [`Standing::record`] says is what [`Standing::judge`] takes, until it is over.
//! - A record of another CA, however it looks, neither does nor is in the way.
//! - What stands in DNS is hostile: nothing of it is shown that was not escaped and bounded.
//!
//! # Caveats
//! The draft lets CAs take a record of a domain above, with `policy=wildcard`, for the names below it. Those that are
//! known look at the name's own place alone, and so it is here.

mod value;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use self::value::Value;
use crate::shown::shown_within;

/// What stands before a domain in the name of its record (section 2).
const LABEL: &str = "_validation-persist";
/// What the printed record has for a TTL: CAs believe a validation no longer than that (section 7.8).
pub const TTL: u32 = 3600;
/// The most names of itself that a CA may give (section 3.1).
const MOST_ISSUERS: usize = 10;
/// The longest name of a CA, in bytes (section 3.1).
const LONGEST_ISSUER: usize = 253;
/// The most characters of what was found that are shown.
const FOUND_SHOWN: usize = 120;
/// The longest string within a TXT record, in bytes (RFC 1035 §3.3.14).
const LONGEST_STRING: usize = 255;

/// Where the record for a name stands, without a final dot: a wildcard's is that of its domain.
pub fn place(name: &str) -> String {
    format!("{LABEL}.{}", name.strip_prefix("*.").unwrap_or(name))
}

/// Are these names that a CA can go by in a record (section 3.1)? One to ten domains, as they stand there.
///
/// # Errors
/// [`BadIssuers`] says what is wrong with them.
pub fn check_issuers(issuers: &[String]) -> Result<(), BadIssuers> {
    if !(1..=MOST_ISSUERS).contains(&issuers.len()) {
        return Err(BadIssuers::Number(issuers.len()));
    }
    match issuers.iter().find(|issuer| !is_domain(issuer)) {
        None => Ok(()),
        Some(issuer) => Err(BadIssuers::Name(shown_within(issuer, FOUND_SHOWN))),
    }
}

/// Why a CA's names for itself cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIssuers {
    /// None, or too many.
    #[error("{0} issuer-domain-names, and not 1 to {MOST_ISSUERS}")]
    Number(usize),
    /// One that is no domain.
    #[error("an issuer-domain-name that is no domain in lower case: {0}")]
    Name(String),
}

/// A domain in lower case, without a final dot.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= LONGEST_ISSUER && text.split('.').all(is_label)
}

/// What the records for one account at one CA have to say.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    issuers: &'a [String],
    account: &'a str,
}

/// The account's URL has characters that no record can hold (RFC 8659 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account's URL has characters that such a record cannot hold: {0}")]
pub struct Unwritable(String);

impl<'a> Standing<'a> {
    /// `issuers`: the names that the CA goes by, of which any does and the first is written; [`check_issuers`] has taken
    /// them. `account`: the account's URL at the CA.
    ///
    /// # Errors
    /// [`Unwritable`], for an account whose URL cannot stand in a record.
    pub fn new(issuers: &'a [String], account: &'a str) -> Result<Self, Unwritable> {
        if account.is_empty() || !account.bytes().all(value::is_of_value) {
            return Err(Unwritable(shown_within(account, FOUND_SHOWN)));
        }
        Ok(Self { issuers, account })
    }

    /// The record for a name, good until that moment if one is given; for a wildcard too, if it is to serve one.
    pub fn record(&self, name: &str, wildcard: bool, until: Option<Timestamp>) -> StandingRecord {
        let issuer = self.issuers.first().map(String::as_str).unwrap_or_default();
        let mut value = format!("{issuer}; accounturi={}", self.account);
        if wildcard {
            value.push_str("; policy=wildcard");
        }
        if let Some(until) = until {
            value.push_str(&format!("; persistUntil={}", until.as_second()));
        }
        StandingRecord {
            name: place(name),
            value,
        }
    }

    /// The records for all of these names, each with the moment until which it is to be good; one for each place. Their
    /// order is that of their names.
    pub fn records<'n>(
        &self,
        names: impl IntoIterator<Item = (&'n str, Option<Timestamp>)>,
    ) -> Vec<StandingRecord> {
        let mut places: BTreeMap<String, (&str, bool, Option<Timestamp>)> = BTreeMap::new();
        for (name, until) in names {
            let (_, wildcard, _) = places.entry(place(name)).or_insert((name, false, until));
            *wildcard |= name.starts_with("*.");
        }
        let records = places.into_values();
        records
            .map(|(name, wildcard, until)| self.record(name, wildcard, until))
            .collect()
    }

    /// Does one of the TXT values at a place do for a name there, at that moment (section 4)? Each is the whole value, its
    /// strings put together.
    ///
    /// # Errors
    /// [`Amiss`] says what is wrong with the one that comes nearest.
    pub fn judge<V: AsRef<[u8]>>(&self, values: &[V], wildcard: bool, now: Timestamp) -> Result<(), Amiss> {
        let mut nearest = Amiss::Missing;
        for value in values {
            match self.judge_one(value.as_ref(), wildcard, now) {
                Ok(()) => return Ok(()),
                Err(amiss) if amiss.rank() > nearest.rank() => nearest = amiss,
                Err(_) => {}
            }
        }
        Err(nearest)
    }

    fn judge_one(&self, value: &[u8], wildcard: bool, now: Timestamp) -> Result<(), Amiss> {
        let Some((issuer, rest)) = value::issuer(value) else {
            return Err(Amiss::Missing);
        };
        let is_ours = |known: &String| known.as_bytes() == issuer;
        if !self.issuers.iter().any(is_ours) {
            let bare = issuer.strip_suffix(b".").unwrap_or(issuer);
            let is_meant = |known: &String| known.as_bytes().eq_ignore_ascii_case(bare);
            return Err(match self.issuers.iter().any(is_meant) {
                true => Amiss::Unreadable("the CA's name is not in lower case, or ends in a dot".into()),
                false => Amiss::Missing,
            });
        }
        let Value {
            account,
            has_wildcard,
            until,
        } = Value::read(rest).map_err(|error| Amiss::Unreadable(error.to_string()))?;
        if account != self.account {
            return Err(Amiss::OtherAccount(shown_within(&account, FOUND_SHOWN)));
        }
        if wildcard && !has_wildcard {
            return Err(Amiss::NoWildcard);
        }
        match until {
            Some(until) if is_over(until, now) => Err(Amiss::Over(until)),
            _ => Ok(()),
        }
    }
}

fn is_over(until: i64, now: Timestamp) -> bool {
    (now.as_second(), now.subsec_nanosecond()) > (until, 0)
}

/// A record as it is to be created.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingRecord {
    /// Where it stands, without a final dot.
    pub name: String,
    /// Its whole value.
    pub value: String,
}

/// As a line of a zone file (RFC 1035 §5.1).
impl fmt::Display for StandingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {TTL} IN TXT", self.name)?;
        // All of it is ASCII: any byte is a place to split at.
        for string in self.value.as_bytes().chunks(LONGEST_STRING) {
            f.write_str(" \"")?;
            for byte in string {
                if matches!(byte, b'"' | b'\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{}", char::from(*byte))?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

/// What is wrong with what stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amiss {
    /// No record there is of this CA.
    Missing,
    /// It does not conform to the syntax (RFC 8659 §4.2), for this reason.
    Unreadable(String),
    /// It is for this account.
    OtherAccount(String),
    /// It lacks `policy=wildcard`.
    NoWildcard,
    /// It was good until this second, from 1970 on.
    Over(i64),
}

impl Amiss {
    /// How near it comes.
    fn rank(&self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Unreadable(_) => 1,
            Self::OtherAccount(_) => 2,
            Self::NoWildcard => 3,
            Self::Over(_) => 4,
        }
    }
}

/// As a half sentence about it.
impl fmt::Display for Amiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none of this CA"),
            Self::Unreadable(why) => write!(f, "the one that is there cannot be read: {why}"),
            Self::OtherAccount(account) => {
                write!(f, "the one that is there is for another account, {account}")
            }
            Self::NoWildcard => f.write_str("the one that is there lacks policy=wildcard"),
            Self::Over(until) => match Timestamp::from_second(*until) {
                Ok(until) => write!(f, "the one that is there was good until {until} (persistUntil)"),
                Err(_) => write!(f, "the one that is there has persistUntil={until}, which is over"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
