//! An HTTP proxy, as the only way out of many a cluster: it takes CONNECT (RFC 9110 §9.3.6) alone, and of those alone
//! who say its user and password. Every host's name leads to loopback here. No product.
//!
//! `accept -> read the request -> refuse, or connect -> pass bytes on both ways`

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::listener::Listener;

/// More than any request here has.
const LONGEST_HEAD: usize = 8192;

/// Its user and password, as they are and as they stand in a URL.
const LOGIN: &str = "sancho:p@ss:word";
const LOGIN_IN_URL: &str = "sancho:p%40ss%3Aword";

/// A proxy on a free port of 127.0.0.1. Ends when it is dropped.
pub struct ConnectProxy {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    refusal: Option<u16>,
    asked: Vec<String>,
    connections: BTreeSet<String>,
}

impl ConnectProxy {
    /// Starts one that lets everything through.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let kept = state.clone();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = Listener::start("connect-proxy", address, move |stream, _| {
            let kept = kept.clone();
            async move {
                // Its error says that one of the two sides went away.
                let _ = connection(&kept, stream).await;
            }
        })
        .await?;
        Ok(Self { listener, state })
    }

    /// As `HTTPS_PROXY` has it, with user and password.
    pub fn url(&self) -> String {
        format!("http://{LOGIN_IN_URL}@{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// From now on everybody is refused by this status; nobody, if it is none.
    pub fn refuse(&self, status: Option<u16>) {
        locked(&self.state).refusal = status;
    }

    /// Where it was to connect to, each as HOST:PORT, by those who said user and password.
    pub fn asked(&self) -> Vec<String> {
        locked(&self.state).asked.clone()
    }

    /// The addresses from which it has connected, as a server sees them.
    pub fn connections(&self) -> BTreeSet<String> {
        locked(&self.state).connections.clone()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(state: &Mutex<State>, mut client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let head = head(&mut client).await?;
    match judge(&head, state) {
        Ok(port) => pass_on(state, client, port).await,
        Err(status) => refuse(client, status).await,
    }
}

/// A request's head. It is read byte by byte, so that nothing of what follows is taken away.
async fn head(client: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < LONGEST_HEAD, "a request without an end");
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

/// The port to connect to, or the status of the refusal.
fn judge(head: &str, state: &Mutex<State>) -> Result<u16, u16> {
    let mut lines = head.lines();
    let target = lines
        .next()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .and_then(|line| line.strip_suffix(" HTTP/1.1"))
        .ok_or(405_u16)?;
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    };
    let (_, port) = target.rsplit_once(':').ok_or(400_u16)?;
    let port = port.parse().map_err(|_| 400_u16)?;
    if field("host") != Some(target) {
        return Err(400);
    }
    let login = format!("Basic {}", STANDARD.encode(LOGIN));
    if field("proxy-authorization") != Some(login.as_str()) {
        return Err(407);
    }
    let mut state = locked(state);
    state.asked.push(target.to_owned());
    state.refusal.map_or(Ok(port), Err)
}

async fn pass_on(state: &Mutex<State>, mut client: TcpStream, port: u16) -> Result<()> {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return refuse(client, 502).await;
    };
    server.set_nodelay(true)?;
    let own = server.local_addr()?.to_string();
    locked(state).connections.insert(own);
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    copy_bidirectional(&mut client, &mut server)
        .await
        .context("one side went away")?;
    Ok(())
}

async fn refuse(mut client: TcpStream, status: u16) -> Result<()> {
    let challenge = match status {
        407 => "Proxy-Authenticate: Basic realm=\"test\"\r\n",
        _ => "",
    };
    let answer =
        format!("HTTP/1.1 {status} Refused\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> Result<u16, u16> {
        judge(&format!("{}\r\n\r\n", lines.join("\r\n")), &Mutex::default())
    }

    #[test]
    fn it_takes_connect_alone_and_of_those_alone_who_say_the_password() {
        let login = format!("proxy-authorization: Basic {}", STANDARD.encode(LOGIN));
        let login = login.as_str();
        let connect = "CONNECT ca.example:443 HTTP/1.1";
        let host = "host: ca.example:443";
        assert_eq!(judged(&[connect, host, login]), Ok(443));
        assert_eq!(judged(&[connect, host]), Err(407));
        let wrong = "proxy-authorization: Basic AAAA";
        assert_eq!(judged(&[connect, host, wrong]), Err(407));
        assert_eq!(judged(&[connect, "host: other.example:443", login]), Err(400));
        assert_eq!(
            judged(&["CONNECT ca.example HTTP/1.1", "host: ca.example", login]),
            Err(400)
        );
        let get = "GET http://ca.example/ HTTP/1.1";
        assert_eq!(judged(&[get, "host: ca.example", login]), Err(405));
    }
}
