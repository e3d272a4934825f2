//! Ports for servers that are told where to listen.

use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// A loopback port that nobody listens on and that this process has not given out before.
///
/// Taken from below the range that systems use for outgoing connections, so that none of those
/// takes it before its server starts.
///
/// # Errors
///
/// When no port is free.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 18_000;
    const COUNT: u16 = 14_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Processes that run at once begin at places of their own.
        let place = (u64::from(std::process::id()) * 613) % u64::from(COUNT);
        AtomicU16::new(u16::try_from(place).unwrap_or_default())
    });
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT);
}
