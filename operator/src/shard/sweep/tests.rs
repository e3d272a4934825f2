use serde_json::{Value, json};

use super::*;

fn shard(order: Value) -> CertificateShard {
    let record = |name: &str| {
        json!({
            "name": name, "record": "_acme-challenge.a.example", "zone": "a.example", "value": name,
            "since": "2026-11-24T06:00:00Z",
        })
    };
    serde_json::from_value(json!({
        "apiVersion": "sancho.dev/v1alpha1", "kind": "CertificateShard", "metadata": { "name": "shop-0" },
        "spec": {
            "certificate": "shop", "index": 0, "secretName": "shop-tls", "issuerRef": { "name": "ca" },
            "dnsNames": ["*.a.example", "a.example"],
        },
        "status": { "order": order, "dnsRecords": [record("*.a.example"), record("a.example")] },
    }))
    .unwrap()
}

fn left(order: Value) -> Vec<String> {
    let shard = shard(order);
    Which::Leftover
        .of(shard.status.as_ref().unwrap())
        .map(|r| r.name.clone())
        .collect()
}

fn order(stage: &str, states: [&str; 2]) -> Value {
    let authorization =
        |name: &str, state: &str| json!({ "url": "https://ca/authz", "state": state, "name": name });
    json!({
        "target": "t", "stage": stage, "polls": 0,
        "authorizations": [
            authorization("*.a.example", states[0]),
            authorization("a.example", states[1]),
        ],
    })
}

#[test]
fn a_record_is_needed_as_long_as_the_ca_may_look_at_it() {
    let both = ["*.a.example", "a.example"];
    assert_eq!(left(Value::Null), both);
    assert_eq!(left(order("Pending", ["Pending", "Pending"])), [""; 0]);
    assert_eq!(left(order("Pending", ["Answered", "Presented"])), [""; 0]);
    assert_eq!(left(order("Pending", ["Valid", "Answered"])), ["*.a.example"]);
    for stage in ["Ready", "Processing", "Valid", "Invalid"] {
        assert_eq!(left(order(stage, ["Answered", "Answered"])), both);
    }
    assert_eq!(due(&shard(Value::Null)), Some(Timestamp::MIN));
    let waiting = shard(order("Pending", ["Pending", "Pending"]));
    assert_eq!(due(&waiting), None);
    // Nobody goes on with it.
    assert_eq!(Which::All.due(&waiting), Some(Timestamp::MIN));
}

#[test]
fn a_value_that_another_shard_needs_as_well_is_left_to_it() {
    let of = |uid: &str, order: Value| {
        let mut shard = shard(order);
        shard.metadata.uid = Some(uid.to_owned());
        shard
    };
    let record = |shard: &CertificateShard, place: usize| {
        let records = &shard.status.as_ref().unwrap().dns_records;
        records[place].clone()
    };
    let own = of("1", Value::Null);
    let needs_one = of("2", order("Pending", ["Pending", "Valid"]));
    let shared = |place| is_shared(&record(&own, place), "1", [&own, &needs_one]);
    assert!(shared(0) && !shared(1));
    // Nobody needs it any more: both remove it, which does no harm.
    let done = of("2", order("Valid", ["Valid", "Valid"]));
    assert!(!is_shared(&record(&own, 0), "1", [&own, &done]));
    // Its own order is no other's.
    assert!(!is_shared(&record(&own, 0), "2", [&needs_one]));
    // The same value elsewhere is another record.
    let mut elsewhere = record(&own, 0);
    elsewhere.record = "_acme-challenge.b.example".into();
    assert!(!is_shared(&elsewhere, "1", [&needs_one]));
}

#[test]
fn shards_are_found_by_the_records_that_they_list() {
    let shard = shard(Value::Null);
    let keys = found_by::shard(&shard);
    let records = &shard.status.as_ref().unwrap().dns_records;
    assert!(
        records
            .iter()
            .all(|record| keys.contains(&found_by::listing(record)))
    );
}

#[test]
fn a_record_that_no_solver_is_for_is_given_up_after_half_an_hour_and_another_never() {
    let shard = shard(Value::Null);
    let mut status = shard.status.unwrap();
    let no_solver = |record: &PresentedRecord| DnsFault::no_solver(&record.name);
    let fails = |_: &PresentedRecord| DnsFault {
        reason: "DNSUpdateRefused",
        words: "it is refused".into(),
        is_about_names: false,
    };
    let begin = Timestamp::UNIX_EPOCH;
    let mut now = begin;
    for tries in 1..=MOST_WITHOUT_SOLVER {
        let [one, other] = &status.dns_records[..] else {
            panic!("{:?}", status.dns_records)
        };
        let outcomes = vec![
            (one.clone(), Err(no_solver(one))),
            (other.clone(), Err(fails(other))),
        ];
        let given_up = one.clone();
        let told = note(&mut status, outcomes, now);
        assert_eq!(told.failed.len(), if tries == 1 { 2 } else { 0 });
        if tries == MOST_WITHOUT_SOLVER {
            assert_eq!(told.left, [given_up]);
            break;
        }
        assert!(told.left.is_empty());
        now = status.dns_records[0].next_try.as_ref().unwrap().0;
    }
    let [other] = &status.dns_records[..] else {
        panic!("{:?}", status.dns_records)
    };
    assert_eq!(other.failures, Some(MOST_WITHOUT_SOLVER));
    let minutes = now.duration_since(begin).as_secs() / 60;
    assert!((31..=38).contains(&minutes), "{minutes} min");
    // That it was not its turn is no failure, and told to nobody.
    let waits = |reason| DnsFault {
        reason,
        words: "it waits".into(),
        is_about_names: false,
    };
    let other = other.clone();
    for (reason, again) in [
        ("DNSNotAskedYet", TURN_AGAIN),
        ("DNSProviderThrottles", PACE_AGAIN),
    ] {
        let outcomes = vec![(other.clone(), Err(waits(reason)))];
        assert_eq!(note(&mut status, outcomes, now), Told::default());
        let [left] = &status.dns_records[..] else {
            panic!("{:?}", status.dns_records)
        };
        assert_eq!(left.failures, Some(MOST_WITHOUT_SOLVER));
        assert_eq!(left.next_try.as_ref().unwrap().0, now + again);
    }
    let gone = vec![(other.clone(), Ok(()))];
    assert_eq!(note(&mut status, gone, now), Told::default());
    assert!(status.dns_records.is_empty());
}

#[test]
fn records_that_cannot_be_removed_for_one_reason_are_named_together() {
    let mut status = shard(Value::Null).status.unwrap();
    status.dns_records[1].record = "_acme-challenge.b.example".into();
    let records = status.dns_records.clone().into_iter();
    let outcomes = records
        .map(|record| (record, Err(DnsFault::no_issuer())))
        .collect();
    let told = note(&mut status, outcomes, Timestamp::UNIX_EPOCH);
    let words: Vec<String> = told.failed.values().map(named).collect();
    assert_eq!(words, ["_acme-challenge.a.example, _acme-challenge.b.example"]);
    let many: BTreeSet<String> = (0..MOST_NAMED + 2).map(|number| format!("{number:02}")).collect();
    assert!(named(&many).ends_with(", 08, 09, 2 more"));
}
