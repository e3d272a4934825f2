//! For tests: an https server on loopback that answers by a script and remembers what it was
//! asked, and a budget that grants everything and remembers what became of it.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sancho_limiter::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::acme::origin::{CaUrl, Origin};
use crate::acme::transport::{Transport, TransportConfig};
use crate::gate::{Gate, GateReceiver, Outcome, Permit, Report};
use crate::metrics::Metrics;
use crate::proxy::Proxies;

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The number of the connection that it came on, from 0.
    pub connection: usize,
}

/// What the server does with a request.
pub enum Answer {
    /// Sends these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Waits this long first.
    After(Duration, Vec<u8>),
    /// Sends these bytes and closes the connection.
    Last(Vec<u8>),
    /// Sends these bytes and nothing more.
    Hang(Vec<u8>),
}

/// An https server on loopback. Its sockets close with it.
pub struct Loopback {
    pub origin: Origin,
    pub root_pem: String,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    received: Mutex<Vec<Received>>,
    open: AtomicUsize,
    script: Box<dyn Fn(&Received) -> Answer + Send + Sync>,
}

impl Received {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An HTTP answer with a nonce that is never the same.
pub fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    static NONCES: AtomicUsize = AtomicUsize::new(0);
    let nonce = NONCES.fetch_add(1, Ordering::Relaxed);
    let nonce = format!("nonce-{nonce}");
    let mut fields = fields.to_vec();
    if status < 500 {
        fields.push(("Replay-Nonce", &nonce));
    }
    plain_answer(status, &fields, body)
}

/// An HTTP answer with these fields only.
pub fn plain_answer(status: u16, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n" + body).into_bytes()
}

impl Loopback {
    pub async fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_names(&["localhost"], script).await
    }

    /// A server whose certificate is for `names`.
    pub async fn with_names(
        names: &[&str],
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            received: Mutex::default(),
            open: AtomicUsize::new(0),
            script: Box::new(script),
        });
        let server = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        let origin = Origin::of(&format!("https://localhost:{port}/")).unwrap();
        Loopback {
            origin,
            root_pem: root.pem(),
            state,
            server,
        }
    }

    pub fn url(&self, path: &str) -> CaUrl {
        self.origin.admit(&format!("{}{path}", self.origin)).unwrap()
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// Method and path of all requests, in order of arrival.
    pub fn asked(&self) -> Vec<String> {
        self.received()
            .iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    /// How many connections the server has open.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// A transport that trusts this server.
    pub fn transport(&self, most_idle: usize, gate: Gate) -> Transport {
        self.transport_by(Proxies::default(), most_idle, gate)
    }

    /// The same, through the one of `proxies` that leads there.
    pub fn transport_by(&self, proxies: Proxies, most_idle: usize, gate: Gate) -> Transport {
        Transport::new(
            TransportConfig {
                origin: self.origin.clone(),
                ca_bundle: Some(self.root_pem.clone().into_bytes()),
                proxies,
                replica: "test-0".to_owned(),
                most_idle,
                metrics: Metrics::default(),
            },
            gate,
        )
        .unwrap()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            state.open.fetch_add(1, Ordering::SeqCst);
            let _ = serve(stream, acceptor, &state, connection).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    state: &State,
    connection: usize,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let mut request = parsed(&String::from_utf8(head).unwrap(), connection);
        let length = request
            .field("content-length")
            .map_or(0, |value| value.parse().unwrap());
        while buffer.len() < length {
            stream.read_buf(&mut buffer).await?;
        }
        request.body = buffer.drain(..length).collect();
        state.received.lock().unwrap().push(request.clone());
        let answer = (state.script)(&request);
        let bytes = match &answer {
            Answer::After(delay, bytes) => {
                tokio::time::sleep(*delay).await;
                bytes
            }
            Answer::Bytes(bytes) | Answer::Last(bytes) | Answer::Hang(bytes) => bytes,
        };
        // An answer to HEAD has no body.
        let head_end = bytes
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .map_or(bytes.len(), |end| end + 4);
        let end = if request.method == "HEAD" {
            head_end
        } else {
            bytes.len()
        };
        stream.write_all(&bytes[..end]).await?;
        stream.flush().await?;
        match answer {
            Answer::Bytes(_) | Answer::After(..) => {}
            Answer::Last(_) => return stream.shutdown().await,
            Answer::Hang(_) => {
                // Until the client closes.
                while stream.read_buf(&mut buffer).await? > 0 {}
                return Ok(());
            }
        }
    }
}

fn parsed(head: &str, connection: usize) -> Received {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Received {
        method,
        path,
        fields,
        body: Vec::new(),
        connection,
    }
}

/// A budget that grants every permit at once.
pub struct Budget {
    outcomes: mpsc::UnboundedReceiver<(u64, Report)>,
    pub validity: watch::Sender<Instant>,
    task: tokio::task::JoinHandle<()>,
}

impl Budget {
    /// A gate, and the budget behind it, whose slot is valid for `validity`.
    pub fn open(validity: Duration) -> (Gate, Budget) {
        let (gate, asks) = Gate::channel();
        let (reports, outcomes) = mpsc::unbounded_channel();
        let (validity, watched) = watch::channel(Instant::now() + validity);
        let task = tokio::spawn(grant(asks, watched, reports));
        (
            gate,
            Budget {
                outcomes,
                validity,
                task,
            },
        )
    }

    /// What was reported up to now.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.outcomes.try_recv().ok())
            .filter_map(|(_, report)| ended(report))
            .collect()
    }

    /// For what the requests were that have left up to now. What was reported besides is lost.
    pub fn begun(&mut self) -> Vec<Endpoint> {
        std::iter::from_fn(|| self.outcomes.try_recv().ok())
            .filter_map(|(_, report)| match report {
                Report::Begun(endpoint) => Some(endpoint),
                Report::Unanswered(_) | Report::Ended(_) => None,
            })
            .collect()
    }

    /// Why requests got no answer up to now. What was reported besides is lost.
    pub fn unanswered(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.outcomes.try_recv().ok())
            .filter_map(|(_, report)| match report {
                Report::Unanswered(unanswered) => Some(unanswered.reason),
                Report::Begun(_) | Report::Ended(_) => None,
            })
            .collect()
    }

    /// The next report.
    pub async fn outcome(&mut self) -> Outcome {
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(5), self.outcomes.recv());
            if let Some(outcome) = ended(wait.await.unwrap().unwrap().1) {
                return outcome;
            }
        }
    }
}

fn ended(report: Report) -> Option<Outcome> {
    match report {
        Report::Begun(_) | Report::Unanswered(_) => None,
        Report::Ended(outcome) => Some(outcome),
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn grant(
    mut asks: GateReceiver,
    validity: watch::Receiver<Instant>,
    reports: mpsc::UnboundedSender<(u64, Report)>,
) {
    for id in 0.. {
        let Some(ask) = asks.recv().await else {
            pending().await
        };
        let _ = ask.reply.send(Permit::new(id, validity.clone(), reports.clone()));
    }
}
