//! What the order machine asks for and what it gives back.

use jiff::Timestamp;

use crate::names::Name;
use crate::renewal::CertId;
use crate::response::{Response, Scope};

/// One request to the CA, to be signed and sent by the caller (all are POSTs, RFC 8555 §6.2–6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Ask for an order of these names (§7.4).
    NewOrder {
        /// The names, as the shard has them.
        names: Vec<Name>,
        /// The certificate that is replaced (RFC 9773 §5): to be sent only to a CA whose directory has
        /// `renewalInfo`.
        replaces: Option<CertId>,
    },
    /// Read an authorization (§7.5).
    FetchAuthorization {
        /// Its place in [`super::OrderState::authorizations`].
        index: usize,
        /// Its URL.
        url: String,
    },
    /// Tell the CA that a challenge can be checked (§7.5.1). Its token must be served, or its record be seen, by then.
    AnswerChallenge {
        /// The authorization's place in [`super::OrderState::authorizations`].
        index: usize,
        /// The challenge's URL.
        url: String,
    },
    /// Read the order (§7.1.3).
    PollOrder {
        /// Its URL.
        url: String,
    },
    /// Send the CSR (§7.4). The key must be recorded by then, and the same one be used again when
    /// the request is repeated.
    Finalize {
        /// The finalize URL.
        url: String,
    },
    /// Download the certificate chain as PEM (§7.4.2).
    DownloadCertificate {
        /// The certificate's URL.
        url: String,
    },
}

impl Request {
    /// A name for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NewOrder { .. } => "newOrder",
            Self::FetchAuthorization { .. } => "authorization",
            Self::AnswerChallenge { .. } => "challenge",
            Self::PollOrder { .. } => "order",
            Self::Finalize { .. } => "finalize",
            Self::DownloadCertificate { .. } => "certificate",
        }
    }

    /// The URL from the CA; none for newOrder, whose URL is the directory's.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::NewOrder { .. } => None,
            Self::FetchAuthorization { url, .. }
            | Self::AnswerChallenge { url, .. }
            | Self::PollOrder { url }
            | Self::Finalize { url }
            | Self::DownloadCertificate { url } => Some(url),
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer, whatever its status.
    Response(Response),
    /// None, and the CA may or may not have received the request.
    Lost,
    /// None, and the CA has certainly not received it (no connection, no permit any more).
    NotSent,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this and give the outcome to [`super::reply`].
    Send(Request),
    /// Have the TXT records of [`super::OrderState::to_present`] seen, all together, and those for DNS-01 written before;
    /// then go on with
    /// [`super::OrderState::presented`], or meanwhile with [`super::OrderState::unseen`].
    Present,
    /// Ask again at that moment; until then nothing is to be sent.
    Wait {
        /// The moment.
        until: Timestamp,
        /// What for, in words.
        why: &'static str,
    },
    /// The order has failed.
    Failed(Failure),
    /// The order is of no use any more: drop it and begin with a new state.
    Restart {
        /// Why, fit to be shown.
        why: String,
    },
}

/// What an answer meant, besides the new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The order moved on, or its state was read.
    Moved,
    /// The request was in vain and is made again later; see [`super::OrderState::not_before`].
    Again {
        /// One of the constants in [`reason`]: [`reason::THROTTLED`], [`reason::NO_ANSWER`],
        /// [`reason::SERVER_ERROR`], [`reason::BAD_NONCE`], [`reason::REPEATED`], [`reason::RATE_LIMITED`],
        /// [`reason::REPLACES_REFUSED`].
        reason: &'static str,
        /// What was answered, fit to be shown.
        message: String,
    },
    /// The certificate is here: the order is done.
    Issued {
        /// The chain as PEM, leaf first, as the CA sent it.
        chain: String,
        /// URLs of alternate chains.
        alternates: Vec<String>,
    },
    /// The order has failed.
    Failed(Failure),
    /// The order is of no use any more: drop it and begin with a new state.
    Restart {
        /// Why, fit to be shown.
        why: String,
    },
}

/// Why an order failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of the constants in [`reason`].
    pub reason: &'static str,
    /// The CA's own words, bounded and escaped, or ours.
    pub message: String,
    /// The names that it is about, as far as the CA says so; all of them are the shard's.
    pub names: Vec<Name>,
    /// When another order may be tried.
    pub retry: Retry,
    /// Set if a quota is used up: whom it holds back beside this order.
    pub quota: Option<Scope>,
    /// Set if there were too many names: how many the CA takes at most. Fewer than were asked for, and the same
    /// names must not be asked for together again.
    pub most_names: Option<usize>,
}

/// When another order may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After the usual backoff.
    Backoff,
    /// Not before that moment, by the CA's word; it may be days away.
    At(Timestamp),
}

/// Named reasons: for conditions, events, logs and tests.
pub mod reason {
    /// The CA does not know the account.
    pub const ACCOUNT_DOES_NOT_EXIST: &str = "AccountDoesNotExist";
    /// The CA does not accept the CSR.
    pub const BAD_CSR: &str = "BadCSR";
    /// A CAA record forbids the issuance.
    pub const CAA: &str = "CAAForbids";
    /// The account needs an external account binding.
    pub const EXTERNAL_ACCOUNT_REQUIRED: &str = "ExternalAccountRequired";
    /// The CA refuses the request for another reason.
    pub const REFUSED: &str = "Refused";
    /// The CA calls the request malformed.
    pub const MALFORMED: &str = "Malformed";
    /// The CA offers no DNS-01 challenge for a name.
    pub const NO_DNS01: &str = "NoDNS01Challenge";
    /// The CA offers no dns-persist-01 challenge for a name.
    pub const NO_DNS_PERSIST01: &str = "NoDNSPersist01Challenge";
    /// The CA offers no HTTP-01 challenge for a name.
    pub const NO_HTTP01: &str = "NoHTTP01Challenge";
    /// The CA does not let its customers choose how long a certificate is valid, or not so long.
    pub const DURATION_REFUSED: &str = "DurationRefused";
    /// The CA gave the order up and does not say why.
    pub const ORDER_INVALID: &str = "OrderInvalid";
    /// The CA finalized the order, and its certificate does not come.
    pub const ORDER_OVERDUE: &str = "OrderOverdue";
    /// The CA does not offer the profile that is asked for, or not for these names.
    pub const PROFILE_NOT_OFFERED: &str = "ProfileNotOffered";
    /// A quota of the CA is used up.
    pub const RATE_LIMITED: &str = "RateLimited";
    /// The CA does not certify a name.
    pub const REJECTED_IDENTIFIER: &str = "RejectedIdentifier";
    /// The CA does not take so many names in one certificate.
    pub const TOO_MANY_NAMES: &str = "TooManyNames";
    /// The account may not do this.
    pub const UNAUTHORIZED: &str = "Unauthorized";
    /// The CA's answer does not fit the question.
    pub const UNEXPECTED_ANSWER: &str = "UnexpectedAnswer";
    /// A human must visit a page of the CA.
    pub const USER_ACTION_REQUIRED: &str = "UserActionRequired";
    /// A name could not be validated.
    pub const VALIDATION_FAILED: &str = "ValidationFailed";

    /// The nonce was stale.
    pub const BAD_NONCE: &str = "BadNonce";
    /// No answer came.
    pub const NO_ANSWER: &str = "NoAnswer";
    /// The challenge or order was not in the state for it: probably asked before.
    pub const REPEATED: &str = "Repeated";
    /// The CA takes no order that replaces that certificate: it is asked for at once without saying so.
    pub const REPLACES_REFUSED: &str = "ReplacesRefused";
    /// The CA failed, or its answer cannot be read.
    pub const SERVER_ERROR: &str = "ServerError";
    /// The CA was asked too fast or is overloaded.
    pub const THROTTLED: &str = "Throttled";
}
