use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sancho_crds::{
    CertificateShardSpec, CertificateShardStatus, IssuedStatus, IssuerKind, IssuerRef, OrderStatus,
    set_condition,
};

use super::*;

const SERVER: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// 10,000 names in shards of `cap`, the n-th of the domain that `domain` says.
fn orders(cap: usize, domain: impl Fn(usize) -> String) -> Vec<Vec<String>> {
    let names: Vec<String> = (0..10_000).map(|n| format!("n{n}.{}", domain(n))).collect();
    names.chunks(cap).map(<[String]>::to_vec).collect()
}

const NOW: Timestamp = Timestamp::constant(2_000_000_000, 0);

fn of(server: &str, orders: &[Vec<String>]) -> Option<Stretch> {
    after(server, orders, &[])
}

/// The same, after these were granted so long ago.
fn after(server: &str, orders: &[Vec<String>], granted: &[(Duration, &[String])]) -> Option<Stretch> {
    let granted = granted.iter().map(|(ago, names)| order(*ago, names, true));
    stretch(&quotas(server, orders.iter().map(Vec::as_slice), granted, NOW))
}

/// An order that was granted so long ago.
fn order(ago: Duration, names: &[String], by_account: bool) -> Granted {
    Granted {
        at: NOW - ago,
        names: names.to_vec(),
        by_account,
    }
}

/// What is left of the account's quota and of that of `shop.example`, for one order more.
fn left(granted: Vec<Granted>) -> [u32; 2] {
    let orders = [vec!["www.shop.example".to_owned()]];
    let quotas = quotas(SERVER, orders.iter().map(Vec::as_slice), granted, NOW);
    let left: Vec<u32> = quotas.iter().map(|quota| quota.left).collect();
    left.try_into().unwrap()
}

#[test]
fn one_registered_domain_takes_weeks_and_fewer_with_larger_shards() {
    let domain = |_: usize| "shop.example".to_owned();
    let small = of(SERVER, &orders(25, domain)).unwrap();
    // 400 certificates, 50 at once and 50 a week after that.
    assert_eq!(small.at_least, 7 * WEEK);
    assert!(
        small.why.contains("50 certificates of a registered domain")
            && small.why.contains("400 of shop.example")
    );
    assert_eq!(of(SERVER, &orders(100, domain)).unwrap().at_least, WEEK);
}

#[test]
fn many_domains_are_stretched_by_the_accounts_orders() {
    let stretched = of(SERVER, &orders(25, |n| format!("d{}.example", n / 25))).unwrap();
    // 100 over 300, at 100 an hour.
    assert_eq!(stretched.at_least, HOUR);
    assert!(stretched.why.contains("300 new orders in 3 h, and 400 are open"));
}

#[test]
fn what_was_granted_already_counts_until_it_is_granted_anew() {
    let all = orders(25, |n| format!("d{}.example", n / 25));
    let (done, left) = all.split_at(100);
    let lately = |ago: Duration| -> Vec<(Duration, &[String])> {
        done.iter().map(|names| (ago, names.as_slice())).collect()
    };
    // 300 are left: at 100 an hour, 200 of them at once.
    let just_now = lately(Duration::from_secs(1));
    let stretched = after(SERVER, left, &just_now).unwrap();
    assert_eq!(stretched.at_least, HOUR - Duration::from_secs(1));
    assert!(stretched.why.contains("300 are open"));
    assert_eq!(after(SERVER, left, &lately(HOUR)), None);
    // One registered domain: the 51st waits for the first to be granted anew.
    let domain = orders(100, |_| "shop.example".to_owned());
    let (done, left) = domain.split_at(50);
    let done: Vec<(Duration, &[String])> = done.iter().map(|names| (HOUR, names.as_slice())).collect();
    assert_eq!(
        after(SERVER, &left[..1], &done).unwrap().at_least,
        WEEK / 50 - HOUR
    );
    assert_eq!(after(SERVER, left, &done).unwrap().at_least, WEEK - HOUR);
    assert_eq!(after(SERVER, &[], &done), None);
}

#[test]
fn what_fits_and_what_is_unknown_is_not_stretched() {
    let few = orders(100, |n| format!("d{}.example", n / 100));
    assert_eq!(of(SERVER, &few), None);
    assert_eq!(
        of(
            "https://ca.example/dir",
            &orders(1, |_| "shop.example".to_owned())
        ),
        None
    );
    assert_eq!(of(SERVER, &[]), None);
}

#[test]
fn what_is_left_is_what_is_not_taken_and_what_was_granted_anew() {
    assert_eq!(left(Vec::new()), [300, 50]);
    let names = ["a.shop.example".to_owned()];
    let lately = vec![order(Duration::ZERO, &names, true); 7];
    assert_eq!(left(lately), [293, 43]);
    // 100 are granted anew each hour, and one of a domain in 3 h and 22 min.
    assert_eq!(left(vec![order(HOUR, &names, true); 7]), [300, 43]);
    assert_eq!(left(vec![order(4 * HOUR, &names, true); 7]), [300, 44]);
    assert_eq!(left(vec![order(WEEK, &names, true); 7]), [300, 50]);
    let other = ["a.other.example".to_owned()];
    assert_eq!(left(vec![order(Duration::ZERO, &other, true); 7]), [293, 50]);
    // Other accounts take of the domain alone.
    assert_eq!(left(vec![order(Duration::ZERO, &names, false); 60]), [300, 0]);
}

#[test]
fn quotas_are_told_with_what_the_orders_take() {
    let orders = orders(100, |_| "shop.example".to_owned());
    let quotas = quotas(SERVER, orders.iter().map(Vec::as_slice), Vec::new(), NOW);
    let [account, domain] = quotas.as_slice() else {
        panic!("{quotas:?}");
    };
    assert_eq!(account.what(), "new orders of the account in 3 h");
    assert_eq!((account.left, account.of, account.wanted), (300, 300, 100));
    assert_eq!(domain.what(), "certificates of shop.example in 7 days");
    assert_eq!((domain.left, domain.of, domain.wanted), (50, 50, 100));
    assert_eq!(domain.at_least, WEEK);
}

const ACCOUNT: &str = "https://acme-v02.api.letsencrypt.org/acme/acct/1";

/// A shard by the ClusterIssuer `ca` that was issued an hour ago for this account.
fn issued(account: Option<&str>) -> CertificateShard {
    let mut status = CertificateShardStatus {
        issued: Some(IssuedStatus {
            target: "t".into(),
            fingerprint: String::new(),
            not_before: Time(NOW),
            not_after: Time(NOW),
            renewal_time: Time(NOW),
            account_url: account.map(str::to_owned),
            cert_id: None,
            renewal_info: None,
        }),
        ..Default::default()
    };
    let since = Time(NOW - HOUR);
    set_condition(&mut status.conditions, "Ready", true, "Issued", "", None, &since);
    let mut shard = new("ca");
    shard.status = Some(status);
    shard
}

fn new(issuer: &str) -> CertificateShard {
    let spec = CertificateShardSpec {
        issuer_ref: IssuerRef {
            name: issuer.into(),
            kind: Some(IssuerKind::ClusterIssuer),
        },
        dns_names: vec!["a.shop.example".into()],
        ..Default::default()
    };
    CertificateShard::new("shop-0", spec)
}

/// A shard by this ClusterIssuer whose first order is under way.
fn ordering(issuer: &str) -> CertificateShard {
    let mut shard = new(issuer);
    shard.status = Some(CertificateShardStatus {
        order: Some(OrderStatus {
            target: "t".into(),
            stage: "Pending".into(),
            url: Some("https://acme-v02.api.letsencrypt.org/acme/order/1/2".into()),
            finalize_url: None,
            certificate_url: None,
            expires: None,
            authorizations: Vec::new(),
            polls: 0,
            not_before: None,
            replaces: None,
            finalized: None,
            asked: None,
        }),
        ..Default::default()
    });
    shard
}

#[test]
fn shards_tell_what_was_granted_to_the_account_and_what_to_others_at_the_same_ca() {
    let key = IssuerKey {
        namespace: None,
        name: "ca".into(),
    };
    let orderer = Orderer {
        server: SERVER,
        issuer: &key,
        account: Some(ACCOUNT),
    };
    let shards = [
        issued(Some(ACCOUNT)),
        issued(Some("https://acme-v02.api.letsencrypt.org/acme/acct/2")),
        issued(Some("https://ca.example/acct/1")),
        issued(None),
        ordering("ca"),
        ordering("another"),
        new("ca"),
    ];
    let told = granted_beside(orderer, &shards, NOW);
    let told: Vec<(Timestamp, bool)> = told.iter().map(|order| (order.at, order.by_account)).collect();
    let before = NOW - HOUR;
    assert_eq!(told, [(before, true), (before, false), (NOW, true), (NOW, false)]);
    let elsewhere = Orderer {
        server: "https://ca.example/dir",
        ..orderer
    };
    assert!(granted_beside(elsewhere, &shards, NOW).is_empty());
}
