//! The ACME layer (RFC 8555): permit → nonce → sign → send.
//!
//! [`transport`] is the one place where a request to a CA can leave this process. [`session`] puts
//! an account's key and directory on top of it and performs the order machine's requests.

pub mod account;
pub mod binding;
pub(crate) mod connection;
pub mod csr;
pub mod dial;
pub mod directory;
pub mod error;
pub mod jws;
pub mod key_kind;
#[cfg(test)]
mod loopback;
pub mod nonce;
pub mod origin;
pub mod session;
pub mod transport;
mod tunnel;
