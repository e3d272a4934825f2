//! Look before asking: what a look at a name's own path (RFC 8555 §8.3) came to, and what that says of the name.
//! Pure: the looks themselves are made elsewhere.
//!
//! # Guarantees
//! A name is called bad only for what its own DNS or its own server said, or if the same round of looks has reached
//! the right place for another name. If everything is silent, something on our side may be (a resolver, a firewall,
//! a load balancer that does not take connections from behind it): then nothing is said of any name.
//!
//! What fails at those by whom TXT records are written may pass by itself. It is held against its names once
//! it has lasted, and if there is a name that could go on without them ([`holds_up`]).

use std::fmt;
use std::net::IpAddr;

use crate::order::reason;

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The path leads to Sancho.
    Passed,
    /// It does not.
    Failed(Fault),
    /// It cannot be told, for this reason: the CA has to say.
    Unknown(String),
}

/// Why a name's path does not lead to Sancho.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its issuer has no way to answer for it.
    NoSolver,
    /// It is a wildcard, and its issuer answers for it by HTTP alone.
    WildcardByHttp,
    /// No TXT record can be written for it, or the one that has to stand does not.
    NoRecord {
        /// A CamelCase reason.
        reason: &'static str,
        /// What is wrong and what can be done about it, fit to be shown.
        words: String,
        /// Whether it may be otherwise in a moment, without anybody's doing.
        is_passing: bool,
    },
    /// CAA records do not let its CA issue for it.
    CaaForbids {
        /// Which, and what can be done about it, fit to be shown.
        words: String,
    },
    /// It is an address, and its solver has Sancho write a route, which has names alone.
    AddressNotRoutable,
    /// Its route was not written.
    RouteNotWritten {
        /// The route.
        route: String,
        /// What the API server says, and what can be done about it.
        words: String,
    },
    /// Its route was written, and no Gateway takes it.
    RouteNotAccepted {
        /// The route.
        route: String,
        /// What the Gateways say, and what can be done about it.
        words: String,
    },
    /// Its route was written, and somebody else answers.
    RouteNotServed {
        /// The address.
        address: IpAddr,
        /// The HTTP status.
        status: u16,
        /// The route.
        route: String,
    },
    /// NXDOMAIN.
    NameNotFound,
    /// Neither an A nor an AAAA record.
    NoAddress,
    /// The name's DNS servers fail (SERVFAIL and its kin).
    DnsFailed {
        /// The resolver's word.
        word: String,
    },
    /// It leads to an address that is never asked, since it cannot be public.
    LinkLocal {
        /// The address.
        address: IpAddr,
    },
    /// Nothing listens there.
    Refused {
        /// The address.
        address: IpAddr,
    },
    /// No answer in time.
    TimedOut {
        /// The address.
        address: IpAddr,
    },
    /// The connection breaks off, or what is answered is no HTTP.
    Broken {
        /// The address.
        address: IpAddr,
        /// What happens.
        words: String,
    },
    /// Somebody else answers.
    Foreign {
        /// The address.
        address: IpAddr,
        /// The HTTP status.
        status: u16,
    },
    /// The IPv4 address leads to Sancho and the IPv6 address, which CAs prefer, to somebody else.
    Ipv6Elsewhere {
        /// The IPv6 address.
        address: IpAddr,
        /// The HTTP status.
        status: u16,
    },
    /// A redirect that leads nowhere.
    Redirect {
        /// Where it leads, fit to be shown.
        to: String,
        /// What is wrong there.
        words: String,
    },
}

/// How far a look has to have come elsewhere before its failure is held against the name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// None: what was answered is the name's own.
    None,
    /// Our resolver may be at fault.
    Dns,
    /// Our way out may be.
    Connection,
}

impl Fault {
    /// A CamelCase reason, for conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoSolver => "NoSolver",
            Self::WildcardByHttp => "WildcardNeedsDNS01",
            Self::NoRecord { reason, .. } => reason,
            Self::CaaForbids { .. } => reason::CAA,
            Self::AddressNotRoutable => "AddressNotRoutable",
            Self::RouteNotWritten { .. } => "RouteNotWritten",
            Self::RouteNotAccepted { .. } => "RouteNotAccepted",
            Self::RouteNotServed { .. } => "RouteNotServed",
            Self::NameNotFound => "NameNotFound",
            Self::NoAddress => "NoAddress",
            Self::DnsFailed { .. } => "DNSFailed",
            Self::LinkLocal { .. } => "LinkLocalAddress",
            Self::Refused { .. } => "ConnectionRefused",
            Self::TimedOut { .. } => "ConnectionTimedOut",
            Self::Broken { .. } => "ConnectionBroken",
            Self::Foreign { .. } => "ForeignAnswer",
            Self::Ipv6Elsewhere { .. } => "IPv6Elsewhere",
            Self::Redirect { .. } => "RedirectFails",
        }
    }

    /// May it be that a route which was just written does not count yet?
    pub fn may_be_early(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Foreign { .. }
            | Self::Ipv6Elsewhere { .. }
            | Self::Redirect { .. } => true,
            Self::NoSolver
            | Self::WildcardByHttp
            | Self::NoRecord { .. }
            | Self::CaaForbids { .. }
            | Self::AddressNotRoutable
            | Self::RouteNotWritten { .. }
            | Self::RouteNotAccepted { .. }
            | Self::RouteNotServed { .. }
            | Self::NameNotFound
            | Self::NoAddress
            | Self::DnsFailed { .. }
            | Self::LinkLocal { .. } => false,
        }
    }

    /// Does something that stands before the responders say that it does not reach them? It may do so for a moment, when
    /// pods are replaced or have too much to do.
    pub fn is_of_gateway(&self) -> bool {
        matches!(
            self,
            Self::Foreign {
                status: 502..=504,
                ..
            }
        )
    }

    /// May it be otherwise in a moment, without anybody's doing? Somebody fails by whom TXT records are
    /// written, or looked for.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NoRecord { is_passing: true, .. })
    }

    fn doubt(&self) -> Doubt {
        match self {
            Self::DnsFailed { .. } => Doubt::Dns,
            Self::Refused { .. } | Self::TimedOut { .. } | Self::Broken { .. } => Doubt::Connection,
            Self::NoSolver
            | Self::WildcardByHttp
            | Self::NoRecord { .. }
            | Self::CaaForbids { .. }
            | Self::AddressNotRoutable
            | Self::RouteNotWritten { .. }
            | Self::RouteNotAccepted { .. }
            | Self::RouteNotServed { .. }
            | Self::NameNotFound
            | Self::NoAddress
            | Self::LinkLocal { .. }
            | Self::Foreign { .. }
            | Self::Ipv6Elsewhere { .. }
            | Self::Redirect { .. } => Doubt::None,
        }
    }
}

/// What is wrong and what can be done about it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSolver => write!(
                f,
                "no solver of its issuer is for this name: add one to spec.acme.solvers of the issuer, or widen a \
                 selector there"
            ),
            Self::WildcardByHttp => write!(
                f,
                "a wildcard is validated by DNS alone, and its issuer has http01 for it: add a solver with dns01 to \
                 spec.acme.solvers of the issuer, or one with dnsPersist01, with its domain under selector.dnsZones"
            ),
            Self::NoRecord { words, .. } | Self::CaaForbids { words } => f.write_str(words),
            Self::AddressNotRoutable => write!(
                f,
                "it is an address, which neither an Ingress nor a HTTPRoute can have for a host: route it yourself, and \
                 add a solver with external: {{}} and a selector that lists it under dnsNames"
            ),
            Self::RouteNotWritten { route, words } => write!(f, "{route} could not be written: {words}"),
            Self::RouteNotAccepted { route, words } => write!(f, "{route} is not accepted: {words}"),
            Self::RouteNotServed {
                address,
                status,
                route,
            } => write!(
                f,
                "{address} answers HTTP {status} in place of Sancho, though {route} leads to it: see that its \
                 controller runs and serves it on port 80, and that the name's record points there"
            ),
            Self::NameNotFound => write!(
                f,
                "the name does not exist in DNS (NXDOMAIN): make its record, or take it out of spec.dnsNames"
            ),
            Self::NoAddress => write!(f, "the name has neither an A nor an AAAA record: make one"),
            Self::DnsFailed { word } => write!(
                f,
                "its DNS servers fail ({word}): check its delegation, and DNSSEC if it is signed"
            ),
            Self::LinkLocal { address } => write!(
                f,
                "it leads to {address}, which no CA can reach: point its record at the public address"
            ),
            Self::Refused { address } => write!(
                f,
                "{address} refuses connections to port 80: point the record at the right address, or open the port"
            ),
            Self::TimedOut { address } => write!(
                f,
                "{address} does not answer on port 80: point the record at the right address, or open the firewall"
            ),
            Self::Broken { address, words } => write!(
                f,
                "{address} breaks the connection off ({words}): check that it speaks HTTP on port 80"
            ),
            Self::Foreign { address, status } => write!(
                f,
                "{address} answers HTTP {status} in place of Sancho: point the record at the right address, or \
                 route http://NAME/.well-known/acme-challenge/ to Sancho's responder"
            ),
            Self::Ipv6Elsewhere { address, status } => write!(
                f,
                "its AAAA record leads to {address}, which answers HTTP {status} in place of Sancho, and CAs prefer \
                 it: mend the AAAA record or remove it"
            ),
            Self::Redirect { to, words } => write!(
                f,
                "it is redirected to {to}, where {words}: exempt /.well-known/acme-challenge/ from the redirect"
            ),
        }
    }
}

/// Has no look of the round come to anything that answers? Then it may be that nothing can be reached from here.
pub fn reaches_nothing(round: &[Finding]) -> bool {
    round.iter().all(|finding| match finding {
        Finding::Passed => false,
        Finding::Failed(fault) => fault.doubt() != Doubt::None,
        Finding::Unknown(_) => true,
    })
}

/// What a round of looks says of its names, one finding for each. What may be our own fault is not held against a
/// name unless another look of the round came through.
pub fn judged(round: Vec<Finding>) -> Vec<Finding> {
    let passed = round.contains(&Finding::Passed);
    let resolved = round.iter().any(|finding| match finding {
        Finding::Passed => true,
        Finding::Failed(fault) => fault.doubt() != Doubt::Dns,
        Finding::Unknown(_) => false,
    });
    let weigh = |finding| match finding {
        Finding::Failed(fault) => {
            let holds = match fault.doubt() {
                Doubt::None => true,
                Doubt::Dns => resolved,
                Doubt::Connection => passed,
            };
            if holds {
                Finding::Failed(fault)
            } else {
                Finding::Unknown(format!("no name could be reached from here ({})", fault.reason()))
            }
        }
        certain @ (Finding::Passed | Finding::Unknown(_)) => certain,
    };
    round.into_iter().map(weigh).collect()
}

/// Do faults of a round that may pass hold all its names up? At first they do, whatever the others are like:
/// what fails for a moment is to cost no name its place in a certificate. If that `has_lasted`, they do as
/// long as there is no name that could go on without.
pub fn holds_up(round: &[Finding], has_lasted: bool) -> bool {
    let is_passing = |finding: &Finding| matches!(finding, Finding::Failed(fault) if fault.is_passing());
    let could_go_on = |finding: &Finding| matches!(finding, Finding::Passed | Finding::Unknown(_));
    round.iter().any(is_passing) && !(has_lasted && round.iter().any(could_go_on))
}

#[cfg(test)]
mod tests;
