//! Turns, classes, and how well a wait is foretold.

use proptest::prelude::*;

use super::*;

type Queue = FairQueue<u8, &'static str, u32>;

const QUANTUM: u64 = 64;

fn queue() -> Queue {
    Queue::new(QUANTUM)
}

fn all(queue: &mut Queue) -> Vec<u32> {
    std::iter::from_fn(|| queue.take(|_, _| true)).collect()
}

#[test]
fn the_more_pressing_class_goes_first_and_equals_in_order_of_arrival() {
    let mut queue = queue();
    queue.put(3, &"shop", &1, 0, 6_u64);
    queue.put(2, &"shop", &2, 0, 6_u64);
    queue.put(2, &"shop", &3, 0, 6_u64);
    queue.put(0, &"shop", &4, 0, 6_u64);
    assert_eq!(all(&mut queue), [4, 2, 3, 1]);
    assert!(queue.is_empty());
}

#[test]
fn a_job_waits_once_and_keeps_its_place_when_it_becomes_more_pressing() {
    let mut queue = queue();
    assert!(queue.put(3, &"shop", &1, 0, 6));
    assert!(!queue.put(3, &"shop", &1, 0, 6));
    queue.put(2, &"shop", &2, 0, 6_u64);
    assert!(queue.put(2, &"shop", &1, 0, 6));
    assert_eq!(queue.len(), 2);
    assert_eq!(all(&mut queue), [1, 2]);
}

#[test]
fn one_name_waits_for_one_turn_of_a_tenant_with_ten_thousand() {
    let mut queue = queue();
    for job in 0..100 {
        queue.put(2, &"large", &job, 0, 204_u64);
    }
    queue.take(|_, _| true);
    queue.put(2, &"small", &1000, 0, 6_u64);
    let served: Vec<u32> = std::iter::from_fn(|| queue.take(|_, _| true))
        .take_while(|job| *job != 1000)
        .collect();
    assert!(served.len() <= 1, "{} orders went first", served.len());
}

#[test]
fn tenants_share_by_requests_and_not_by_jobs() {
    let mut queue = queue();
    for job in 0..1000 {
        queue.put(2, &"large", &job, 0, 204_u64);
        queue.put(2, &"small", &(10_000 + job), 0, 6_u64);
    }
    let mut served = [0_u64; 2];
    for _ in 0..600 {
        match queue.take(|_, _| true) {
            Some(job) if job < 10_000 => served[0] += 204,
            Some(_) => served[1] += 6,
            None => break,
        }
    }
    let share = served[1] as f64 / (served[0] + served[1]) as f64;
    assert!((0.4..0.6).contains(&share), "{served:?}");
}

#[test]
fn who_is_not_admitted_keeps_its_jobs() {
    let mut queue = queue();
    queue.put(2, &"large", &1, 0, 204_u64);
    queue.put(2, &"small", &2, 0, 6_u64);
    assert_eq!(queue.take(|_, tenant| *tenant == "small"), Some(2));
    assert_eq!(queue.take(|_, tenant| *tenant == "small"), None);
    assert_eq!(queue.take(|_, _| true), Some(1));
}

#[test]
fn the_last_of_several_is_the_one_that_is_served_last() {
    let mut queue = queue();
    queue.put(3, &"shop", &1, 0, 44_u64);
    queue.put(2, &"shop", &2, 0, 204_u64);
    assert_eq!(queue.until_last(&[1, 2, 3]), Some(Cost::from(248)));
    assert_eq!(queue.until_last(&[2]), Some(Cost::from(204)));
}

#[test]
fn who_is_not_admitted_for_a_while_does_not_lose_its_turn() {
    let mut queue = queue();
    queue.put(2, &"waits", &0, 0, QUANTUM);
    for round in 0..10 {
        queue.put(2, &"other", &(10 + round), 0, QUANTUM);
        assert_eq!(queue.take(|_, tenant| *tenant == "other"), Some(10 + round));
        queue.put(2, &"third", &(100 + round), 0, QUANTUM);
    }
    assert_eq!(queue.take(|_, _| true), Some(0));
}

#[test]
fn what_is_not_kept_is_gone() {
    let mut queue = queue();
    queue.put(2, &"shop", &1, 0, 6_u64);
    queue.put(2, &"shop", &2, 0, 6_u64);
    assert!(queue.retain(|job| *job == 2));
    assert!(!queue.retain(|job| *job == 2));
    assert_eq!((queue.remove(&1), queue.remove(&2)), (false, true));
    assert_eq!(queue.until_last(&[2]), None);
}

/// Jobs of several tenants: class, tenant, names.
fn jobs() -> impl Strategy<Value = Vec<(u8, usize, u64)>> {
    prop::collection::vec((0_u8..3, 0_usize..5, 1_u64..=100), 1..120)
}

const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    #[test]
    fn every_job_is_served_once(jobs in jobs()) {
        let mut queue = queue();
        for (job, (class, tenant, names)) in (0..).zip(&jobs) {
            queue.put(*class, &TENANTS[*tenant], &job, 0, 2 * names + 4);
        }
        let mut served = all(&mut queue);
        served.sort_unstable();
        prop_assert_eq!(served, (0..u32::try_from(jobs.len()).unwrap()).collect::<Vec<_>>());
    }

    /// The wait that is foretold and the one that comes are within a factor of two, beyond what
    /// one order and one quantum of each tenant make.
    #[test]
    fn a_wait_is_foretold_within_a_factor_of_two(jobs in jobs(), taken in 0_usize..40) {
        let mut queue = queue();
        for (job, (class, tenant, names)) in (0..).zip(&jobs) {
            queue.put(*class, &TENANTS[*tenant], &job, 0, 2 * names + 4);
        }
        for _ in 0..taken.min(jobs.len() - 1) {
            queue.take(|_, _| true);
        }
        let foretold: HashMap<u32, u64> = (0..)
            .take(jobs.len())
            .filter_map(|job| Some((job, queue.until_last(&[job])?.requests)))
            .collect();
        let mut served = 0;
        let slack = (QUANTUM + 204) * TENANTS.len() as u64;
        for job in all(&mut queue) {
            served += 2 * jobs[job as usize].2 + 4;
            let said = foretold[&job];
            prop_assert!(said <= 2 * served + slack && served <= 2 * said + slack, "{said} foretold, {served} came");
        }
    }
}
