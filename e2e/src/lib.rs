//! Real parts for end-to-end tests, the demo and the comparison with peers: etcd, kube-apiserver, Pebble, a CA front that
//! throttles, a router for HTTP-01, operator processes, and a checker that judges what arrived.
//!
//! The way of a test: [`world::World::start`] starts the parts and installs Sancho; the test
//! applies manifests as a user does, waits, and hands the front's [`arrivals::ArrivalLog`] to
//! [`checker::judge`]. Everything ends when the `World` is dropped.
//!
//! Unix only, loopback only. Child processes that must not outlive a killed test need Linux
//! (see [`process`]).

pub mod api_proxy;
pub mod arrivals;
pub mod binaries;
pub mod bind;
pub mod ca;
pub mod certificates;
pub mod checker;
pub mod cluster;
pub mod command_line;
pub mod connect_proxy;
pub mod dns_api;
pub mod end_state;
pub mod faults;
pub mod figures;
pub mod front;
pub mod injector;
mod listener;
pub mod manifests;
pub mod node;
pub mod pki;
pub mod process;
pub mod programs;
mod progress;
pub mod prometheus;
pub mod replica;
pub mod router;
pub mod screen;
pub mod secret_watch;
pub mod soak;
pub mod span_collector;
pub mod test_router;
pub mod tools;
pub mod world;
