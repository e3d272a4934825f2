//! End-to-end tests, in one binary so that they are linked once.

#![allow(clippy::unwrap_used, reason = "a failed test may panic, in its helpers too")]

mod api_proxy_cuts;
mod ca_forgets;
mod chart_installs;
mod cluster_starts;
mod crashes;
mod discovery;
mod edits;
mod front_throttles;
mod history;
mod limiter_faults;
mod main_job;
mod manifests;
mod mistakes;
mod outages;
mod plugin;
mod quiet;
mod renewals;
mod router_routes;
mod stories;
mod tenants;
mod world_starts;
