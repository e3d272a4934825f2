//! Which CAs may issue for a name, by the CAA records in DNS (RFC 8659), before one of them is asked. Pure: the looks at
//! DNS are made elsewhere.
//!
//! name → its domain, and those above it (§3) → the first that has CAA records → may this CA issue by them?
//!
//! # Guarantees
//! - A name is forbidden only by records that were read whole. What could not be looked up is unknown, whatever stands above
//!   it: the CA has to say.
//! - What stands in DNS is shown bounded and escaped, and nothing else of it than CAA records.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::challenge::ChallengeKind;
use crate::shown::shown_within;

/// The longest value of a record that is shown.
const SHOWN: usize = 100;

/// The most names that a walk goes up: as many labels fit into a DNS name (RFC 1035 §2.3.4).
pub const MOST_LEVELS: usize = 127;

/// Properties that restrict nobody's TLS certificates: `iodef` (RFC 8659 §4.4), `issuemail` (RFC 9495), and the contacts of
/// the CA/Browser Forum. Some CAs know them, so that the critical flag on one of them decides nothing here.
const HARMLESS: [&str; 4] = ["iodef", "issuemail", "contactemail", "contactphone"];

/// One CAA record (§4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether who does not know the property may not issue.
    pub critical: bool,
    /// The property's name.
    pub tag: String,
    /// Its value as it stands in DNS.
    pub value: Vec<u8>,
}

/// What a look at one domain came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It has no CAA records.
    Nothing,
    /// It has these.
    Records {
        /// Where they stand, without a final dot: the domain, or where its CNAMEs lead.
        owner: String,
        /// All of them.
        records: Vec<Record>,
    },
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Who is going to ask whom.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The names by which CAA records mean the CA, as its directory has them (`caaIdentities`, RFC 8555 §9.7.6).
    pub identities: &'a [String],
    /// The account's URL, for `accounturi` (RFC 8657 §3).
    pub account: &'a str,
}

/// May the CA issue for a name?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing forbids it.
    Allowed,
    /// These records do.
    Forbidden {
        /// In which way.
        bar: Bar,
        /// What forbids it, where that stands and how to mend it, fit to be shown.
        words: String,
    },
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// In which way CAA records forbid that a CA issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// They name other CAs alone.
    Others,
    /// They let nobody issue.
    Everybody,
    /// They let the CA issue for other accounts alone (RFC 8657 §3).
    Account,
    /// They let the CA issue by other ways of validation alone (RFC 8657 §4).
    Method,
    /// One of them has to be understood, and is not (§4.1).
    Critical,
}

/// The looks at domains that were made so far, each once for all names below it.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    known: BTreeMap<String, Look>,
}

/// How far the walk up from a name has come.
enum Walk<'l, 'n> {
    /// This domain has to be looked at.
    At(&'n str),
    Ended(Option<&'l Look>),
}

impl Looks {
    /// The domains that are to be looked at next for these names. Once there are none, there is a verdict on each name.
    #[must_use]
    pub fn missing<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> BTreeSet<&'n str> {
        let walks = names.into_iter().map(|name| self.walk(name));
        walks
            .filter_map(|walk| match walk {
                Walk::At(domain) => Some(domain),
                Walk::Ended(_) => None,
            })
            .collect()
    }

    /// Takes down what the look at a domain came to.
    pub fn learn(&mut self, domain: &str, look: Look) {
        self.known.insert(domain.to_owned(), look);
    }

    /// How many domains were looked at.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// May the CA issue for `name`, a DNS name or an address, if it is validated in this way?
    #[must_use]
    pub fn verdict(&self, name: &str, kind: ChallengeKind, asker: Asker<'_>) -> Verdict {
        match self.walk(name) {
            Walk::At(domain) => Verdict::Unknown(format!("{domain} was not looked at")),
            Walk::Ended(None | Some(Look::Nothing)) => Verdict::Allowed,
            Walk::Ended(Some(Look::Unknown(why))) => Verdict::Unknown(why.clone()),
            Walk::Ended(Some(Look::Records { owner, records })) => Case {
                owner,
                records,
                is_wildcard: name.starts_with("*."),
                kind,
                asker,
            }
            .judged(),
        }
    }

    fn walk<'l, 'n>(&'l self, name: &'n str) -> Walk<'l, 'n> {
        for domain in domains(name) {
            match self.known.get(domain) {
                None => return Walk::At(domain),
                Some(Look::Nothing) => {}
                Some(end) => return Walk::Ended(Some(end)),
            }
        }
        Walk::Ended(None)
    }
}

/// The domains whose CAA records count for a name, in the order in which they do (§3): its own, that of a wildcard without
/// the `*`, and those above it, without the root. An address has none (RFC 8738 §6).
fn domains(name: &str) -> impl Iterator<Item = &str> {
    let is_address = name.parse::<IpAddr>().is_ok();
    let first = (!is_address).then(|| name.strip_prefix("*.").unwrap_or(name));
    std::iter::successors(first, |domain| {
        let (_, above) = domain.split_once('.')?;
        (!above.is_empty()).then_some(above)
    })
    .take(MOST_LEVELS)
}

/// The records that count for a name, and who is going to ask whom how.
struct Case<'a> {
    owner: &'a str,
    records: &'a [Record],
    is_wildcard: bool,
    kind: ChallengeKind,
    asker: Asker<'a>,
}

/// What `issue` or `issuewild` says (§4.2).
struct Issuer<'a> {
    /// Whom it lets issue; nobody if it is empty.
    domain: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

/// Why a property does not let us have a certificate, and what it would have to be.
struct Miss {
    bar: Bar,
    mended: String,
}

impl Case<'_> {
    fn judged(&self) -> Verdict {
        if let Some(unknown) = self.records.iter().find(|record| self.bars_by_flag(record)) {
            let words = format!(
                "the CAA record {} is critical, which forbids all CAs that do not know it: remove it, or write 0 in the \
                 place of its flags",
                self.shown(unknown)
            );
            let bar = Bar::Critical;
            return Verdict::Forbidden { bar, words };
        }
        let of_tag = |tag: &'static str| {
            let is_it = move |record: &&Record| record.tag.eq_ignore_ascii_case(tag);
            (tag, self.records.iter().filter(is_it).collect::<Vec<_>>())
        };
        let (tag, properties) = match of_tag("issuewild") {
            // Without one, what is said of names counts for wildcards (§4.3).
            wild if self.is_wildcard && !wild.1.is_empty() => wild,
            _ => of_tag("issue"),
        };
        let Some((first, others)) = properties.split_first() else {
            return Verdict::Allowed;
        };
        let mut nearest: Option<(&Record, Miss)> = None;
        for record in &properties {
            match self.miss(record) {
                None => return Verdict::Allowed,
                // What names this CA says more than what names another.
                Some(miss) if is_of_us(miss.bar) => {
                    nearest.get_or_insert((*record, miss));
                }
                Some(_) => {}
            }
        }
        let (shown, miss) = nearest.unwrap_or_else(|| {
            let names_any = properties
                .iter()
                .any(|record| issuer(&record.value).is_some_and(|issuer| !issuer.domain.is_empty()));
            let bar = if names_any { Bar::Others } else { Bar::Everybody };
            let mended = self.asker.identities.first().cloned().unwrap_or_default();
            (*first, Miss { bar, mended })
        });
        self.forbidden(tag, shown, others.len(), miss)
    }

    fn forbidden(&self, tag: &str, record: &Record, more: usize, miss: Miss) -> Verdict {
        let Miss { bar, mended } = miss;
        let more = match more {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let what = match bar {
            Bar::Others => "other CAs alone",
            Bar::Everybody if issuer(&record.value).is_none() => {
                "nobody, since it is malformed (RFC 8659 §4.2),"
            }
            Bar::Everybody => "nobody",
            Bar::Account => "another account alone",
            Bar::Method => "other ways of validation alone",
            Bar::Critical => "nobody who does not know it",
        };
        let verb = match bar {
            Bar::Account | Bar::Method => "replace it by",
            Bar::Others | Bar::Everybody | Bar::Critical => "add",
        };
        let issue = if self.is_wildcard {
            "issue wildcards"
        } else {
            "issue"
        };
        let words = format!(
            "CAA lets {what} {issue} for it ({}{more}): {verb} {}. CAA 0 {tag} \"{}\", or choose an issuer whose CA is let",
            self.shown(record),
            shown_within(self.owner, SHOWN),
            shown_within(&mended, SHOWN * 3),
        );
        Verdict::Forbidden { bar, words }
    }

    /// Is it critical, and nobody here knows it?
    fn bars_by_flag(&self, record: &Record) -> bool {
        let is = |tag: &str| record.tag.eq_ignore_ascii_case(tag);
        record.critical && !is("issue") && !is("issuewild") && !HARMLESS.into_iter().any(is)
    }

    /// Why this property does not let us have a certificate; nothing if it does.
    fn miss(&self, record: &Record) -> Option<Miss> {
        let issuer = issuer(&record.value).filter(|issuer| !issuer.domain.is_empty());
        let ours = issuer.filter(|issuer| {
            let mut identities = self.asker.identities.iter();
            identities.any(|identity| identity.eq_ignore_ascii_case(issuer.domain))
        });
        let Some(Issuer { domain, parameters }) = ours else {
            let mended = String::new();
            return Some(Miss {
                bar: Bar::Others,
                mended,
            });
        };
        let of = |tag: &str| -> Vec<&str> {
            let is_it = |parameter: &&(&str, &str)| parameter.0.eq_ignore_ascii_case(tag);
            parameters.iter().filter(is_it).map(|(_, value)| *value).collect()
        };
        let (accounts, methods) = (of("accounturi"), of("validationmethods"));
        // More than one account cannot be met at all (RFC 8657 §3), and so it is with two lists of methods.
        let account_fits = match accounts.as_slice() {
            [] => true,
            [account] => *account == self.asker.account,
            _ => false,
        };
        let method_fits = match methods.as_slice() {
            [] => true,
            [list] => list
                .split(',')
                .any(|method| method.eq_ignore_ascii_case(self.kind.as_str())),
            _ => false,
        };
        let bar = match (account_fits, method_fits) {
            (true, true) => return None,
            (false, _) => Bar::Account,
            (true, false) => Bar::Method,
        };
        let mut mended = domain.to_owned();
        if !accounts.is_empty() {
            mended += &format!("; accounturi={}", self.asker.account);
        }
        if let Some(list) = methods.first() {
            mended += &match method_fits {
                true => format!("; validationmethods={list}"),
                false if list.is_empty() => format!("; validationmethods={}", self.kind),
                false => format!("; validationmethods={list},{}", self.kind),
            };
        }
        Some(Miss { bar, mended })
    }

    /// The record as it stands in a zone file.
    fn shown(&self, record: &Record) -> String {
        let flags = if record.critical { 128 } else { 0 };
        format!(
            "{}. CAA {flags} {} \"{}\"",
            shown_within(self.owner, SHOWN),
            shown_within(&record.tag, 15),
            shown_within(&String::from_utf8_lossy(&record.value), SHOWN),
        )
    }
}

fn is_of_us(bar: Bar) -> bool {
    matches!(bar, Bar::Account | Bar::Method)
}

/// Reads the value of `issue` or `issuewild` (§4.2). Nothing comes back if it is malformed, which means nobody.
fn issuer(value: &[u8]) -> Option<Issuer<'_>> {
    let text = std::str::from_utf8(value).ok()?;
    let (domain, rest) = match text.split_once(';') {
        Some((domain, rest)) => (trimmed(domain), trimmed(rest)),
        None => (trimmed(text), ""),
    };
    if !domain.is_empty() && !domain.split('.').all(is_label) {
        return None;
    }
    let mut parameters = Vec::new();
    if !rest.is_empty() {
        for parameter in rest.split(';') {
            let (tag, value) = parameter.split_once('=')?;
            let (tag, value) = (trimmed(tag), trimmed(value));
            if !is_label(tag) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            parameters.push((tag, value));
        }
    }
    Some(Issuer { domain, parameters })
}

/// Without the white space of RFC 5234 (WSP) around it.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Letters and digits, and hyphens between them.
fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
