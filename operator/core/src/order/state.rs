//! Where an order stands: all that a resume needs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::challenge::{ChallengeKind, Token};
use crate::names::Name;
use crate::renewal::CertId;
use crate::standing::check_issuers;

/// Where an order stands. `OrderState::default()` is an order that is still to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    /// The stage.
    pub stage: Stage,
    /// The order's URL; absent until newOrder is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The order's finalize URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize_url: Option<String>,
    /// The issued certificate's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_url: Option<String>,
    /// When the order expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The order's authorizations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorizations: Vec<Authorization>,
    /// How often something was asked in vain since the order last moved; waits grow with it.
    #[serde(default)]
    pub polls: u32,
    /// Nothing is asked of the CA before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The certificate that the order's is to replace (RFC 9773 §5), unless the CA refuses to hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertId>,
    /// When it was finalized first, or may have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized: Option<Timestamp>,
    /// What the caller was asked for by hand when the order was begun, in any words; see [`super::Patience`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// The stages of an order, in the order in which it passes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// It is still to be made.
    #[default]
    New,
    /// The CA waits for challenges to be answered, or checks them.
    Pending,
    /// All names are authorized; it is to be finalized.
    Ready,
    /// It is being issued, or the outcome of finalize has to be read.
    Processing,
    /// The certificate can be downloaded.
    Valid,
    /// The CA has given it up; the authorizations say why.
    Invalid,
}

/// One authorization of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Its URL.
    pub url: String,
    /// Where it stands.
    pub state: AuthorizationState,
    /// The DNS name, wildcard or address, as the shard has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kind of challenge that is taken; HTTP-01 if it is not recorded.
    #[serde(default, skip_serializing_if = "is_http01")]
    pub kind: ChallengeKind,
    /// The challenge's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_url: Option<String>,
    /// The challenge's token; dns-persist-01 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The names that the CA goes by in a standing record, of a dns-persist-01 challenge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer_domain_names: Vec<String>,
    /// What the CA says is wrong, fit to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_http01(kind: &ChallengeKind) -> bool {
    *kind == ChallengeKind::Http01
}

/// Where an authorization stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizationState {
    /// It is to be fetched.
    #[default]
    Unknown,
    /// Its challenge is to be answered; one by DNS once its record can be seen.
    Pending,
    /// The record for its challenge can be seen; the CA is to be told.
    Presented,
    /// The CA was told to check it.
    Answered,
    /// The name is authorized.
    Valid,
    /// The name is refused; the error says why.
    Invalid,
}

impl OrderState {
    /// An order that is still to be made, for a certificate that replaces this one.
    pub fn replacing(replaces: Option<CertId>) -> Self {
        Self {
            replaces,
            ..Self::default()
        }
    }

    /// The places in `authorizations` of those whose records in DNS are to be seen before the CA is told.
    pub fn to_present(&self) -> impl Iterator<Item = (usize, &Authorization)> {
        let waits =
            |a: &Authorization| a.kind != ChallengeKind::Http01 && a.state == AuthorizationState::Pending;
        let authorizations = self.authorizations.iter().enumerate();
        authorizations.filter(move |(_, authorization)| waits(authorization))
    }

    /// The records of all challenges by DNS can be seen: the CA may be told.
    #[must_use]
    pub fn presented(mut self) -> Self {
        let places: Vec<usize> = self.to_present().map(|(index, _)| index).collect();
        for index in places {
            self.authorizations[index].state = AuthorizationState::Presented;
        }
        self.not_before = None;
        self.polls = 0;
        self
    }

    /// The records cannot be seen yet: they are looked at again at `until`.
    #[must_use]
    pub fn unseen(mut self, until: Timestamp) -> Self {
        self.not_before = Some(until);
        self.polls = self.polls.saturating_add(1);
        self
    }

    /// The authorizations of these names that wait for their records are read anew: the CA may have another
    /// word by now. What was looked for in vain stays counted.
    #[must_use]
    pub fn reread(mut self, names: &BTreeSet<String>) -> Self {
        let is_meant = |a: &Authorization| a.name.as_ref().is_some_and(|name| names.contains(name));
        let waiting = self.to_present().filter(|(_, a)| is_meant(a));
        let places: Vec<usize> = waiting.map(|(index, _)| index).collect();
        for index in places {
            self.authorizations[index].state = AuthorizationState::Unknown;
        }
        self.not_before = None;
        self
    }

    /// Every URL that it holds: to be checked by the HTTP edge whenever a state is resumed.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let own = [&self.url, &self.finalize_url, &self.certificate_url];
        let authorizations = self
            .authorizations
            .iter()
            .flat_map(|a| [Some(a.url.as_str()), a.challenge_url.as_deref()]);
        own.into_iter()
            .map(|url| url.as_deref())
            .chain(authorizations)
            .flatten()
    }

    /// Is it one that this machine can have left for an order of `names`? A resumed state is not
    /// believed: hosts and tokens from it would be answered to whoever asks.
    pub fn check(&self, names: &[Name]) -> Result<(), Inconsistent> {
        if (self.stage == Stage::New) != self.url.is_none() {
            return Err(Inconsistent::Url);
        }
        if self.stage == Stage::Ready && self.finalize_url.is_none() {
            return Err(Inconsistent::FinalizeUrl);
        }
        if self.stage == Stage::Valid && self.certificate_url.is_none() {
            return Err(Inconsistent::CertificateUrl);
        }
        for authorization in &self.authorizations {
            if let Some(name) = &authorization.name
                && !names.iter().any(|known| known.as_str() == name)
            {
                return Err(Inconsistent::Name);
            }
            let token = authorization.token.as_deref().map(Token::parse);
            if matches!(token, Some(Err(_))) {
                return Err(Inconsistent::Token);
            }
            let is_open = match authorization.state {
                AuthorizationState::Pending
                | AuthorizationState::Presented
                | AuthorizationState::Answered => self.stage == Stage::Pending,
                AuthorizationState::Unknown | AuthorizationState::Valid | AuthorizationState::Invalid => {
                    false
                }
            };
            let has_what_it_asks_for = match authorization.kind {
                ChallengeKind::Http01 | ChallengeKind::Dns01 => token.is_some(),
                ChallengeKind::DnsPersist01 => check_issuers(&authorization.issuer_domain_names).is_ok(),
            };
            let is_whole =
                authorization.name.is_some() && authorization.challenge_url.is_some() && has_what_it_asks_for;
            if is_open && !is_whole {
                return Err(Inconsistent::Challenge);
            }
        }
        Ok(())
    }
}

/// Why a recorded state cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// An order without URL, or a URL without an order.
    #[error("the recorded order has a stage and a URL that do not go together")]
    Url,
    /// Ready without a finalize URL.
    #[error("the recorded order is ready and has no finalize URL")]
    FinalizeUrl,
    /// Valid without a certificate URL.
    #[error("the recorded order is valid and has no certificate URL")]
    CertificateUrl,
    /// An authorization of a name that is not asked for.
    #[error("the recorded order has an authorization of a name that is not the shard's")]
    Name,
    /// A challenge that lacks name, URL or token, or the CA's names.
    #[error("the recorded order has a challenge without name, URL or token")]
    Challenge,
    /// A token that is none.
    #[error("the recorded order has a challenge token that is not base64url")]
    Token,
}

/// A word that is no stage or state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stage of an order or state of an authorization")]
pub struct UnknownWord;

impl Stage {
    /// The stage as a status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Pending => "Pending",
            Self::Ready => "Ready",
            Self::Processing => "Processing",
            Self::Valid => "Valid",
            Self::Invalid => "Invalid",
        }
    }
}

impl FromStr for Stage {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [
            Self::New,
            Self::Pending,
            Self::Ready,
            Self::Processing,
            Self::Valid,
            Self::Invalid,
        ]
        .into_iter()
        .find(|stage| stage.as_str() == word)
        .ok_or(UnknownWord)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AuthorizationState {
    /// The state as a status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Pending => "Pending",
            Self::Presented => "Presented",
            Self::Answered => "Answered",
            Self::Valid => "Valid",
            Self::Invalid => "Invalid",
        }
    }
}

impl FromStr for AuthorizationState {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [
            Self::Unknown,
            Self::Pending,
            Self::Presented,
            Self::Answered,
            Self::Valid,
            Self::Invalid,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or(UnknownWord)
    }
}

impl fmt::Display for AuthorizationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
