//! What a user of the soak does next, in words and counted by its kind.

use std::collections::BTreeSet;
use std::fmt;

use super::wish::{Format, Key};

/// One change of mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// So many names more.
    AddNames(usize),
    /// So many names fewer.
    RemoveNames(usize),
    /// Another `secretName`.
    SecretName(String),
    /// Another kind of key.
    Key(Key),
    /// Keys are used again, or no longer.
    Rotation(bool),
    /// Another `maxNames`.
    MaxNames(u32),
    /// Other names in groups, of which there are so many.
    Groups(usize),
    /// The other strategy.
    Strategy,
    /// The other policy.
    Policy,
    /// Another label on the Secrets, or none.
    Label(Option<u32>),
    /// Other further forms of certificate and key.
    Formats(BTreeSet<Format>),
    /// Another `renewBefore`, in seconds, or none.
    RenewBefore(Option<u32>),
    /// Secrets are deleted with their shards, or no longer.
    Deletion(bool),
    /// Another issuer.
    Issuer(&'static str),
    /// Paused, or no longer.
    Pause(bool),
    /// A renewal by hand.
    Renew,
    /// What failed is tried again.
    Retry,
    /// What is served is revoked, for this reason.
    Revoke(&'static str),
    /// The Certificate is deleted.
    Delete,
    /// It is applied again.
    ApplyAgain,
}

impl Edit {
    /// What is counted together.
    pub fn kind(&self) -> &'static str {
        match self {
            Edit::AddNames(_) => "names added",
            Edit::RemoveNames(_) => "names removed",
            Edit::SecretName(_) => "secretName changed",
            Edit::Key(_) => "kind of key changed",
            Edit::Rotation(_) => "rotationPolicy changed",
            Edit::MaxNames(_) => "maxNames changed",
            Edit::Groups(_) => "groups changed",
            Edit::Strategy => "strategy changed",
            Edit::Policy => "policy changed",
            Edit::Label(_) => "secretTemplate changed",
            Edit::Formats(_) => "additionalOutputFormats changed",
            Edit::RenewBefore(_) => "renewBefore changed",
            Edit::Deletion(_) => "secretDeletionPolicy changed",
            Edit::Issuer(_) => "issuer changed",
            Edit::Pause(_) => "paused or resumed",
            Edit::Renew => "renewed by hand",
            Edit::Retry => "retried by hand",
            Edit::Revoke(_) => "revoked",
            Edit::Delete => "deleted",
            Edit::ApplyAgain => "applied again",
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::AddNames(count) => write!(f, "{count} names more"),
            Edit::RemoveNames(count) => write!(f, "{count} names fewer"),
            Edit::SecretName(name) => write!(f, "secretName {name}"),
            Edit::Key(key) => write!(f, "key {key:?}"),
            Edit::Rotation(true) => write!(f, "keys are kept"),
            Edit::Rotation(false) => write!(f, "keys are made anew"),
            Edit::MaxNames(most) => write!(f, "maxNames {most}"),
            Edit::Groups(count) => write!(f, "{count} groups"),
            Edit::Strategy => write!(f, "the other strategy"),
            Edit::Policy => write!(f, "the other policy"),
            Edit::Label(Some(label)) => write!(f, "label {label}"),
            Edit::Label(None) => write!(f, "no label"),
            Edit::Formats(formats) => write!(f, "further forms {formats:?}"),
            Edit::RenewBefore(Some(seconds)) => write!(f, "renewBefore {seconds} s"),
            Edit::RenewBefore(None) => write!(f, "no renewBefore"),
            Edit::Deletion(true) => write!(f, "Secrets are deleted"),
            Edit::Deletion(false) => write!(f, "Secrets stay"),
            Edit::Issuer(issuer) => write!(f, "issuer {issuer}"),
            Edit::Pause(true) => write!(f, "paused"),
            Edit::Pause(false) => write!(f, "resumed"),
            Edit::Renew => write!(f, "renew"),
            Edit::Retry => write!(f, "retry"),
            Edit::Revoke(reason) => write!(f, "revoke: {reason}"),
            Edit::Delete => write!(f, "deleted"),
            Edit::ApplyAgain => write!(f, "applied again"),
        }
    }
}
