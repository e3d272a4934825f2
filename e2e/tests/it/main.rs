//! End-to-end tests, in one binary so that they are linked once.

#![allow(clippy::unwrap_used, reason = "a failed test may panic, in its helpers too")]

mod account_keys;
mod accounts;
mod adoption;
mod api_proxy_cuts;
mod ca_forgets;
mod chart;
mod clock_skew;
mod cluster_starts;
mod crashes;
mod deletions;
mod discovery;
mod dns01;
mod durations;
mod edits;
mod expiry;
mod front_throttles;
mod gitops;
mod history;
mod ip_addresses;
mod keys;
mod limiter_faults;
mod main_job;
mod manifests;
mod mistakes;
mod name_caps;
mod outages;
mod plugin;
mod profiles;
mod publishing;
mod quarantine;
mod quiet;
mod quotas;
mod renewal_info;
mod renewals;
mod retries;
mod revocations;
mod router_routes;
mod routes;
mod secret_form;
mod seeing;
mod soak;
mod stories;
mod tenants;
mod world_starts;
