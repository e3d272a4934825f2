//! A single limiter that finds out what its CA bears, step by step.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "bench/limiter.rs"]
mod bench;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use sancho_limiter::{
    Action, Budget, Cause, Contact, Durations, Endpoint, EndpointSearch, Event, Moment, PerSecond, PermitId,
    Read, Record, Source, Stage, SubRate, Throttle, Unreachable, WriteOutcome,
};

use self::bench::{Bench, SECOND, free_table};

const MILLI: Duration = Duration::from_millis(1);
const REFUSED: Throttle = Throttle { retry_after: None };

fn answered(bench: &mut Bench, permit: PermitId, throttle: Option<Throttle>) {
    bench.step(Event::Answered { permit, throttle });
}

fn begun(permit: PermitId) -> Event {
    Event::Begun {
        permit,
        endpoint: Endpoint::Other,
    }
}

/// Holding the slot of a CA that nothing is known about.
fn at_unknown_ca() -> Bench {
    let mut record = Record::new(
        "table".into(),
        Budget::unknown_ca(),
        Source::Discovered,
        Durations::default(),
    );
    record.slots.iter_mut().for_each(|row| row.in_doubt = false);
    let mut bench = Bench::new(&Budget::unknown_ca());
    bench.step(Event::Configured {
        budget: Budget::unknown_ca(),
        source: Source::Discovered,
    });
    bench.step(Event::Demand(100));
    bench.found(&record, "1");
    bench.acknowledge("2");
    bench
}

#[test]
fn an_unknown_ca_is_sent_two_requests_back_to_back_and_no_third() {
    for bears_two in [true, false] {
        let mut bench = at_unknown_ca();
        let first = bench.permits();
        assert_eq!(first.len(), 1);
        bench.step(begun(first[0]));
        bench.now = bench.now + 5 * MILLI;
        answered(&mut bench, first[0], None);
        let second = bench.permits();
        assert_eq!(second.len(), 1, "the second leaves at once");
        bench.step(begun(second[0]));
        bench.now = bench.now + 5 * MILLI;
        answered(&mut bench, second[0], (!bears_two).then_some(REFUSED));
        assert_eq!(bench.permits(), []);
        let (_, record, _) = bench.written();
        assert_eq!(record.budget.burst, u32::from(bears_two));
        assert_eq!((record.epoch, record.discovery.stage), (2, Stage::Doubling));
        assert_eq!(record.discovery.throttles, u64::from(!bears_two));
    }
}

#[test]
fn a_second_request_that_comes_late_tells_nothing() {
    let mut bench = at_unknown_ca();
    let first = bench.permits()[0];
    bench.step(Event::Demand(0));
    answered(&mut bench, first, None);
    bench.pass(100 * MILLI);
    bench.step(Event::Demand(5));
    assert_eq!(bench.permits(), [], "the bucket is to be full first");
    bench.pass(SECOND);
    assert_eq!(bench.permits().len(), 1);
}

#[test]
fn a_refusal_is_written_at_once_and_followed_by_one_probe_after_the_pause() {
    let budget = Budget::new(10.0, 5, 4);
    let mut bench = Bench::new(&budget);
    bench.found(&free_table(&budget), "1");
    bench.acknowledge("2");
    let sent = bench.permits();
    assert_eq!(sent.len(), 4);
    answered(&mut bench, sent[0], Some(REFUSED));
    let (_, record, _) = bench.written();
    let outage = record.discovery.outage.clone().unwrap();
    assert_eq!((record.epoch, outage.cause), (2, Cause::Throttled));
    bench.acknowledge("3");
    // What was under way counts nothing any more.
    for permit in &sent[1..] {
        answered(&mut bench, *permit, Some(REFUSED));
    }
    assert_eq!(bench.limiter.record().unwrap().discovery.throttles, 1);
    bench.pass(SECOND);
    let probe = bench.permits();
    assert_eq!(probe.len(), 1);
    bench.pass(500 * MILLI);
    assert_eq!(bench.permits(), [], "one at a time");
    answered(&mut bench, probe[0], None);
    bench.found_unchanged();
    let (_, record, _) = bench.written();
    assert_eq!((record.epoch, record.budget.requests_per_second), (3, 9.5));
    assert_eq!(record.discovery.outage, None);
}

#[test]
fn two_requests_without_an_answer_are_an_outage_and_one_is_not() {
    let budget = Budget::new(10.0, 5, 1);
    let mut bench = Bench::holding(&budget);
    let lose = |bench: &mut Bench, unreachable| {
        let permit = bench.permits()[0];
        bench.step(Event::Lost { permit, unreachable });
    };
    lose(&mut bench, Some(Unreachable::Reset));
    assert_eq!(bench.limiter.paused_until(bench.now), None);
    // Broken off by this process itself: no word about the CA.
    lose(&mut bench, None);
    assert_eq!(bench.limiter.paused_until(bench.now), None);
    lose(&mut bench, Some(Unreachable::Refused));
    let (_, record, _) = bench.written();
    assert_eq!(record.discovery.outage.unwrap().cause, Cause::Refused);
    assert_eq!(record.budget, budget);
    assert_eq!(bench.limiter.paused_until(bench.now), Some(bench.now + SECOND));
}

#[test]
fn whether_the_ca_is_reached_goes_along_with_writes_and_brings_none_about() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let mut bench = Bench::holding(&Budget::new(10.0, 5, 1));
    let renewed = |bench: &mut Bench| {
        bench.pass(3 * SECOND);
        bench.found_unchanged();
        bench.written().1.contact
    };
    bench.limiter.note_answer(at(100));
    bench.step(Event::Tick);
    let is_write = |action: &Action| matches!(action, Action::Write { .. });
    assert!(!bench.actions.iter().any(is_write));
    assert_eq!(renewed(&mut bench).answered, Some(at(100)));

    // What comes while a write is under way is told by the next one.
    bench.limiter.note_failure(at(101), "CaUnreachable", "no route");
    bench.acknowledge("3");
    let contact = renewed(&mut bench);
    let failing = contact.failing.unwrap();
    assert_eq!((contact.answered, failing.since), (Some(at(100)), at(101)));
    assert_eq!(
        (failing.replica.as_str(), failing.message.as_str()),
        ("me", "no route")
    );
    bench.acknowledge("4");

    // What was told once is not told again over what another replica has seen since.
    let mut record = bench.limiter.record().unwrap().clone();
    record.revision += 1;
    record.contact = Contact {
        answered: Some(at(105)),
        ..Contact::default()
    };
    bench.found(&record, "5");
    assert_eq!(renewed(&mut bench), record.contact);
}

#[test]
fn new_nonce_is_held_to_its_own_limit_within_the_budget() {
    let mut budget = Budget::new(1000.0, 100, 1000);
    budget.new_nonce = Some(SubRate::new(10.0, 4));
    let mut bench = Bench::holding(&budget);
    assert_eq!(new_nonces_left(&mut bench), 0);
    bench.step(Event::Demand(0));
    bench.pass(SECOND);
    bench.step(Event::Demand(60));
    assert_eq!(new_nonces_left(&mut bench), 0);
    bench.step(Event::MixedDemand {
        new_nonce: 60,
        new_order: 0,
        other: 0,
    });
    let mut new_nonces = new_nonces_left(&mut bench);
    for _ in 0..1000 {
        bench.pass(MILLI);
        new_nonces += new_nonces_left(&mut bench);
    }
    // The burst's four, and of the second a little less than ten.
    assert!((10..=15).contains(&new_nonces), "{new_nonces} in a second");
}

/// Lets everything that is granted leave, and says how many of it were for newNonce.
fn new_nonces_left(bench: &mut Bench) -> usize {
    let mut granted = Vec::new();
    let mut new_nonces = 0;
    loop {
        for action in &bench.actions {
            if let Action::Permit { id, endpoint, .. } = action {
                granted.push((*id, *endpoint));
                new_nonces += usize::from(*endpoint == Endpoint::NewNonce);
            }
        }
        let Some((permit, endpoint)) = granted.pop() else {
            return new_nonces;
        };
        bench.step(Event::Begun { permit, endpoint });
    }
}

/// One request in flight at a time, all for newOrder, which has a rate of its own of one a second, and the answers take
/// so long. Returns that rate after ten answers, and how many of them count as held back by the number in flight.
fn new_order_after_ten(answers_take: Duration) -> (f64, u32) {
    let budget = Budget::new(10.0, 5, 1);
    let mut table = free_table(&budget);
    table.budget.new_order = Some(SubRate::new(1.0, 0));
    table.discovery.endpoints.insert(
        Endpoint::NewOrder,
        EndpointSearch {
            requests_per_second: PerSecond(1.0),
            borne: None,
            refused: None,
            proof: 0,
            step_percent: 100,
            patience_seconds: 3600,
            fell_from: None,
            climbs: 0,
            refusals: 0,
            before: None,
            after_outage: false,
            unknown: Default::default(),
        },
    );
    let mut bench = Bench::new(&budget);
    bench.step(Event::MixedDemand {
        new_nonce: 0,
        new_order: 100,
        other: 0,
    });
    bench.found(&table, "1");
    let mut run = Run {
        bench,
        last: table,
        version: 1,
        under_way: VecDeque::new(),
        answers_take,
    };
    run.act();
    let end = run.bench.now + 60 * SECOND;
    let mut answered = 0;
    while answered < 10 {
        assert!(run.bench.now < end, "{answered} answers");
        run.bench.pass(MILLI);
        run.act();
        let now = run.bench.now;
        if let Some((_, permit)) = run.under_way.pop_front_if(|(at, _)| *at <= now) {
            run.bench.step(Event::Answered {
                permit,
                throttle: None,
            });
            run.act();
            answered += 1;
        }
    }
    let search = &run.last.discovery.endpoints[&Endpoint::NewOrder];
    (search.requests_per_second.0, run.last.discovery.crowded)
}

/// A limiter whose writes are acknowledged at once, and whose requests leave at once.
struct Run {
    bench: Bench,
    /// What was written last.
    last: Record,
    version: u32,
    /// The requests without an answer, each with the moment at which that comes.
    under_way: VecDeque<(Moment, PermitId)>,
    answers_take: Duration,
}

impl Run {
    /// Does what the last step asks for, and what follows from that.
    fn act(&mut self) {
        let mut todo = VecDeque::from(std::mem::take(&mut self.bench.actions));
        while let Some(action) = todo.pop_front() {
            let event = match action {
                Action::Permit { id, endpoint, .. } => {
                    self.under_way.push_back((self.bench.now + self.answers_take, id));
                    Event::Begun { permit: id, endpoint }
                }
                Action::Write { id, record, .. } => {
                    self.last = *record;
                    self.version += 1;
                    let version = self.version.to_string();
                    let outcome = WriteOutcome::Acknowledged { version };
                    Event::Written { id, outcome }
                }
                Action::Read => Event::Read(Read::Found {
                    record: Box::new(self.last.clone()),
                    version: self.version.to_string(),
                }),
                Action::CloseConnections => Event::ConnectionsClosed,
                Action::Abort { .. } | Action::WakeAt(_) => continue,
            };
            self.bench.step(event);
            todo.extend(std::mem::take(&mut self.bench.actions));
        }
    }
}

#[test]
fn what_slow_answers_hold_back_proves_no_rate() {
    let (rate, _) = new_order_after_ten(100 * MILLI);
    assert!(rate > 1.0, "it was the rate that held back: {rate}");
    let (rate, by_in_flight) = new_order_after_ten(2 * SECOND);
    assert_eq!(rate, 1.0);
    assert!(by_in_flight >= 5, "{by_in_flight}");
}
