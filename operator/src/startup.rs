//! What every process of Sancho starts with: its sockets, the way to the API server, the word to end.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kube::Config;
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

/// The way to the API server, with an end to every wait.
///
/// # Errors
/// There is neither a kubeconfig nor what a pod has.
pub async fn api_server() -> anyhow::Result<Config> {
    let mut config = Config::infer()
        .await
        .context("no way to the API server: neither a kubeconfig nor a pod's own")?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(60));
    config.write_timeout = Some(Duration::from_secs(30));
    Ok(config)
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
