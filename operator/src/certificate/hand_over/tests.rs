use sancho_crds::{CertificateShardStatus, IssuerRef};

use super::*;
use crate::clock;
use crate::target::target;

const SERVER: &str = "https://ca.example/dir";
const RENEWAL: i64 = 600;
const EXPIRY: i64 = 900;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn spec(index: u32, names: &[&str], kept: &[&str]) -> CertificateShardSpec {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    CertificateShardSpec {
        certificate: "x".into(),
        index,
        secret_name: format!("x-{index}"),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: texts(names),
        kept_names: texts(kept),
        ..Default::default()
    }
}

/// A shard that has a certificate for these names.
fn issued(spec: CertificateShardSpec, certified: &[&str]) -> CertificateShard {
    let mut shard = CertificateShard::new(&format!("x-{}", spec.index), spec);
    let of = CertificateShardSpec {
        dns_names: certified.iter().map(|name| (*name).to_owned()).collect(),
        kept_names: Vec::new(),
        ..shard.spec.clone()
    };
    let issued = IssuedStatus {
        target: target(&of, SERVER),
        fingerprint: "00".into(),
        not_before: clock::time(at(0)),
        not_after: clock::time(at(EXPIRY)),
        renewal_time: clock::time(at(RENEWAL)),
        account_url: None,
        cert_id: None,
        renewal_info: None,
    };
    shard.status = Some(CertificateShardStatus {
        secret_name: Some(shard.spec.secret_name.clone()),
        issued: Some(issued),
        ..Default::default()
    });
    shard
}

fn bare(spec: CertificateShardSpec) -> CertificateShard {
    CertificateShard::new(&format!("x-{}", spec.index), spec)
}

fn wanted(specs: &[CertificateShardSpec]) -> Wanted {
    let shards = specs
        .iter()
        .map(|spec| (format!("x-{}", spec.index), spec.clone()));
    Wanted {
        hash: String::new(),
        shards: shards.collect(),
    }
}

/// What a look finds: each shard's own names and what it keeps.
struct Look<'a> {
    shards: &'a [CertificateShard],
    certified: &'a [(&'a str, &'a [&'a str])],
    most_names: u32,
    now: i64,
    has_secret: bool,
}

impl Look<'_> {
    fn at(self, planned: &[CertificateShardSpec]) -> Vec<(u32, String, String)> {
        let certified = self.certified.iter().map(|(shard, names)| {
            let names = names.iter().map(|name| (*name).to_owned());
            ((*shard).to_owned(), names.collect())
        });
        let has_secret = self.has_secret;
        let today = Today {
            shards: self.shards.iter().collect(),
            certified: certified.collect(),
            has_secret: &move |_| has_secret,
            server: Some(SERVER),
            most_names: self.most_names,
            now: at(self.now),
        };
        let with_kept = with_kept(wanted(planned), &today);
        let shards = with_kept.shards.into_iter();
        shards
            .map(|(_, spec)| (spec.index, spec.dns_names.join(" "), spec.kept_names.join(" ")))
            .collect()
    }
}

fn look<'a>(shards: &'a [CertificateShard], certified: &'a [(&'a str, &'a [&'a str])]) -> Look<'a> {
    Look {
        shards,
        certified,
        most_names: 100,
        now: 100,
        has_secret: true,
    }
}

fn expected(shards: &[(u32, &str, &str)]) -> Vec<(u32, String, String)> {
    let shards = shards.iter();
    shards
        .map(|(index, own, kept)| (*index, (*own).to_owned(), (*kept).to_owned()))
        .collect()
}

#[test]
fn what_moves_is_kept_until_it_is_served_where_it_belongs() {
    let plan = [spec(0, &["a"], &[]), spec(1, &["b"], &[])];
    let whole = issued(spec(0, &["a", "b"], &[]), &["a", "b"]);
    let losing: Vec<String> = losing(&wanted(&plan), [&whole], at(100))
        .iter()
        .map(|shard| shard.name_any())
        .collect();
    assert_eq!(losing, ["x-0"]);
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "b"])];
    let keeping = expected(&[(0, "a", "b"), (1, "b", "")]);
    assert_eq!(look(&[whole], certified).at(&plan), keeping);

    // From then on the recorded shards say so themselves.
    let keeper = issued(spec(0, &["a"], &["b"]), &["a", "b"]);
    assert!(is_wanted(
        &keeper,
        SERVER,
        &keeper.status.as_ref().unwrap().issued.as_ref().unwrap().target
    ));
    let open = bare(spec(1, &["b"], &[]));
    assert_eq!(look(&[keeper.clone(), open], &[]).at(&plan), keeping);
    let served = issued(spec(1, &["b"], &[]), &["b"]);
    let done = expected(&[(0, "a", ""), (1, "b", "")]);
    assert_eq!(look(&[keeper.clone(), served.clone()], &[]).at(&plan), done);

    // A certificate for something else does not serve it, nor one that has expired.
    let other = issued(spec(1, &["b"], &[]), &["c"]);
    assert_eq!(look(&[keeper.clone(), other], &[]).at(&plan), keeping);
    let mut expired = served;
    let status = expired.status.as_mut().unwrap().issued.as_mut().unwrap();
    status.not_after = clock::time(at(50));
    assert_eq!(look(&[keeper, expired], &[]).at(&plan), keeping);
}

#[test]
fn only_what_a_certificate_has_and_somebody_asks_for_is_kept() {
    let plan = [spec(0, &["a"], &[]), spec(1, &["b"], &[])];
    let whole = issued(spec(0, &["a", "b", "c"], &[]), &["a", "b", "c"]);
    // The Secret was replaced by something without the name.
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "c"])];
    let nothing = expected(&[(0, "a", ""), (1, "b", "")]);
    assert_eq!(look(std::slice::from_ref(&whole), certified).at(&plan), nothing);
    // c was taken out of the Certificate: the certificate stays as it is while it is needed.
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "b", "c"])];
    let as_it_is = expected(&[(0, "a", "b c"), (1, "b", "")]);
    assert_eq!(look(std::slice::from_ref(&whole), certified).at(&plan), as_it_is);
    // Once an order has to be made, it is for what is asked for.
    let renewal = Look {
        now: RENEWAL,
        ..look(std::slice::from_ref(&whole), certified)
    };
    assert_eq!(renewal.at(&plan), expected(&[(0, "a", "b"), (1, "b", "")]));
    let expired = Look {
        now: EXPIRY,
        ..look(std::slice::from_ref(&whole), certified)
    };
    assert_eq!(expired.at(&plan), nothing);
    let only = [spec(0, &["a"], &[])];
    assert_eq!(look(&[whole], certified).at(&only), expected(&[(0, "a", "")]));
}

#[test]
fn a_shard_without_names_of_its_own_stays_while_it_keeps_some() {
    let plan = [spec(0, &["a", "b"], &[])];
    let (first, second) = (
        issued(spec(0, &["a"], &[]), &["a"]),
        issued(spec(1, &["b"], &[]), &["b"]),
    );
    let certified: &[(&str, &[&str])] = &[("x-1", &["b"])];
    let keeping = expected(&[(0, "a b", ""), (1, "", "b")]);
    let shards = [first, second];
    assert_eq!(look(&shards, certified).at(&plan), keeping);

    let left = issued(spec(1, &[], &["b"]), &["b"]);
    let shards = [issued(spec(0, &["a", "b"], &[]), &["a"]), left.clone()];
    assert_eq!(look(&shards, &[]).at(&plan), keeping);
    let shards = [issued(spec(0, &["a", "b"], &[]), &["a", "b"]), left];
    assert_eq!(look(&shards, &[]).at(&plan), expected(&[(0, "a b", "")]));
}

#[test]
fn two_shards_that_change_names_keep_them_for_one_another() {
    let plan = [spec(0, &["a", "d"], &[]), spec(1, &["c", "b"], &[])];
    let shards = [
        issued(spec(0, &["a", "b"], &[]), &["a", "b"]),
        issued(spec(1, &["c", "d"], &[]), &["c", "d"]),
    ];
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "b"]), ("x-1", &["c", "d"])];
    let keeping = expected(&[(0, "a d", "b"), (1, "c b", "d")]);
    assert_eq!(look(&shards, certified).at(&plan), keeping);
    // The first has its certificate: the other one need not keep d any more.
    let shards = [
        issued(spec(0, &["a", "d"], &["b"]), &["a", "d", "b"]),
        issued(spec(1, &["c", "b"], &["d"]), &["c", "d"]),
    ];
    let one = expected(&[(0, "a d", "b"), (1, "c b", "")]);
    assert_eq!(look(&shards, &[]).at(&plan), one);
}

#[test]
fn a_certificate_over_the_cap_is_kept_until_its_renewal() {
    let plan = [spec(0, &["a"], &[]), spec(1, &["b"], &[])];
    let keeper = issued(spec(0, &["a"], &["b"]), &["a", "b"]);
    let keeping = expected(&[(0, "a", "b"), (1, "b", "")]);
    let given_up = expected(&[(0, "a", ""), (1, "b", "")]);
    let one = |now, has_secret| Look {
        most_names: 1,
        now,
        has_secret,
        ..look(std::slice::from_ref(&keeper), &[])
    };
    let renewal = renewal_of_issued(&keeper, valid(&keeper, at(100)).unwrap());
    assert_eq!(one(renewal.as_second() - 1, true).at(&plan), keeping);
    assert_eq!(one(renewal.as_second() + 1, true).at(&plan), given_up);
    assert_eq!(one(100, false).at(&plan), given_up);
    let mut by_hand = keeper.clone();
    by_hand.spec.renew = Some("now".into());
    let renewed = [spec(0, &["a"], &[]), spec(1, &["b"], &[])].map(|spec| CertificateShardSpec {
        renew: Some("now".into()),
        ..spec
    });
    let look_by_hand = Look {
        most_names: 1,
        ..look(std::slice::from_ref(&by_hand), &[])
    };
    assert_eq!(look_by_hand.at(&renewed), given_up);
    let left = Duration::try_from(renewal.duration_since(at(100))).unwrap();
    assert_eq!(next_look(&[&keeper], at(100)), Some(left));
    assert_eq!(next_look(&[&keeper], renewal), None);

    // Another issuer is asked once others have what is kept: no order over the cap is begun before.
    let elsewhere = [spec(0, &["a"], &[]), spec(1, &["b"], &[])].map(|spec| CertificateShardSpec {
        issuer_ref: IssuerRef {
            name: "other".into(),
            kind: None,
        },
        ..spec
    });
    assert_eq!(one(100, true).at(&elsewhere), keeping);
}

#[test]
fn of_two_that_would_wait_for_one_another_the_second_goes_on_without_what_it_kept() {
    let plan = [spec(0, &["a", "d"], &[]), spec(1, &["b", "c"], &[])];
    let shards = [
        issued(spec(0, &["a", "b"], &[]), &["a", "b"]),
        issued(spec(1, &["c", "d"], &[]), &["c", "d"]),
    ];
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "b"]), ("x-1", &["c", "d"])];
    let two = |shards, certified| Look {
        most_names: 2,
        ..look(shards, certified)
    };
    let broken = expected(&[(0, "a d", "b"), (1, "b c", "")]);
    assert_eq!(two(&shards, certified).at(&plan), broken);
    // So it stays, until the second has what the first one keeps.
    let shards = [
        issued(spec(0, &["a", "d"], &["b"]), &["a", "b"]),
        issued(spec(1, &["b", "c"], &[]), &["c", "d"]),
    ];
    assert_eq!(two(&shards, &[]).at(&plan), broken);
    let shards = [shards[0].clone(), issued(spec(1, &["b", "c"], &[]), &["b", "c"])];
    let done = expected(&[(0, "a d", ""), (1, "b c", "")]);
    assert_eq!(two(&shards, &[]).at(&plan), done);
}

#[test]
fn what_another_secret_is_to_have_leaves_this_one_as_it_is() {
    let whole = issued(spec(0, &["a", "b"], &[]), &["a", "b"]);
    let mut plan = [spec(0, &["a"], &[]), spec(1, &["b"], &[])];
    plan[0].secret_name = "y".into();
    let certified: &[(&str, &[&str])] = &[("x-0", &["a", "b"])];
    assert_eq!(
        look(&[whole], certified).at(&plan),
        expected(&[(0, "a", ""), (1, "b", "")])
    );
}
