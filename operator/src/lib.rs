//! The operator: controllers, the ACME layer, the budget and the responder.

pub mod acme;
pub mod budget;
pub mod certificate;
pub mod chain;
pub mod clock;
pub mod context;
pub mod due;
pub mod gate;
pub mod health;
pub mod issuer;
pub mod lease_store;
pub mod metrics;
pub mod operator;
pub mod order_status;
pub mod queue;
pub mod responder;
pub mod secrets;
pub mod shard;
pub mod target;
pub mod watching;
