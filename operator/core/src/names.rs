//! DNS names and IP addresses, parsed once: after that, no code looks at raw text again.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shown::shown_within;

/// The longest DNS name, in characters (RFC 1035 §3.1, without the final dot).
pub const NAME_MAX: usize = 253;
/// The longest label of a DNS name, in characters (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;

/// A DNS name or an IP address (RFC 8738) that a certificate can be asked for.
///
/// Guarantees of a DNS name: lower case; two or more labels of letters, digits and inner hyphens (RFC 1123 §2.1),
/// each of at most [`LABEL_MAX`] characters, together at most [`NAME_MAX`]; no IP address, no
/// final dot; a wildcard has one label more before these, `*`. Of an address: the canonical text (RFC 5952), no IPv4 address in the form of
/// an IPv6 one. So no text is both, and each address has one. The order is that of the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

impl Name {
    /// Reads a DNS name or an address. The error says what is wrong, where, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.parse::<IpAddr>() {
            Ok(_) => Self::ip(text),
            Err(_) => Self::dns(text),
        }
    }

    /// Reads an address as a user wrote it. The error says what is wrong and how to mend it.
    pub fn ip(text: &str) -> Result<Self, NameError> {
        let Ok(address) = text.parse::<IpAddr>() else {
            return Err(NameError::NotAnAddress(quoted(text)));
        };
        let canonical = address.to_canonical().to_string();
        if canonical != text {
            return Err(NameError::NotCanonical {
                address: quoted(text),
                mended: canonical,
            });
        }
        Ok(Self(text.into()))
    }

    /// Reads a DNS name as a user wrote it. The error says what is wrong, where, and how to mend it.
    pub fn dns(text: &str) -> Result<Self, NameError> {
        check_whole(text)?;
        let labels: Vec<&str> = text.split('.').collect();
        let wildcard = usize::from(text.starts_with("*."));
        for (position, label) in labels.iter().enumerate().skip(wildcard) {
            check_label(text, label, position + 1)?;
        }
        let last = labels.last().copied().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NameError::IpAddress(quoted(text)));
        }
        if labels.len() < 2 + wildcard {
            return Err(NameError::OneLabel(quoted(text)));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it stand for all names with one label more?
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Its type as an ACME identifier: `dns` or `ip`.
    pub fn kind(&self) -> &'static str {
        if self.address().is_some() { "ip" } else { "dns" }
    }

    /// Is this ACME identifier the same, however it is written?
    pub fn is(&self, kind: &str, value: &str) -> bool {
        match self.address() {
            Some(address) => kind == "ip" && value.parse() == Ok(address),
            None => kind == "dns" && value.eq_ignore_ascii_case(&self.0),
        }
    }
}

/// The registered domain of a name: its public suffix and one label more, by the public suffix
/// list (`shop.example.co.uk` → `example.co.uk`). CAs count their quotas by it. A name that is
/// itself a public suffix is its own, and so is an address. A wildcard has that of the names that it stands for.
pub fn registered_domain(name: &Name) -> &str {
    let domain = match name.address() {
        Some(_) => None,
        None => psl::domain_str(name.as_str().trim_start_matches("*.")),
    };
    domain.unwrap_or(name.as_str())
}

/// The same of any name in DNS, such as that of a record or a zone, in lower case and without a final dot.
pub fn domain_of(name: &str) -> &str {
    psl::domain_str(name).unwrap_or(name)
}

/// Is `domain` one under which a registry lets others register theirs, by the public suffix list? Those of its private
/// section (`github.io`) are not meant: they are zones of somebody who gets certificates for what is in them.
pub fn is_of_registry(domain: &str) -> bool {
    let is_it =
        |suffix: psl::Suffix<'_>| suffix.typ() == Some(psl::Type::Icann) && suffix == domain.as_bytes();
    psl::suffix(domain.as_bytes()).is_some_and(is_it)
}

/// Why a text is not a name that can be certified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is there.
    #[error("a DNS name is empty: write a host name such as www.example.com, or remove the entry")]
    Empty,
    /// A wildcard that is none.
    #[error(
        "{0} has a '*' that is not its leftmost label: write it as in *.example.com, or list the host names"
    )]
    Wildcard(String),
    /// A URL or part of one.
    #[error("{0} is a URL: write only its host name, without scheme, port and path")]
    Url(String),
    /// An IP address.
    #[error("{0} is an IP address: write it under spec.ipAddresses, and host names alone here")]
    IpAddress(String),
    /// No IP address.
    #[error(
        "{0} is no IP address: write one without brackets, port and prefix length, such as 192.0.2.1 or 2001:db8::1"
    )]
    NotAnAddress(String),
    /// An IP address that is written in another way than usual.
    #[error("{address} is not how this address is written: write {mended}")]
    NotCanonical {
        /// The address, fit to be shown.
        address: String,
        /// The same in its canonical form.
        mended: String,
    },
    /// More than [`NAME_MAX`] characters.
    #[error("{0} has {1} characters: a DNS name has at most {NAME_MAX}, shorten it")]
    Long(String, usize),
    /// A dot at the end.
    #[error("{0} ends with a dot: remove it")]
    FinalDot(String),
    /// Upper-case letters.
    #[error("{name} has upper-case letters: write {mended}")]
    UpperCase {
        /// The name, fit to be shown.
        name: String,
        /// The same in lower case.
        mended: String,
    },
    /// A label without a character.
    #[error("{0} has an empty label (number {1} from the left): remove the extra dot")]
    EmptyLabel(String, usize),
    /// A label of more than [`LABEL_MAX`] characters.
    #[error(
        "{0} has a label of {2} characters (number {1} from the left): a label has at most {LABEL_MAX}, shorten it"
    )]
    LongLabel(String, usize, usize),
    /// A hyphen at the start or end of a label.
    #[error(
        "{0} has a label that starts or ends with a hyphen (number {1} from the left): remove the hyphen"
    )]
    OuterHyphen(String, usize),
    /// An underscore.
    #[error(
        "{0} has an underscore in a label (number {1} from the left): host names have none, use a hyphen or another name"
    )]
    Underscore(String, usize),
    /// A letter outside ASCII.
    #[error(
        "{0} has a character outside ASCII in a label (number {1} from the left): write that label in its xn-- form (punycode)"
    )]
    NotAscii(String, usize),
    /// Any other character.
    #[error(
        "{name} has the character {character} in a label (number {position} from the left): only letters, digits and hyphens are allowed, remove it"
    )]
    Character {
        /// The name, fit to be shown.
        name: String,
        /// The character, escaped.
        character: String,
        /// The label's number, from 1 at the left.
        position: usize,
    },
    /// A single label.
    #[error("{0} has one label only: write the full name, with its domain (host.example.com)")]
    OneLabel(String),
}

fn check_whole(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.strip_prefix("*.").unwrap_or(text).contains('*') {
        return Err(NameError::Wildcard(quoted(text)));
    }
    if text.contains('/') {
        return Err(NameError::Url(quoted(text)));
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(NameError::IpAddress(quoted(text)));
    }
    if text.contains(':') {
        return Err(NameError::Url(quoted(text)));
    }
    let length = text.chars().count();
    if length > NAME_MAX {
        return Err(NameError::Long(quoted(text), length));
    }
    if text.len() > 1 && text.ends_with('.') && !text.ends_with("..") {
        return Err(NameError::FinalDot(quoted(text)));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(NameError::UpperCase {
            name: quoted(text),
            mended: shown_within(&text.to_ascii_lowercase(), NAME_MAX),
        });
    }
    Ok(())
}

fn check_label(name: &str, label: &str, position: usize) -> Result<(), NameError> {
    let length = label.chars().count();
    if length == 0 {
        return Err(NameError::EmptyLabel(quoted(name), position));
    }
    if length > LABEL_MAX {
        return Err(NameError::LongLabel(quoted(name), position, length));
    }
    let stray = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'));
    match stray {
        None if label.starts_with('-') || label.ends_with('-') => {
            Err(NameError::OuterHyphen(quoted(name), position))
        }
        None => Ok(()),
        Some('_') => Err(NameError::Underscore(quoted(name), position)),
        Some(c) if !c.is_ascii() => Err(NameError::NotAscii(quoted(name), position)),
        Some(c) => Err(NameError::Character {
            name: quoted(name),
            character: format!("{c:?}"),
            position,
        }),
    }
}

/// The name for an error's text: bounded, escaped and in quotation marks.
fn quoted(text: &str) -> String {
    format!("\"{}\"", shown_within(text, 80))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Name::dns(text).unwrap_err().to_string()
    }

    #[test]
    fn good_names_are_taken_as_they_are() {
        for text in [
            "example.com",
            "a.b-c.example",
            "xn--bcher-kva.example",
            "1.example.com",
            "3com.com",
            "*.example.com",
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.as_str(), name.is_wildcard()), (text, text.starts_with('*')));
        }
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(long.len(), NAME_MAX);
        assert!(Name::parse(&long).is_ok());
    }

    #[test]
    fn each_refusal_says_what_where_and_how_to_mend_it() {
        for (text, words) in [
            ("", "empty"),
            ("*", "not its leftmost label"),
            ("*example.com", "not its leftmost label"),
            ("a.*.example.com", "not its leftmost label"),
            ("*.*.example.com", "not its leftmost label"),
            ("*.com", "write the full name"),
            ("*.", "ends with a dot"),
            ("*..com", "empty label (number 2"),
            ("*.192.0.2.1", "is an IP address"),
            ("https://example.com/", "is a URL"),
            ("example.com:443", "is a URL"),
            ("192.0.2.1", "is an IP address"),
            ("2001:db8::1", "is an IP address"),
            ("[2001:db8::1]", "is an IP address"),
            ("10.1", "is an IP address"),
            ("example.com.", "ends with a dot: remove it"),
            ("WWW.example.com", "write www.example.com"),
            ("a..example.com", "empty label (number 2"),
            (".example.com", "empty label (number 1"),
            ("a_b.example.com", "underscore in a label (number 1"),
            ("www.-a.example", "hyphen (number 2"),
            ("a-.example", "hyphen (number 1"),
            ("bücher.example", "xn-- form"),
            ("a b.example", "the character ' '"),
            ("a\nb.example", "the character '\\n'"),
            ("localhost", "write the full name"),
        ] {
            assert!(refusal(text).contains(words), "{text:?}: {}", refusal(text));
        }
        assert!(refusal(&format!("{}.example", "a".repeat(64))).contains("label of 64 characters (number 1"));
        assert!(refusal(&"a.".repeat(200)).contains("has 400 characters"));
    }

    #[test]
    fn an_address_has_one_text_and_is_no_dns_name() {
        for text in ["192.0.2.1", "2001:db8::1", "::1"] {
            let address = Name::parse(text).unwrap();
            assert_eq!((address.as_str(), address.kind()), (text, "ip"));
            assert_eq!(address.address(), Some(text.parse().unwrap()));
            assert_eq!(registered_domain(&address), text);
            assert!(Name::dns(text).is_err());
        }
        for (text, words) in [
            ("2001:DB8::1", "write 2001:db8::1"),
            ("2001:db8:0:0:0:0:0:1", "write 2001:db8::1"),
            ("::ffff:192.0.2.1", "write 192.0.2.1"),
            ("[::1]", "is no IP address"),
            ("192.0.2.1/32", "is no IP address"),
            ("192.0.2.1:443", "is no IP address"),
            ("192.0.2.01", "is no IP address"),
            ("www.example.com", "is no IP address"),
            ("", "is no IP address"),
        ] {
            let refusal = Name::ip(text).unwrap_err().to_string();
            assert!(refusal.contains(words), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn an_identifier_is_the_same_however_it_is_written() {
        let (host, address) = (Name::dns("a.example").unwrap(), Name::ip("2001:db8::1").unwrap());
        assert!(host.is("dns", "A.example") && !host.is("ip", "a.example"));
        assert!(address.is("ip", "2001:DB8:0::1") && !address.is("dns", "2001:db8::1"));
        assert!(!address.is("ip", "2001:db8::2") && !address.is("ip", "a.example"));
    }

    #[test]
    fn a_suffix_of_the_private_section_is_no_registrys() {
        for (domain, is_it) in [
            ("com", true),
            ("co.uk", true),
            ("example.com", false),
            ("github.io", false),
            ("internal", false),
            ("", false),
        ] {
            assert_eq!(is_of_registry(domain), is_it, "{domain}");
        }
    }

    #[test]
    fn any_name_in_dns_has_a_domain() {
        for (name, domain) in [
            ("_acme-challenge.www.shop.example.co.uk", "example.co.uk"),
            ("example.com", "example.com"),
            ("shop.internal", "shop.internal"),
            ("com", "com"),
            (".", "."),
            ("", ""),
        ] {
            assert_eq!(domain_of(name), domain, "{name}");
        }
    }

    #[test]
    fn the_registered_domain_is_the_public_suffix_and_one_label() {
        for (name, domain) in [
            ("a.b.example.com", "example.com"),
            ("example.com", "example.com"),
            ("*.example.com", "example.com"),
            ("*.shop.example.co.uk", "example.co.uk"),
            ("shop.example.co.uk", "example.co.uk"),
            ("me.github.io", "me.github.io"),
            ("github.io", "github.io"),
            ("x.y.unheard-of", "y.unheard-of"),
        ] {
            assert_eq!(registered_domain(&Name::parse(name).unwrap()), domain, "{name}");
        }
    }

    #[test]
    fn a_bad_name_cannot_be_deserialized() {
        assert!(serde_json::from_str::<Name>("\"A.example\"").is_err());
        let name: Name = serde_json::from_str("\"a.example\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"a.example\"");
    }
}
