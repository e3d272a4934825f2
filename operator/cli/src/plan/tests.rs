use jiff::Timestamp;
use sancho::quotas::HeldBack;
use sancho_limiter::{Budget, Cost, Durations, Source};
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
        stretch: None,
    };
    let budget = Budget::new(5.0, 0, 1);
    let record = Record::new("t".into(), budget, Source::Given, Durations::default());
    let (manifest, certificate) = certificate();
    let unknown = text(&[view(&manifest, true, &certificate, &preview, None)]);
    assert!(
        unknown.contains("about 100 requests; how long they take is not known"),
        "{unknown}"
    );
    let mut view = view(&manifest, true, &certificate, &preview, Some(&record));
    assert!(view.is_accepted());
    view.needs.push("namespace web is not there".into());
    assert!(!view.is_accepted());
    let text = text(&[view]);
    for words in [
        "web/shop: 1 shards, 0 of them kept as they are",
        "shop-0 (Secret shop, 5 names): re-issued; 4 more (a.example, b.example, c.example, …), 1 fewer (z.example), \
         another profile",
        "shop-1 goes, its Secret shop-1 stays",
        "1 orders, about 100 requests, 2",
        "budget: Given: 5 requests a second",
        "quota: one of the orders waits for a quota of the CA for a.example",
        "first: namespace web is not there",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}
