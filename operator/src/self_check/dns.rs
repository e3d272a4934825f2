//! From a name to its addresses, by resolvers that are configured and not by the system's library: what is
//! answered is fresh, and NXDOMAIN can be told from a resolver that is out of order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sancho_core::check::{Fault, Finding};
use sancho_core::shown::shown_within;

use crate::dns_answer::data_of;

/// How long one resolver is waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The first address of each family.
pub(super) struct Addresses {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

impl Addresses {
    /// One address alone.
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self {
                v4: Some(v4),
                v6: None,
            },
            IpAddr::V6(v6) => Self {
                v4: None,
                v6: Some(v6),
            },
        }
    }
}

/// A resolver that asks `servers`, or the system's if there are none.
pub(super) fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| format!("no resolver is configured here: {error}"))?
    } else {
        let servers = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.attempts = 1;
    // A name that was mended is looked at to see just that. No CA knows our hosts file.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder
        .build()
        .map_err(|error| format!("the resolver cannot be used: {error}"))
}

/// The addresses of `name`.
pub(super) async fn addresses(resolver: &TokioResolver, name: &str) -> Result<Addresses, Finding> {
    let Ok(full) = Name::from_ascii(format!("{name}.")) else {
        return Err(Finding::Unknown("it is no DNS name".into()));
    };
    let (four, six) = tokio::join!(
        resolver.lookup(full.clone(), RecordType::A),
        resolver.lookup(full.clone(), RecordType::AAAA)
    );
    let v4 = four.as_ref().ok().and_then(|lookup| {
        data_of(lookup.answers(), &full).find_map(|data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
    });
    let v6 = six.as_ref().ok().and_then(|lookup| {
        data_of(lookup.answers(), &full).find_map(|data| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        })
    });
    if v4.is_some() || v6.is_some() {
        return Ok(Addresses { v4, v6 });
    }
    // One family may have no records and the other a server that fails: the failure says more.
    let findings = [four.err(), six.err()].map(|error| error.map(|error| finding(&error)));
    let mut findings = findings.into_iter().flatten();
    let first = findings.next().unwrap_or(Finding::Failed(Fault::NoAddress));
    Err(findings.fold(first, |one, other| {
        if one == Finding::Failed(Fault::NoAddress) {
            other
        } else {
            one
        }
    }))
}

fn finding(error: &NetError) -> Finding {
    let of_code = |code: ResponseCode| match code {
        ResponseCode::NXDomain => Finding::Failed(Fault::NameNotFound),
        ResponseCode::NoError => Finding::Failed(Fault::NoAddress),
        // The resolver does not want to be asked by us.
        ResponseCode::Refused => Finding::Unknown("the resolver refuses to be asked".into()),
        code => Finding::Failed(Fault::DnsFailed {
            word: code.to_string(),
        }),
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => of_code(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => of_code(*code),
        other => Finding::Unknown(shown_within(
            &format!("the resolver does not answer: {other}"),
            256,
        )),
    }
}
