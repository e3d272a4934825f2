use jiff::Timestamp;
use sancho::quotas::HeldBack;
use sancho_limiter::{Budget, Durations, Source};
use serde_json::json;

use super::*;

fn certificate() -> (Manifest, Certificate) {
    let object = json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "Certificate",
        "metadata": { "name": "shop" },
        "spec": { "secretName": "shop", "issuerRef": { "name": "ca" }, "dnsNames": ["a.example"] },
    });
    let manifest = read(&[object], "web").unwrap().certificates.remove(0);
    let certificate = manifest.unjudged(None, Timestamp::UNIX_EPOCH).unwrap();
    (manifest, certificate)
}

/// A quota of which one more is wanted.
fn quota(domain: Option<&str>, of: u32, left: u32) -> Quota {
    Quota {
        domain: domain.map(str::to_owned),
        of,
        left,
        wanted: 1,
        at_least: match left {
            0 => Duration::from_secs(3 * 3600),
            _ => Duration::ZERO,
        },
    }
}

fn told(views: Vec<PlanView>, total: Option<Total>) -> String {
    text(&Plans { views, total })
}

#[test]
fn a_plan_tells_what_is_touched_and_how_long_it_takes() {
    let preview = Preview {
        shards: vec![PreviewedShard {
            name: "shop-0".into(),
            secret_name: "shop".into(),
            names: 5,
            fate: Fate::Reissued,
            added: ["a", "b", "c", "d"].map(|n| format!("{n}.example")).to_vec(),
            removed: vec!["z.example".into()],
            because: vec!["another profile"],
            held_back: Some(HeldBack {
                until: Timestamp::UNIX_EPOCH,
                words: "a quota of the CA for a.example".into(),
            }),
        }],
        retired: vec![Retired {
            name: "shop-1".into(),
            secret_name: "shop-1".into(),
        }],
        cost: Cost {
            requests: 100,
            new_orders: 1,
        },
        counted: Vec::new(),
        quotas: vec![quota(None, 300, 299), quota(Some("a.example"), 50, 0)],
    };
    let budget = Budget::new(5.0, 0, 1);
    let record = Record::new("t".into(), budget, Source::Given, Durations::default());
    let (manifest, certificate) = certificate();
    let unknown = view(&manifest, true, &certificate, &preview, None);
    let unknown = told(vec![unknown], None);
    assert!(
        unknown.contains("about 100 requests; how long they take is not known"),
        "{unknown}"
    );
    let mut view = view(&manifest, true, &certificate, &preview, Some(&record));
    assert!(view.is_accepted());
    view.needs.push("namespace web is not there".into());
    assert!(!view.is_accepted());
    let total = Total {
        orders: 3,
        requests: 120,
        seconds: Some(90),
    };
    let text = told(vec![view], Some(total));
    for words in [
        "web/shop: 1 shards, 0 of them kept as they are",
        "shop-0 (Secret shop, 5 names): re-issued; 4 more (a.example, b.example, c.example, …), 1 fewer (z.example), \
         another profile",
        "shop-1 goes, its Secret shop-1 stays",
        "1 orders, about 100 requests, 2",
        "budget: Given: 5 requests a second",
        "quota: one of the orders waits for a quota of the CA for a.example",
        "quota: 0 of 50 left (certificates of a.example in 7 days); this takes 1\n  quota: 299 of 300 left (new orders \
         of the account in 3 h); this takes 1\n  quota: at least 3h: the CA grants 50 certificates of a registered domain",
        "first: namespace web is not there",
        "all together: 3 orders, about 120 requests, 90s if nothing else waits",
        "by the same account, or for the same domains, is not counted",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn of_many_quotas_the_scarcest_are_told_and_all_are_there_for_scripts() {
    let quotas: Vec<Quota> = (0..10)
        .map(|n| quota(Some("a.example"), 50, n + 1))
        .rev()
        .collect();
    let preview = Preview {
        shards: Vec::new(),
        retired: Vec::new(),
        cost: Cost {
            requests: 8,
            new_orders: 1,
        },
        counted: Vec::new(),
        quotas,
    };
    let (manifest, certificate) = certificate();
    let view = view(&manifest, false, &certificate, &preview, None);
    let left: Vec<u32> = view.quotas.iter().map(|quota| quota.left).collect();
    assert_eq!(left, (1..=10).collect::<Vec<u32>>());
    assert_eq!(view.quota, None);
    let text = told(vec![view], None);
    assert!(text.contains("quota: 1 of 50 left"), "{text}");
    assert!(text.contains("quota: 7 others, which are less scarce"), "{text}");
    assert!(!text.contains("quota: 4 of 50 left"), "{text}");
    assert!(!text.contains("all together"), "{text}");
}
