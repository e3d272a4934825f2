//! What every process of Sancho starts with: its sockets, the word to end.

use std::future::Future;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Listens on what a flag of that name has given.
///
/// # Errors
/// The address is taken, or not this host's.
pub async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another {flag}"))
}

/// Returns once the word is given. A sender that is gone says the same.
pub async fn told(mut word: watch::Receiver<bool>) {
    let _ = word.wait_for(|given| *given).await;
}

/// Works until it is over.
pub async fn until(over: impl Future<Output = ()>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = over => {}
        () = work => {}
    }
}
