//! The router asks the next replica when one does not answer.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sancho_e2e::router::Router;
use tokio::net::TcpListener;

const PATH: &str = "/.well-known/acme-challenge/token";

/// Answers with its name and the Host header that it was asked for.
async fn responder(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let host = request.headers()["host"].to_str().unwrap().to_owned();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{name} for {host}"))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

async fn ask(router: &Router, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{path}", router.address());
    let answer = client
        .get(url)
        .header("Host", "shop.example")
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn challenges_go_round_and_past_the_dead_and_the_stopped() {
    let router = Router::start_anywhere().await.unwrap();
    assert_eq!(ask(&router, PATH).await.0, 502);
    assert_eq!(ask(&router, "/").await.0, 404);

    let (one, two) = (responder("one").await, responder("two").await);
    router.set_responders(vec![one, two]);
    let mut answers = vec![ask(&router, PATH).await.1, ask(&router, PATH).await.1];
    answers.sort();
    assert_eq!(answers, ["one for shop.example", "two for shop.example"]);

    let dead: SocketAddr = ([127, 0, 0, 1], sancho_e2e::process::free_port().unwrap()).into();
    // The kernel takes its connections, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    router.set_responders(vec![dead, silent.local_addr().unwrap(), two]);
    for _ in 0..3 {
        assert_eq!(ask(&router, PATH).await, (200, "two for shop.example".to_owned()));
    }
    assert_eq!(router.answered(), 5);
}
