//! What can keep a request from being answered, told apart by what the user can do about it.

use std::time::Duration;

use sancho_core::order::Reply;

use crate::acme::account::AccountKeyError;
use crate::acme::directory::DirectoryError;
use crate::acme::origin::{Origin, UrlError};
use crate::gate::Closed;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The budget gives no more permits: the process is ending.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The URL may not be asked.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nothing of the request was sent.
    #[error(transparent)]
    NotSent(#[from] NotSent),
    /// The request, or part of it, was sent. Whether the CA acted on it is not known.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The CA was asked for a nonce and gave none, so the request itself was not sent.
    #[error("{origin} gave no nonce (HTTP status {status})")]
    NoNonce {
        /// The CA.
        origin: Origin,
        /// newNonce's status.
        status: u16,
    },
    /// The directory could not be had, so the request itself was not sent.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] AccountKeyError),
}

/// Why nothing of a request was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The host has no address.
    #[error(
        "the name of {origin} cannot be resolved ({reason}): check the issuer's spec.acme.server and the cluster's DNS"
    )]
    Lookup {
        /// The CA.
        origin: Origin,
        /// The resolver's words.
        reason: String,
    },
    /// Nothing listens there.
    #[error("{origin} refuses connections: check the issuer's spec.acme.server and that the CA is running")]
    Refused {
        /// The CA.
        origin: Origin,
    },
    /// There is no way to that address, or the connection broke off while it was made.
    #[error(
        "{origin} cannot be reached ({reason}): check network policies and firewalls between the operator and the CA"
    )]
    Unreachable {
        /// The CA.
        origin: Origin,
        /// The system's words.
        reason: String,
    },
    /// No connection in time.
    #[error(
        "{origin} took no connection within {} s: check network policies and firewalls between the operator and the CA",
        .after.as_secs()
    )]
    TimedOut {
        /// The CA.
        origin: Origin,
        /// How long was waited.
        after: Duration,
    },
    /// The server's certificate comes from a root that is not trusted, and no `caBundle` is given.
    #[error(
        "the TLS certificate of {origin} comes from a root that is not trusted: set the issuer's spec.acme.caBundle to the PEM certificate of that root"
    )]
    UnknownRoot {
        /// The CA.
        origin: Origin,
    },
    /// The server's certificate comes from none of the roots in `caBundle`.
    #[error(
        "the TLS certificate of {origin} comes from none of the roots in the issuer's spec.acme.caBundle: put the PEM certificate of its root there"
    )]
    NotInBundle {
        /// The CA.
        origin: Origin,
    },
    /// The server's certificate is for other names, or not valid now.
    #[error("the TLS certificate of {origin} does not do ({reason}): it is mended at the CA's server")]
    Certificate {
        /// The CA.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// No TLS session came about for another reason.
    #[error("no TLS session with {origin} ({reason}): is it an https server?")]
    Tls {
        /// The CA.
        origin: Origin,
        /// The TLS library's words.
        reason: String,
    },
    /// The proxy that leads there does not.
    #[error("{origin} is asked through the proxy {proxy}, {fault}")]
    Proxy {
        /// The CA.
        origin: Origin,
        /// The proxy, and the environment variable that names it.
        proxy: String,
        /// What is wrong with it.
        fault: ProxyFault,
    },
    /// The slot behind the permit had too little validity left once the connection was there.
    #[error("the slot ended before the request could be begun")]
    SlotEnding,
    /// The connection was closed before the first byte was written, twice.
    #[error("{origin} closes connections before a request can be sent")]
    Turned {
        /// The CA.
        origin: Origin,
    },
}

/// Why there is no way through a proxy. The words go on from its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// Its host has no address.
    #[error("whose name cannot be resolved ({reason}): check that variable and the cluster's DNS")]
    Lookup {
        /// The resolver's words.
        reason: String,
    },
    /// Nothing listens there.
    #[error("which refuses connections: check that variable and that the proxy is running")]
    Refused,
    /// There is no way to its address.
    #[error(
        "which cannot be reached ({reason}): check network policies and firewalls between the operator and the proxy"
    )]
    Unreachable {
        /// The system's words.
        reason: String,
    },
    /// No way through it in time.
    #[error(
        "which led nowhere within {} s: check network policies and firewalls between the operator and the proxy, and \
         the proxy's log",
        .after.as_secs()
    )]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// It closed the connection without a word about the CA, or before the CA said anything.
    #[error("which closed the connection ({reason}): see the proxy's log")]
    Closed {
        /// The system's words.
        reason: String,
    },
    /// What answers is no HTTP.
    #[error("where what answers speaks no HTTP ({reason}): check host and port in that variable")]
    NotHttp {
        /// What is wrong with it.
        reason: String,
    },
    /// It does not know the user.
    #[error(
        "which wants a user and password, or others than it is given (HTTP status 407): write that variable as \
         http://USER:PASSWORD@HOST:PORT"
    )]
    LoginRefused,
    /// It does not want to connect.
    #[error(
        "which refuses that (HTTP status {status}): have the proxy allow CONNECT to that host and port, or name the host \
         in NO_PROXY if it is reached without the proxy"
    )]
    Forbidden {
        /// The answer's status.
        status: u16,
    },
    /// It cannot connect.
    #[error(
        "which does not get there (HTTP status {status}): see the proxy's log, or name the host in NO_PROXY if it is \
         reached without the proxy"
    )]
    Failed {
        /// The answer's status.
        status: u16,
    },
}

/// Why a request that was begun has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No whole answer in time. The connection was closed.
    #[error("{origin} gave no whole answer within {} s", .after.as_secs())]
    TimedOut {
        /// The CA.
        origin: Origin,
        /// How long was waited.
        after: Duration,
    },
    /// The slot behind the permit ended first. The connection was closed.
    #[error("the slot ended before {origin} answered; the connection was closed")]
    SlotEnded {
        /// The CA.
        origin: Origin,
    },
    /// The connection was closed or reset before a whole answer was read.
    #[error("{origin} closed the connection before its answer was whole ({reason})")]
    Reset {
        /// The CA.
        origin: Origin,
        /// The system's words.
        reason: String,
    },
    /// What came is no HTTP.
    #[error("the answer of {origin} is no HTTP ({reason})")]
    NotHttp {
        /// The CA.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer's body was longer than is read.
    #[error("the answer of {origin} (HTTP status {status}) is longer than {limit} bytes")]
    TooLong {
        /// The CA.
        origin: Origin,
        /// The answer's status.
        status: u16,
        /// How much is read.
        limit: usize,
    },
    /// This process ended the request.
    #[error("the request was broken off: the process is ending")]
    BrokenOff,
}

impl SendError {
    /// A CamelCase word for conditions, events and metrics. It is one of a fixed few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            SendError::Closed(_) => "BudgetClosed",
            SendError::Url(_) => "UrlRefused",
            SendError::NotSent(not_sent) => not_sent.reason(),
            SendError::Lost(lost) => lost.reason(),
            SendError::NoNonce { .. } => "NoNonce",
            SendError::Directory(_) => "NoDirectory",
            SendError::Signing(_) => "SigningFailed",
        }
    }
}

impl SendError {
    /// What the order machine is told. Nothing, if asking again cannot help: the process is ending,
    /// the URL may not be asked, or the account key does not sign.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        match self {
            SendError::Closed(_) | SendError::Url(_) | SendError::Signing(_) => None,
            SendError::NotSent(_) | SendError::NoNonce { .. } | SendError::Directory(_) => {
                Some(Reply::NotSent)
            }
            SendError::Lost(_) => Some(Reply::Lost),
        }
    }
}

impl SendError {
    /// Does it tell something about the CA, rather than about this process and its slots?
    #[must_use]
    pub fn is_about_the_ca(&self) -> bool {
        match self {
            SendError::Closed(_)
            | SendError::Signing(_)
            | SendError::NotSent(NotSent::SlotEnding)
            | SendError::Lost(Lost::SlotEnded { .. } | Lost::BrokenOff) => false,
            SendError::Url(_)
            | SendError::NotSent(_)
            | SendError::Lost(_)
            | SendError::NoNonce { .. }
            | SendError::Directory(_) => true,
        }
    }
}

impl NotSent {
    /// A CamelCase word for conditions, events and metrics. It is one of a fixed few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            NotSent::Lookup { .. } => "CaNameUnresolved",
            NotSent::Refused { .. } | NotSent::Unreachable { .. } | NotSent::Turned { .. } => "CaUnreachable",
            NotSent::TimedOut { .. } => "CaTimedOut",
            NotSent::UnknownRoot { .. } | NotSent::NotInBundle { .. } => "CaRootUnknown",
            NotSent::Certificate { .. } | NotSent::Tls { .. } => "CaTlsFailed",
            NotSent::Proxy { fault, .. } => fault.reason(),
            NotSent::SlotEnding => "SlotEnding",
        }
    }
}

impl ProxyFault {
    /// A CamelCase word for conditions, events and metrics. It is one of a fixed few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            ProxyFault::Lookup { .. }
            | ProxyFault::Refused
            | ProxyFault::Unreachable { .. }
            | ProxyFault::TimedOut { .. }
            | ProxyFault::Closed { .. }
            | ProxyFault::NotHttp { .. } => "ProxyUnreachable",
            ProxyFault::LoginRefused | ProxyFault::Forbidden { .. } | ProxyFault::Failed { .. } => {
                "ProxyRefused"
            }
        }
    }
}

impl Lost {
    /// A CamelCase word for conditions, events and metrics. It is one of a fixed few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Lost::TimedOut { .. } => "CaTimedOut",
            Lost::SlotEnded { .. } => "SlotEnded",
            Lost::Reset { .. } => "CaConnectionLost",
            Lost::NotHttp { .. } | Lost::TooLong { .. } => "CaAnswerUnusable",
            Lost::BrokenOff => "BrokenOff",
        }
    }
}
