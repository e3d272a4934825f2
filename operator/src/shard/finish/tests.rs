use sancho_crds::{CertificateShardSpec, IssuerRef};

use super::*;

const TARGET: &str = "wanted";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A shard of two names with this status.
fn shard(status: CertificateShardStatus) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: "shop-tls".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec!["a.example".into(), "b.example".into()],
        ..Default::default()
    };
    let mut shard = CertificateShard::new("shop-0", spec);
    shard.metadata.generation = Some(1);
    shard.status = Some(status);
    shard
}

#[test]
fn a_secret_that_is_in_the_way_is_looked_at_ever_more_rarely_and_anew_after_an_edit() {
    let mut shard = shard(CertificateShardStatus::default());
    let waits = |shard: &CertificateShard| match look_again(shard, TARGET, SECRET_NOT_OURS, at(0)) {
        Retry::At(at) => at.as_second(),
        Retry::Backoff => 0,
    };
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(waits(&shard));
        let retry = look_again(&shard, TARGET, SECRET_NOT_OURS, at(0));
        shard.status = Some(failed(&shard, TARGET, SECRET_NOT_OURS, "it is there", retry));
    }
    assert!(
        (15..=18).contains(&seen[0]) && (30..=36).contains(&seen[1]),
        "{seen:?}"
    );
    assert!(
        seen[5..].iter().all(|wait| (480..=600).contains(wait)),
        "{seen:?}"
    );
    // Another obstacle, and an edit.
    let other = look_again(&shard, TARGET, SECRET_NOT_WRITTEN, at(0));
    assert!(matches!(other, Retry::At(next) if next <= at(18)));
    shard.metadata.generation = Some(2);
    assert!((15..=18).contains(&waits(&shard)));
}
