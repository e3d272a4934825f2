//! The addresses of the server that is to be updated.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::solvers::dns01::answers::MOST_ADDRESSES;

/// How long a name may take to be looked up.
const WITHIN: Duration = Duration::from_secs(5);
/// What is said of a name without an address.
const NO_ADDRESS: &str = "has no address";

/// The addresses that a nameserver stands for, in the order in which they are tried; or what is wrong with it.
pub(super) async fn addresses(nameserver: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = parts(nameserver).ok_or(NO_ADDRESS)?;
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![(address, port).into()]),
        Err(_) => looked_up(tokio::net::lookup_host((host, port))).await,
    }
}

/// What a lookup comes to, if it ends in time.
async fn looked_up<I>(lookup: impl Future<Output = io::Result<I>>) -> Result<Vec<SocketAddr>, String>
where
    I: Iterator<Item = SocketAddr>,
{
    let Ok(found) = timeout(WITHIN, lookup).await else {
        return Err(format!("was not looked up within {} s", WITHIN.as_secs()));
    };
    let mut addresses = Vec::new();
    for address in found.into_iter().flatten() {
        if addresses.len() < MOST_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(NO_ADDRESS.to_owned()),
        false => Ok(addresses),
    }
}

/// Host and port of `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or a bare IPv6 address.
fn parts(nameserver: &str) -> Option<(&str, u16)> {
    const PORT: u16 = 53;
    if nameserver.parse::<IpAddr>().is_ok() {
        return Some((nameserver, PORT));
    }
    let (host, port) = match nameserver.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (nameserver, PORT),
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameserver_has_port_53_unless_it_says_otherwise() {
        for (text, host, port) in [
            ("192.0.2.53", "192.0.2.53", 53),
            ("192.0.2.53:5353", "192.0.2.53", 5353),
            ("2001:db8::53", "2001:db8::53", 53),
            ("[2001:db8::53]", "2001:db8::53", 53),
            ("[2001:db8::53]:5353", "2001:db8::53", 5353),
            ("ns.example.com", "ns.example.com", 53),
            ("ns.example.com:5353", "ns.example.com", 5353),
        ] {
            assert_eq!(parts(text), Some((host, port)), "{text}");
        }
        for text in [":53", "ns.example.com:port", "[2001:db8::53", "ns:99999"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nameserver_is_looked_up_in_time_and_in_the_order_of_its_addresses() {
        let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 53));
        let found = [3, 1, 3, 2, 5, 4].map(address).into_iter();
        let looked_for = looked_up(std::future::ready(Ok(found))).await;
        assert_eq!(looked_for, Ok([3, 1, 2, 5].map(address).to_vec()));
        let nothing = looked_up(std::future::ready(Ok(std::iter::empty()))).await;
        assert_eq!(nothing, Err(NO_ADDRESS.to_owned()));
        let never = std::future::pending::<io::Result<std::iter::Empty<SocketAddr>>>();
        assert_eq!(
            looked_up(never).await,
            Err("was not looked up within 5 s".to_owned())
        );
        assert_eq!(addresses("192.0.2.3").await, Ok(vec![address(3)]));
        assert_eq!(addresses(":53").await, Err(NO_ADDRESS.to_owned()));
    }
}
