//! Whole orders with a simulated CA, undisturbed and disturbed at any step.

use proptest::prelude::*;

use super::simulated_ca::Ca;
use super::*;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disturbance {
    Nothing,
    NotSent,
    /// The CA never saw it, and we do not know.
    LostOnTheWay,
    /// The CA dealt with it, and its answer was lost.
    LostAnswer,
    /// The CA dealt with it, and the process died before it had recorded the answer.
    CrashBeforeRecord,
    /// The process died before it was sent.
    CrashBeforeSending,
    Throttled,
    ThrottledWithRetryAfter,
    BadNonce,
    /// A proxy answers in the CA's place.
    ServerError,
    /// A proxy gives up on a request that the CA dealt with.
    GatewayTimeout,
    /// The CA accepted it, and its answer's body is garbled.
    Garbled,
}

use Disturbance::*;

const ALL: [Disturbance; 12] = [
    Nothing,
    NotSent,
    LostOnTheWay,
    LostAnswer,
    CrashBeforeRecord,
    CrashBeforeSending,
    Throttled,
    ThrottledWithRetryAfter,
    BadNonce,
    ServerError,
    GatewayTimeout,
    Garbled,
];

#[derive(Debug, PartialEq)]
enum End {
    Issued,
    Failed(Failure),
}

/// Drives an order to its end. Gives back that, and how many orders the CA may have made without
/// our having its answer on record.
///
/// The names that have an even number are validated by DNS, and so are wildcards. Records are seen at the third look.
fn drive(ca: &mut Ca, names: &[Name], disturbances: &[Disturbance]) -> (End, usize) {
    let is_even = |name: &&Name| name.as_str().contains(['0', '2', '4', '6', '8']);
    let kinds = ChallengeKinds::with_dns01(names.iter().filter(is_even).cloned());
    let mut recorded = OrderState::default();
    let mut disturbances = disturbances.iter().copied();
    let mut now = now();
    let mut unrecorded = 0;
    for _ in 0..1000 {
        let request = match next(&recorded, names, now) {
            Step::Send(request) => request,
            Step::Present => {
                assert!(
                    recorded.authorizations.iter().all(|a| a.name.is_some()),
                    "not all at once"
                );
                let disturbance = disturbances.next().unwrap_or(Nothing);
                if disturbance == CrashBeforeSending {
                    continue;
                }
                let waiting = recorded.to_present();
                ca.records
                    .extend(waiting.filter_map(|(_, a)| Name::parse(a.name.as_deref()?).ok()));
                if disturbance == CrashBeforeRecord {
                    continue;
                }
                recorded = match recorded.polls {
                    ..2 => recorded.unseen(now + SignedDuration::from_secs(1)),
                    _ => recorded.presented(),
                };
                assert_eq!(recorded.check(names), Ok(()));
                continue;
            }
            Step::Wait { until, .. } => {
                assert!(until > now);
                now = until;
                continue;
            }
            Step::Failed(failure) => return (End::Failed(failure), unrecorded),
            Step::Restart { why } => panic!("made anew: {why}"),
        };
        now += SignedDuration::from_millis(100);
        let disturbance = disturbances.next().unwrap_or(Nothing);
        let orders = ca.orders.len();
        let outcome = match disturbance {
            Nothing | CrashBeforeRecord => Reply::Response(ca.receive(&request, now)),
            NotSent => Reply::NotSent,
            LostOnTheWay => Reply::Lost,
            LostAnswer => {
                ca.receive(&request, now);
                Reply::Lost
            }
            CrashBeforeSending => continue,
            Throttled => Reply::Response(html(503)),
            ThrottledWithRetryAfter => Reply::Response(Response {
                retry_after: Some("7".to_owned()),
                ..html(429)
            }),
            BadNonce => Reply::Response(problem(400, "badNonce", "stale")),
            ServerError => Reply::Response(html(502)),
            GatewayTimeout => {
                ca.receive(&request, now);
                Reply::Response(html(504))
            }
            Garbled => {
                let response = ca.receive(&request, now);
                let body = if response.is_success() {
                    b"<p>".to_vec()
                } else {
                    response.body
                };
                Reply::Response(Response { body, ..response })
            }
        };
        let (state, effect) = reply(recorded.clone(), &request, &outcome, names, &kinds, now);
        let is_recorded = disturbance != CrashBeforeRecord;
        if ca.orders.len() > orders && !(is_recorded && state.url.is_some()) {
            unrecorded += 1;
        }
        if !is_recorded {
            continue;
        }
        match effect {
            Effect::Moved | Effect::Again { .. } => {}
            Effect::Issued { chain, .. } => {
                assert_eq!(chain, CHAIN);
                return (End::Issued, unrecorded);
            }
            Effect::Failed(failure) => return (End::Failed(failure), unrecorded),
            Effect::Restart { why } => panic!("made anew: {why}"),
        }
        assert_eq!(state.check(names), Ok(()));
        recorded = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    }
    panic!("no end in sight: {recorded:?}");
}

/// A wildcard beside each of so many names.
fn with_wildcards(count: usize) -> Vec<Name> {
    let wildcards = names(count)
        .into_iter()
        .map(|name| Name::parse(&format!("*.{name}")).unwrap());
    let mut all: Vec<Name> = names(count).into_iter().chain(wildcards).collect();
    all.sort();
    all
}

fn count(ca: &Ca, kind: &str) -> usize {
    ca.received.iter().filter(|received| **received == kind).count()
}

#[test]
fn an_order_of_n_names_takes_two_n_plus_three_requests_and_its_polls() {
    for n in [1, 12, 42, 100] {
        for seconds in [0, 1, 5] {
            let mut ca = Ca::new(0, SignedDuration::from_secs(seconds));
            assert_eq!(drive(&mut ca, &names(n), &[]).0, End::Issued);
            let polls = count(&ca, "order");
            assert_eq!(ca.received.len(), 2 * n + 3 + polls);
            assert!(polls <= 8, "{n} names, {seconds} s: {polls} polls");
        }
    }
}

#[test]
fn wildcards_beside_their_domains_take_no_more_requests_than_other_names() {
    for n in [1, 6, 50] {
        let mut ca = Ca::new(0, SignedDuration::from_secs(1));
        assert_eq!(drive(&mut ca, &with_wildcards(n), &[]).0, End::Issued);
        assert_eq!(ca.received.len(), 2 * (2 * n) + 3 + count(&ca, "order"));
        assert!(ca.records.len() >= n && count(&ca, "order") <= 8);
    }
}

#[test]
fn names_that_are_authorized_already_save_their_challenges() {
    let mut ca = Ca::new(10, SignedDuration::ZERO);
    assert_eq!(drive(&mut ca, &names(42), &[]).0, End::Issued);
    assert_eq!((count(&ca, "authorization"), count(&ca, "challenge")), (42, 32));
}

#[test]
fn an_order_of_names_that_are_all_authorized_takes_three_requests_and_its_polls() {
    let mut ca = Ca::new(42, SignedDuration::ZERO);
    assert_eq!(drive(&mut ca, &names(42), &[]).0, End::Issued);
    assert_eq!(ca.received, ["newOrder", "finalize", "certificate"]);
}

#[test]
fn each_disturbance_at_each_step_ends_in_the_certificate() {
    let undisturbed = 2 * 2 + 3 + 6;
    for step in 0..undisturbed {
        for disturbance in ALL {
            let mut disturbances = vec![Nothing; step];
            disturbances.push(disturbance);
            let mut ca = Ca::new(0, SignedDuration::from_secs(2));
            let (end, unrecorded) = drive(&mut ca, &with_wildcards(1), &disturbances);
            assert_eq!(end, End::Issued, "{disturbance:?} at {step}");
            assert_eq!(ca.orders.len(), 1 + unrecorded, "{disturbance:?} at {step}");
            assert!(unrecorded <= usize::from(step == 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_wrong_the_order_is_issued_and_is_not_made_twice_once_it_is_recorded(
        n in 1usize..6, authorized in 0usize..6, milliseconds in 0i64..20_000,
        disturbances in prop::collection::vec(prop::sample::select(&ALL[..]), 0..40),
    ) {
        let mut ca = Ca::new(authorized, SignedDuration::from_millis(milliseconds));
        let (end, unrecorded) = drive(&mut ca, &with_wildcards(n), &disturbances);
        prop_assert_eq!(end, End::Issued);
        prop_assert_eq!(ca.orders.len(), 1 + unrecorded);
    }

    #[test]
    fn whatever_goes_wrong_names_that_cannot_be_validated_are_told(
        n in 1usize..6, bad in prop::collection::vec(any::<prop::sample::Index>(), 1..4), milliseconds in 0i64..20_000,
        disturbances in prop::collection::vec(prop::sample::select(&ALL[..]), 0..40),
    ) {
        let names = with_wildcards(n);
        let mut ca = Ca::new(0, SignedDuration::from_millis(milliseconds));
        ca.unreachable = bad.iter().map(|bad| bad.get(&names).clone()).collect();
        match drive(&mut ca, &names, &disturbances).0 {
            End::Failed(failure) => {
                prop_assert_eq!(failure.reason, reason::VALIDATION_FAILED);
                prop_assert!(!failure.names.is_empty());
                prop_assert!(failure.names.iter().all(|name| ca.unreachable.contains(name)));
                prop_assert!(failure.message.contains("connection: refused"));
            }
            End::Issued => prop_assert!(false, "issued"),
        }
    }
}
