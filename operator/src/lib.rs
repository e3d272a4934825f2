//! The operator: controllers, the ACME layer, the budget and the responder.

pub mod acme;
pub mod annotated;
pub mod api_server;
pub mod budget;
pub mod certificate;
pub mod chain;
pub mod clock;
pub mod cluster_issuers;
pub mod context;
mod dns_answer;
#[cfg(test)]
mod dns_server;
pub mod due;
mod found_by;
pub mod gate;
pub mod health;
pub mod issuer;
pub mod lease_store;
pub mod metrics;
pub mod operator;
pub mod order_status;
pub mod proxy;
pub mod queue;
pub mod quotas;
pub mod renewal_info_status;
pub mod responder;
pub mod routes;
pub mod secrets;
pub mod self_check;
pub mod shard;
pub mod solvers;
pub mod startup;
pub mod target;
pub mod traces;
pub mod watching;
