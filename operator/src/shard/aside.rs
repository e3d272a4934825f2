//! Drives that write TXT records take no place from those that ask the CA: a DNS provider may be slow, and is asked for by
//! one of several drives at a time.
//!
//! An order whose records are to be written waits, if it has to, among those that write ([`WorkQueue`]), and so do records that
//! are to be removed. Writing that turns out to take long steps aside in the middle, so that quick DNS servers have no more
//! orders begun at once than others.
//!
//! [`WorkQueue`]: crate::queue::WorkQueue

use std::time::Duration;

use sancho_core::challenge::ChallengeKind;
use sancho_core::order::{AuthorizationState, Stage};
use sancho_crds::{AuthorizationStatus, CertificateShard, OrderStatus, PresentedRecord};
use tokio::time::timeout;

use crate::budget::Budget;
use crate::queue::{Priority, ShardKey, Work};

/// Writing that takes no longer than this keeps its place.
const QUICK: Duration = Duration::from_secs(2);

/// What is to be done about `shard`, which needs work of this priority.
pub(super) fn work(shard: &CertificateShard, priority: Priority) -> Work {
    let status = shard.status.as_ref();
    let writes = match priority {
        Priority::Sweep => true,
        Priority::UnderWay | Priority::Retry => status.is_some_and(|status| {
            let order = status.order.as_ref();
            order.is_some_and(|order| is_to_write(order, &status.dns_records))
        }),
        Priority::Revoke
        | Priority::NearExpiry
        | Priority::New
        | Priority::Renewal
        | Priority::RenewalInfo => false,
    };
    Work { priority, writes }
}

/// May the drive of `shard` go on with its order, which has come so far? Not if that begins with records, and too many
/// drives write already.
pub(super) fn has_room(budget: &Budget, shard: &CertificateShard, order: &OrderStatus) -> bool {
    let records = shard.status.as_ref().map(|status| status.dns_records.as_slice());
    !is_to_write(order, records.unwrap_or_default()) || budget.queue().has_room_aside(&ShardKey::of(shard))
}

/// Carries `writing` out, and has the drive of the shard step aside if it takes long.
pub(super) async fn stepping_aside<T>(
    budget: &Budget,
    key: &ShardKey,
    writing: impl Future<Output = T>,
) -> T {
    tokio::pin!(writing);
    if let Ok(written) = timeout(QUICK, &mut writing).await {
        return written;
    }
    // Where there is no room it goes on as it is: it ends before long.
    budget.step_aside(key);
    writing.await
}

/// Does `order` go on with TXT records that are to be written, of which these are known? Where all are written they are
/// only looked for, and that is quick.
fn is_to_write(order: &OrderStatus, records: &[PresentedRecord]) -> bool {
    let is = |authorization: &AuthorizationStatus, state: AuthorizationState| {
        authorization.state == state.as_str()
    };
    let mut all = order.authorizations.iter();
    if order.stage != Stage::Pending.as_str() || all.any(|one| is(one, AuthorizationState::Unknown)) {
        return false;
    }
    let by_dns = ChallengeKind::Dns01.as_str();
    let mut waiting = order
        .authorizations
        .iter()
        .filter(|one| is(one, AuthorizationState::Pending) && one.kind.as_deref() == Some(by_dns));
    // Before the first look none of them is: what is known is left from another order.
    waiting.any(|one| order.polls == 0 || !is_written(one, records))
}

fn is_written(authorization: &AuthorizationStatus, records: &[PresentedRecord]) -> bool {
    let is_its = |record: &&PresentedRecord| authorization.name.as_ref() == Some(&record.name);
    let mut its = records.iter().filter(is_its).peekable();
    its.peek().is_some() && its.all(|record| record.written)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(stage: &str, authorizations: &Value, polls: u32) -> OrderStatus {
        serde_json::from_value(json!({
            "target": "t", "stage": stage, "polls": polls, "authorizations": authorizations,
        }))
        .unwrap()
    }

    fn authorization(name: &str, state: &str, kind: &str) -> Value {
        json!({ "url": "https://ca/authz", "state": state, "name": name, "kind": kind })
    }

    fn record(name: &str, written: bool) -> PresentedRecord {
        serde_json::from_value(json!({
            "name": name, "record": format!("_acme-challenge.{name}"), "zone": "example", "value": "v",
            "since": "2026-11-24T06:00:00Z", "written": written,
        }))
        .unwrap()
    }

    #[test]
    fn an_order_writes_once_all_challenges_are_known_and_until_all_records_are_written() {
        let both = json!([
            authorization("a", "Pending", "dns-01"),
            authorization("b", "Pending", "dns-01")
        ]);
        let records = [record("a", true), record("b", true)];
        assert!(is_to_write(&order("Pending", &both, 0), &[]));
        assert!(
            is_to_write(&order("Pending", &both, 0), &records),
            "left from another one"
        );
        assert!(is_to_write(
            &order("Pending", &both, 1),
            &[record("a", true), record("b", false)]
        ));
        assert!(is_to_write(&order("Pending", &both, 1), &records[..1]));
        assert!(!is_to_write(&order("Pending", &both, 1), &records));
        for stage in ["New", "Ready", "Processing", "Valid", "Invalid"] {
            assert!(!is_to_write(&order(stage, &both, 0), &[]), "{stage}");
        }
        for others in [
            json!([
                authorization("a", "Pending", "dns-01"),
                authorization("b", "Unknown", "dns-01")
            ]),
            json!([
                authorization("a", "Presented", "dns-01"),
                authorization("b", "Valid", "dns-01")
            ]),
            json!([
                authorization("a", "Pending", "http-01"),
                authorization("b", "Pending", "dns-persist-01")
            ]),
        ] {
            assert!(!is_to_write(&order("Pending", &others, 0), &[]), "{others}");
        }
    }

    #[test]
    fn what_begins_and_what_asks_the_ca_alone_writes_nothing() {
        let shard: CertificateShard = serde_json::from_value(json!({
            "metadata": { "name": "shop-0" },
            "spec": { "certificate": "shop", "index": 0, "secretName": "shop-tls", "issuerRef": { "name": "ca" } },
            "status": { "order": order("Pending", &json!([authorization("a", "Pending", "dns-01")]), 0) },
        }))
        .unwrap();
        for (priority, writes) in [
            (Priority::Sweep, true),
            (Priority::UnderWay, true),
            (Priority::Retry, true),
            // What is recorded is for something else.
            (Priority::New, false),
            (Priority::Revoke, false),
        ] {
            assert_eq!(work(&shard, priority), Work { priority, writes });
        }
    }
}
