//! Times the planner at 10,000 names: fresh, unchanged, and with a tenth of the names exchanged.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::collections::BTreeSet;
use std::time::Instant;

use sancho_core::names::Name;
use sancho_core::plan::{Plan, PlannedShard, Policy, Strategy, plan};

const NAMES: usize = 10_000;
const RUNS: usize = 20;

fn main() {
    for cap in [1, 25, 100] {
        for strategy in [Strategy::Fill, Strategy::RegisteredDomain] {
            let Ok(policy) = Policy::new(cap, strategy, &[]) else {
                continue;
            };
            let old = names(0);
            let fresh = timed(&format!("{strategy:?}, cap {cap}, fresh"), &old, &policy, &[]);
            timed(
                &format!("{strategy:?}, cap {cap}, unchanged"),
                &old,
                &policy,
                &fresh.shards,
            );
            timed(
                &format!("{strategy:?}, cap {cap}, a tenth new"),
                &names(NAMES / 10),
                &policy,
                &fresh.shards,
            );
        }
    }
}

fn names(from: usize) -> BTreeSet<Name> {
    (from..from + NAMES)
        .filter_map(|i| Name::parse(&format!("host-{i}.tenant-{}.example.co.uk", i % 97)).ok())
        .chain((from..from + NAMES).filter_map(|i| Name::parse(&format!("www.shop-{}.com", i)).ok()))
        .step_by(2)
        .collect()
}

fn timed(what: &str, names: &BTreeSet<Name>, policy: &Policy, today: &[PlannedShard]) -> Plan {
    let start = Instant::now();
    let mut made = Plan::default();
    for _ in 0..RUNS {
        made = plan(std::hint::black_box(names), policy, today);
    }
    let each = start.elapsed() / RUNS as u32;
    println!(
        "{what}: {} names, {} shards, {each:.1?}",
        names.len(),
        made.shards.len()
    );
    made
}
