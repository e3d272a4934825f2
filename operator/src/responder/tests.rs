//! Over real sockets on loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const ANSWER: &str =
    "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

struct Responder {
    address: SocketAddr,
    table: ChallengeTable,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Responder {
    /// A responder that knows the answer for `a.example`.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let table = ChallengeTable::default();
        table.set("shard", vec![challenge("a.example")]);
        let (shutdown, ended) = oneshot::channel();
        let served = table.clone();
        let serving = tokio::spawn(serve(listener, served, async {
            let _ = ended.await;
        }));
        Responder {
            address,
            table,
            shutdown,
            serving,
        }
    }

    /// The whole answer to one request, as text.
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, host: &str, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

#[tokio::test]
async fn an_address_is_asked_for_with_or_without_port_and_in_brackets() {
    let responder = Responder::start().await;
    let hosts = ["192.0.2.1", "2001:db8::1"];
    responder.table.set("shard", hosts.map(challenge).to_vec());
    let path = format!("/.well-known/acme-challenge/{TOKEN}");
    for host in ["192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:DB8:0::1]:80"] {
        let answer = responder.get(host, &path).await;
        assert!(answer.ends_with(ANSWER), "{host}: {answer}");
    }
    for host in ["[2001:db8::1", "[a.example]"] {
        let answer = responder.get(host, &path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}: {answer}");
    }
}

fn challenge(host: &str) -> Challenge {
    Challenge {
        host: host.to_owned(),
        token: Token::parse(TOKEN).unwrap(),
        key_authorization: ANSWER.to_owned(),
    }
}

fn path() -> String {
    format!("/.well-known/acme-challenge/{TOKEN}")
}

fn is_answer(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200 ") && response.ends_with(&format!("\r\n\r\n{ANSWER}"))
}

#[tokio::test]
async fn what_was_handed_out_is_answered_as_plain_text() {
    let responder = Responder::start().await;
    let response = responder.get("a.example", &path()).await;
    assert!(is_answer(&response), "{response}");
    assert!(response.contains("content-type: text/plain\r\n"), "{response}");
}

#[tokio::test]
async fn case_port_and_closing_dot_of_the_host_do_not_matter() {
    let responder = Responder::start().await;
    for host in ["A.Example", "a.example:80", "a.example:8080", "a.example."] {
        let response = responder.get(host, &path()).await;
        assert!(is_answer(&response), "{host}: {response}");
    }
    let absolute = format!(
        "GET http://a.example{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        path()
    );
    assert!(is_answer(&responder.ask(&absolute).await));
}

#[tokio::test]
async fn a_wrong_host_an_unknown_token_and_a_doubtful_host_are_not_found() {
    let responder = Responder::start().await;
    let other = "A".repeat(43);
    let unknown = format!("/.well-known/acme-challenge/{other}");
    let unhosted = format!("GET {} HTTP/1.1\r\nConnection: close\r\n\r\n", path());
    let two = format!(
        "GET {} HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\nConnection: close\r\n\r\n",
        path()
    );
    let to =
        |host: &str, path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let questions = [
        to("b.example", &path()),
        to("", &path()),
        to("a.example", &unknown),
        unhosted,
        two,
    ];
    // All at once: each of them waits a little for the watch.
    let asked = futures::future::join_all(questions.iter().map(|question| responder.ask(question)));
    for response in asked.await {
        assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
        assert!(!response.contains(ANSWER));
    }
}

#[tokio::test]
async fn nothing_else_is_served() {
    let responder = Responder::start().await;
    for path in [
        "/",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/short",
        "/metrics",
    ] {
        let response = responder.get("a.example", path).await;
        assert!(response.starts_with("HTTP/1.1 404 "), "{path}: {response}");
    }
    let below = format!("{}/x", path());
    assert!(
        responder
            .get("a.example", &below)
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    let post = format!(
        "POST {} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        path()
    );
    assert!(responder.ask(&post).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_question_that_comes_before_the_watch_is_answered_when_it_has_caught_up() {
    let responder = Responder::start().await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        responder.table.set("other", vec![challenge("late.example")]);
    };
    let path = path();
    let (response, ()) = tokio::join!(responder.get("late.example", &path), late);
    assert!(is_answer(&response), "{response}");
}

#[tokio::test]
async fn it_ends_when_told_whatever_its_clients_do() {
    let responder = Responder::start().await;
    let mut idle = TcpStream::connect(responder.address).await.unwrap();
    idle.write_all(b"GET / HT").await.unwrap();
    let path = path();
    assert!(is_answer(&responder.get("a.example", &path).await));
    responder.shutdown.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), responder.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(responder.address).await.is_err());
}
