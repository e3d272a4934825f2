use super::*;

const DAY: i64 = 24 * 60 * 60;

/// An order that was finalized just now.
fn processing() -> Talk {
    let mut talk = Talk::ready(1);
    talk.state.asked = Some("first".to_owned());
    talk.moves("finalize", ok(order("processing", 1)));
    talk
}

/// Who has asked for nothing since the order was begun.
fn patience(not_after: Option<Timestamp>) -> Patience<'static> {
    Patience {
        not_after,
        asked: Some("first"),
    }
}

/// What an order amounts to that is still processing so many seconds after it was finalized.
fn after(seconds: i64, patience: Patience<'_>) -> Option<Failure> {
    let mut talk = processing();
    talk.now = later(seconds);
    talk.moves("order", ok(order("processing", 1)));
    overdue(&talk.state, patience, talk.now)
}

#[test]
fn an_order_that_stays_in_processing_is_given_up_after_a_day() {
    assert_eq!(after(DAY - 1, patience(None)), None);
    let failure = after(DAY, patience(None)).unwrap();
    assert_eq!(failure.reason, reason::ORDER_OVERDUE);
    assert_eq!((failure.retry, failure.names), (Retry::Backoff, Vec::new()));
    assert_eq!(
        failure.message,
        "the CA does not come to an end since the order https://ca.example/order/1 was finalized at \
         2026-11-24T06:00:00Z: it is given up"
    );
    // A certificate that is good for long enough changes nothing.
    assert_eq!(after(DAY - 1, patience(Some(later(30 * DAY)))), None);
}

#[test]
fn a_certificate_that_cannot_be_downloaded_is_given_up_and_one_that_has_just_come_is_not() {
    let mut talk = processing();
    talk.now = later(DAY + 3600);
    let valid = with(order("valid", 1), "certificate", json!(CERTIFICATE));
    talk.moves("order", ok(valid));
    assert_eq!(overdue(&talk.state, patience(None), talk.now), None);
    let kind = talk.again("certificate", Reply::Response(html(502)));
    assert_eq!(kind, reason::SERVER_ERROR);
    let failure = overdue(&talk.state, patience(None), talk.now).unwrap();
    assert!(
        failure
            .message
            .starts_with("the certificate cannot be downloaded")
    );
}

#[test]
fn it_is_waited_for_no_longer_than_the_order_lives() {
    let mut talk = Talk::of(1);
    let short_lived = with(order("ready", 1), "expires", json!(later(7200).to_string()));
    talk.moves("newOrder", made(short_lived.clone()));
    let processing = with(short_lived, "status", json!("processing"));
    talk.moves("finalize", ok(processing.clone()));
    talk.now = later(7199);
    talk.moves("order", ok(processing));
    assert_eq!(overdue(&talk.state, Patience::default(), talk.now), None);
    assert!(overdue(&talk.state, Patience::default(), later(7200)).is_some());
}

#[test]
fn it_is_waited_for_less_long_where_the_certificate_in_use_expires() {
    for (left, waits) in [
        (4 * 3600, 3600),
        (60, 300),
        // Nothing is at risk any more by waiting.
        (-1, 3600),
    ] {
        let patience = patience(Some(later(left)));
        assert_eq!(after(waits - 1, patience), None, "{left} s left");
        assert!(after(waits, patience).is_some(), "{left} s left");
    }
}

#[test]
fn by_hand_an_order_is_given_up_that_takes_longer_than_a_minute() {
    let by_hand = Patience {
        not_after: None,
        asked: Some("second"),
    };
    assert_eq!(after(59, by_hand), None);
    assert!(after(60, by_hand).is_some());
    // One that an older version has begun.
    let mut talk = processing();
    talk.state.asked = None;
    talk.now = later(60);
    talk.moves("order", ok(order("processing", 1)));
    assert_eq!(overdue(&talk.state, by_hand, talk.now), None);
}

#[test]
fn a_finalize_that_is_lost_counts_from_its_first_time() {
    let mut talk = Talk::ready(1);
    talk.again("finalize", Reply::Lost);
    talk.waits();
    talk.moves("order", ok(order("ready", 1)));
    talk.again("finalize", Reply::Response(html(502)));
    assert_eq!(talk.state.finalized, Some(now()));
    // An order that has to be authorized once more is not finalized.
    talk.waits();
    talk.moves("order", ok(order("pending", 1)));
    assert_eq!(talk.state.finalized, None);
}

#[test]
fn however_long_the_ca_says_to_wait_it_is_asked_before_the_order_is_given_up() {
    let mut talk = processing();
    talk.waits();
    let response = Response {
        retry_after: Some((20 * DAY).to_string()),
        ..ok(order("processing", 1))
    };
    talk.moves("order", response);
    assert_eq!(talk.state.not_before, Some(later(DAY)));
}

#[test]
fn an_order_that_is_not_finalized_is_not_given_up() {
    let mut talk = Talk::answered(1);
    talk.now = later(2 * DAY);
    talk.moves("order", ok(order("pending", 1)));
    assert_eq!(overdue(&talk.state, patience(None), talk.now), None);
    // Nor is one that waits for its turn.
    let mut talk = Talk::ready(1);
    talk.again("finalize", Reply::Response(html(503)));
    assert_eq!(talk.state.finalized, None);
}
