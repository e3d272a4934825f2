//! Through an HTTP proxy on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::acme::error::{NotSent, ProxyFault};

const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy that gives the same answer to everybody, and leads on if that is 200.
struct ConnectProxy {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    open: AtomicUsize,
}

impl ConnectProxy {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Seen> = Arc::default();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let noted = noted.clone();
                tokio::spawn(async move {
                    noted.open.fetch_add(1, Ordering::SeqCst);
                    // Its error says that one of the two sides went away.
                    let _ = serve(stream, answer, &noted).await;
                    noted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        ConnectProxy { address, seen, task }
    }

    /// Everybody is asked through it, by a URL with this user and password.
    fn for_all(&self, login: &str) -> Proxies {
        given(&format!("http://{login}{}", self.address), "")
    }

    /// What it was asked.
    fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// How many clients are connected.
    fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, answer: &str, seen: &Seen) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    seen.heads.lock().unwrap().push(head);
    client.write_all(answer.as_bytes()).await?;
    if answer.contains(" 200 ") {
        let mut server = TcpStream::connect(target).await?;
        copy_bidirectional(&mut client, &mut server).await?;
    } else if !answer.is_empty() {
        // Until the client closes.
        client.read_u8().await?;
    }
    Ok(())
}

/// As an environment has them.
fn given(https_proxy: &str, no_proxy: &str) -> Proxies {
    Proxies::of(|name| match name {
        "HTTPS_PROXY" => Some(https_proxy.to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    })
    .unwrap()
}

#[tokio::test]
async fn requests_go_through_the_proxy_and_its_socket_is_closed_with_their_connection() {
    let server = Loopback::start(fine).await;
    let target = format!("localhost:{}", server.origin.port());
    // Older ones speak HTTP/1.0.
    for answer in [
        CONNECTED,
        "HTTP/1.0 200 Connection established\r\nProxy-agent: old\r\n\r\n",
    ] {
        let proxy = ConnectProxy::start(answer).await;
        let (gate, mut budget) = Budget::open(LONG);
        let transport = server.transport_by(proxy.for_all("sancho:p%40ss@"), 1, gate);
        for path in ["/a", "/b"] {
            assert_eq!(post(&transport, &server, path).await.unwrap().status, 200);
        }
        assert_eq!(budget.outcomes(), [Outcome::Answered; 3]);
        let heads = proxy.heads();
        assert_eq!(heads.len(), 1, "{heads:?}");
        let lines: Vec<&str> = heads[0].lines().collect();
        assert_eq!(lines[0], format!("CONNECT {target} HTTP/1.1"));
        let has = |name: &str, value: &str| {
            let mut fields = lines.iter().filter_map(|line| line.split_once(": "));
            fields.any(|(field, said)| field.eq_ignore_ascii_case(name) && said == value)
        };
        assert!(has("host", &target), "{heads:?}");
        // sancho:p@ss
        assert!(has("proxy-authorization", "Basic c2FuY2hvOnBAc3M="), "{heads:?}");

        assert_eq!((transport.open_connections(), proxy.open()), (1, 1));
        transport.close_connections(0).await;
        assert_eq!(transport.open_connections(), 0);
        until(|| proxy.open() == 0 && server.open() == 0).await;
    }
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn whom_no_proxy_names_is_asked_directly() {
    let server = Loopback::start(fine).await;
    let proxy = ConnectProxy::start(CONNECTED).await;
    let (gate, _budget) = Budget::open(LONG);
    let proxies = given(&format!("http://{}", proxy.address), "ca.example,localhost");
    let transport = server.transport_by(proxies, 1, gate);
    assert_eq!(post(&transport, &server, "/a").await.unwrap().status, 200);
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_proxy_answers_is_an_outage_told_of_the_proxy() {
    let server = Loopback::start(fine).await;
    for (answer, reason, words) in [
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n",
            "ProxyRefused",
            "wants a user and password",
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\nthe end",
            "ProxyRefused",
            "refuses that (HTTP status 403)",
        ),
        // Neither is a word of the CA about its pace.
        (
            "HTTP/1.1 429 No\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n",
            "ProxyRefused",
            "refuses that (HTTP status 429)",
        ),
        (
            "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            "ProxyRefused",
            "does not get there (HTTP status 503)",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "ProxyUnreachable",
            "speaks no HTTP",
        ),
        ("", "ProxyUnreachable", "closed the connection"),
    ] {
        let proxy = ConnectProxy::start(answer).await;
        let (gate, mut budget) = Budget::open(LONG);
        let transport = server.transport_by(proxy.for_all("sancho:secret@"), 1, gate);
        let error = transport.get("directory", &server.url("/a")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error:?}");
        let name = format!("http://{} (HTTPS_PROXY)", proxy.address);
        let text = error.to_string();
        for part in [words, &name, &server.origin.to_string()] {
            assert!(text.contains(part), "no {part:?} in {text:?}");
        }
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(
            budget.outcomes(),
            [Outcome::Unreachable(Unreachable::NoRoute)],
            "{text}"
        );
        assert_eq!(transport.open_connections(), 0);
        until(|| proxy.open() == 0).await;
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_from_a_ca_that_is_not() {
    let server = Loopback::start(fine).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    for (url, words) in [
        (format!("http://{dead}"), "which refuses connections"),
        (
            "http://no-such-host.invalid:3128".to_owned(),
            "whose name cannot be resolved",
        ),
    ] {
        let (gate, mut budget) = Budget::open(LONG);
        let transport = server.transport_by(given(&url, ""), 1, gate);
        let error = transport.get("directory", &server.url("/a")).await.unwrap_err();
        assert_eq!(error.reason(), "ProxyUnreachable");
        assert!(
            error
                .to_string()
                .contains(&format!("{url} (HTTPS_PROXY), {words}")),
            "{error}"
        );
        assert_eq!(budget.outcomes(), [Outcome::Unreachable(Unreachable::NoRoute)]);
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_keeps_no_connection_beyond_the_slot() {
    let server = Loopback::start(fine).await;
    let proxy = ConnectProxy::start("HTTP/1.1 ").await;
    let (gate, mut budget) = Budget::open(Duration::from_millis(2_300));
    let transport = server.transport_by(proxy.for_all(""), 1, gate);
    let error = transport.get("directory", &server.url("/a")).await.unwrap_err();
    assert_eq!(error, NotSent::SlotEnding.into());
    assert_eq!(budget.outcomes(), [Outcome::NotSent]);
    assert_eq!(transport.open_connections(), 0);
    until(|| proxy.open() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_never_answers_is_given_up_in_time() {
    let server = Loopback::start(fine).await;
    let proxy = ConnectProxy::start("HTTP/1.1 ").await;
    let roots = server.root_pem.as_bytes();
    let dialer = Dialer::new(server.origin.clone(), Some(roots), &proxy.for_all("")).unwrap();
    let error = dialer.dial().await.err().unwrap();
    let NotSent::Proxy { fault, .. } = &error else {
        panic!("{error:?}");
    };
    let after = Duration::from_secs(10);
    assert_eq!(*fault, ProxyFault::TimedOut { after });
}
