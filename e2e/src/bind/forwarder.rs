//! A DNS server that asks another one, by UDP and, from when it is told, by TCP.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// A running forwarder. It ends when dropped.
pub(super) struct Forwarder {
    address: SocketAddr,
    behind: SocketAddr,
    tasks: Mutex<JoinSet<Result<()>>>,
}

impl Forwarder {
    /// Starts one at `address` that asks `behind`.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(super) async fn start(address: SocketAddr, behind: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = vec![0; usize::from(u16::MAX)];
            loop {
                // One question after the other; one whose answer is lost is asked again by who wants it.
                let (length, from) = socket.recv_from(&mut buffer).await?;
                let asking = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                asking.connect(behind).await?;
                asking.send(&buffer[..length]).await?;
                let length = asking.recv(&mut buffer).await?;
                socket.send_to(&buffer[..length], from).await?;
            }
        });
        Ok(Self {
            address,
            behind,
            tasks: Mutex::new(tasks),
        })
    }

    /// Takes TCP, too.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub(super) async fn take_tcp(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let behind = self.behind;
        let mut tasks = self.tasks.lock().await;
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await?;
                open.spawn(async move {
                    let mut asked = TcpStream::connect(behind).await?;
                    copy_bidirectional(&mut stream, &mut asked).await
                });
            }
        });
        Ok(())
    }
}
