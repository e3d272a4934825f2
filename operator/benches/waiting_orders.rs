//! What orders that wait for a budget cost: memory and time, for ten thousand of them.
//!
//! `cargo bench -p sancho --bench waiting_orders`. Needs Linux: memory is the process's resident set.
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::time::Instant;

use sancho::queue::{Priority, ShardKey, WorkQueue};

/// So many orders wait in each queue, of so many namespaces.
const ORDERS: usize = 10_000;
const NAMESPACES: usize = 500;
/// So many queues are measured together, since the resident set grows in pages.
const QUEUES: usize = 20;

fn main() {
    let before = resident();
    let began = Instant::now();
    let queues: Vec<WorkQueue> = (0..QUEUES).map(|_| filled()).collect();
    let put = began.elapsed() / u32::try_from(QUEUES * ORDERS).unwrap();
    let bytes = resident().saturating_sub(before) / QUEUES;
    let last = [key(ORDERS - 1)];
    let began = Instant::now();
    for queue in &queues {
        black_box(queue.until_last(&last));
    }
    let estimate = began.elapsed() / u32::try_from(QUEUES).unwrap();
    let began = Instant::now();
    for queue in &queues {
        while let Some(key) = queue.take(1) {
            queue.done(&key);
        }
    }
    let take = began.elapsed() / u32::try_from(QUEUES * ORDERS).unwrap();
    println!(
        "{ORDERS} waiting orders of {NAMESPACES} namespaces: {:.1} MB, {put:?} to put one in, {take:?} to take one \
         out, {estimate:?} to estimate a wait",
        bytes as f64 / 1e6
    );
}

fn filled() -> WorkQueue {
    let queue = WorkQueue::default();
    for number in 0..ORDERS {
        queue.put(&key(number), Priority::New, None, 204.into());
    }
    queue
}

fn key(number: usize) -> ShardKey {
    ShardKey {
        namespace: format!("tenant-number-{}", number % NAMESPACES),
        name: format!("a-certificate-with-a-name-of-usual-length-{number}-0"),
    }
}

/// The resident set in bytes (proc(5): the second figure of statm, in pages of 4 KiB).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
