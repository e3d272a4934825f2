//! CNAMEs where the record of a challenge is to stand: those that were written there, and those that wildcards make.

use super::*;
use crate::stories::not_ready;

#[tokio::test]
async fn a_cname_is_followed_to_the_zone_that_can_be_written() {
    let mut options = by_bind(None);
    let alias = format!("www A 127.0.0.1\n_acme-challenge.www CNAME www.acme.{SHOP}.");
    options.bind.as_mut().unwrap().fixed_zones = vec![("alias.example".to_owned(), alias)];
    let world = world(1, FAST, options).await;
    apply_issuer(&world, FAST).await;
    let asked = ["www.alias.example", "*.www.alias.example"].map(str::to_owned);
    apply_certificate(&world, "shop", &asked, 20).await;
    some_record(&world).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_cname_of_a_wildcard_is_not_followed_and_the_issuer_has_the_last_word() {
    let mut options = by_bind(None);
    let bind = options.bind.as_mut().unwrap();
    // What has no record of its own is behind a load balancer, in a zone of somebody else's.
    let everything = "* CNAME lb.fixed.example.".to_owned();
    bind.bare_zones = vec![("wild.example".to_owned(), everything)];
    let alias = format!("lb A 127.0.0.1\nwww A 127.0.0.1\n_acme-challenge.www CNAME www.acme.{SHOP}.");
    bind.fixed_zones = vec![("fixed.example".to_owned(), alias)];
    let world = world(1, FAST, options).await;
    apply_issuer(&world, FAST).await;
    let asked = ["www.wild.example", "*.www.wild.example"].map(str::to_owned);
    apply_certificate(&world, "shop", &asked, 20).await;
    some_record(&world).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    no_record_left(&world).await;

    let orders_before = orders(&world).await;
    let cases = [
        ("follow", "Follow", "www.wild.example"),
        ("none", "None", "www.fixed.example"),
    ];
    for (name, strategy, dns_name) in cases {
        let mut solver = solver(world.bind().unwrap(), KEY_NAME);
        solver["dns01"]["cnameStrategy"] = json!(strategy);
        apply_pair(&world, name, solver, &[dns_name.to_owned()]).await;
    }
    for (name, ..) in cases {
        let advice = "write TXT records in the zone fixed.example";
        not_ready(&world, name, "DNSUpdateRefused", advice).await;
    }
    assert_eq!(orders(&world).await, orders_before, "the CA was asked in vain");
}
