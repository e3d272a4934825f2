//! When a shard's certificate is renewed.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::renewal::{parse_go_duration, renewal_time};
use sancho_crds::CertificateShard;

/// The moment, by the shard's `renewBefore` as it is now; the jitter is the shard's own.
#[must_use]
pub fn renewal_of(shard: &CertificateShard, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    // The planner refuses a duration that cannot be read.
    let before = shard
        .spec
        .renew_before
        .as_deref()
        .and_then(|text| parse_go_duration(text).ok());
    renewal_time(not_before, not_after, before, &seed(shard))
}

/// What fixes a shard's jitters.
#[must_use]
pub fn seed(shard: &CertificateShard) -> String {
    format!("{}/{}", shard.namespace().unwrap_or_default(), shard.name_any())
}
