//! What `kubectl sancho plan` tells beforehand, and what then happens.

use std::time::Duration;

use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{has, said, sancho};
use crate::docs::pages::page;
use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_ready, ready, secrets, world};

/// Names that a cluster's admin has forbidden.
const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: no-intranet }
spec:
  matchConstraints:
    resourceRules:
      - apiGroups: [sancho.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE]
        resources: [certificates]
  validations:
    - expression: "object.spec.dnsNames.all(name, !name.endsWith('.intranet.example'))"
      message: names of the intranet are not for a public CA
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: no-intranet }
spec: { policyName: no-intranet, validationActions: [Deny] }
"#;

/// A file that is planned again and again.
struct Desk<'a> {
    world: &'a World,
    directory: TempDir,
}

impl<'a> Desk<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The plan for these manifests, once its exit status is as expected.
    async fn planned(&self, manifests: &str, code: i32) -> String {
        let file = self.directory.path().join("planned.yaml");
        std::fs::write(&file, manifests).unwrap();
        let plan = ["plan", "-f", file.to_str().unwrap()];
        said(&sancho(self.world, &plan).await, code)
    }

    /// The plan for the Certificate `shop` with these names.
    async fn shop(&self, dns_names: &[String], code: i32) -> String {
        self.planned(&shop(dns_names).to_string(), code).await
    }
}

fn shop(dns_names: &[String]) -> Value {
    certificate("shop", "ca", dns_names, 2)
}

#[tokio::test]
async fn the_plugin_tells_beforehand_what_an_edit_would_do() {
    let world = world(1, FAST, CaOptions::default()).await;
    let desk = Desk::new(&world);
    let early = desk.shop(&names(5), 1).await;
    has(
        &early,
        &[
            "default/shop: would be refused",
            "its issuer ca is not there: apply that first",
        ],
    );
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let first = desk.shop(&names(5), 0).await;
    has(
        &first,
        &[
            "default/shop (new): 3 shards, 0 of them kept as they are",
            "shop-0 (Secret shop-tls, 2 names): new",
            "3 orders, about 22 requests",
            "budget: Given: 40 requests a second, burst 10, 16 in flight",
        ],
    );
    apply_certificate(&world, "shop", &names(5), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    has(
        &desk.shop(&names(5), 0).await,
        &["3 shards, 3 of them kept", "nothing is asked of the CA"],
    );
    let before = secrets(&world).await;
    let more = desk.shop(&names(6), 0).await;
    let sixth = names(6).pop().unwrap();
    has(
        &more,
        &[
            "default/shop: 3 shards, 2 of them kept as they are",
            &format!("shop-2 (Secret shop-tls-2, 2 names): re-issued; 1 more ({sixth})"),
            "1 orders, about 8 requests",
        ],
    );
    let bad = desk.shop(&["www.*.example.com".to_owned()], 1).await;
    has(&bad, &["would be refused", "spec.dnsNames"]);
    let absent = said(&sancho(&world, &["plan", "-f", "absent.yaml"]).await, 2);
    has(&absent, &["absent.yaml: No such file"]);
    // Nothing of it was applied; what is planned is what happens.
    assert_eq!(secrets(&world).await, before);
    apply_certificate(&world, "shop", &names(6), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let after = secrets(&world).await;
    let touched: Vec<&String> = before
        .keys()
        .filter(|name| before[*name] != after[*name])
        .collect();
    assert_eq!(touched, ["shop-tls-2"]);
}

#[tokio::test]
async fn what_an_apply_would_refuse_a_plan_refuses() {
    let world = world(1, FAST, CaOptions::default()).await;
    let desk = Desk::new(&world);
    apply_issuer(&world, FAST).await;
    world.cluster.apply_yaml(POLICY).await.unwrap();
    let refused = async |edit: &dyn Fn(&mut Value), words: &[&str]| {
        let mut manifest = shop(&names(5));
        edit(&mut manifest);
        let plan = desk.planned(&manifest.to_string(), 1).await;
        has(&plan, &[words, &["default/shop: would be refused"]].concat());
    };
    let typo = |manifest: &mut Value| manifest["spec"]["shardng"] = json!({ "maxNames": 2 });
    let wrong_type = |manifest: &mut Value| manifest["spec"]["dnsNames"] = json!("www.demo.example");
    let wrong_word = |manifest: &mut Value| manifest["spec"]["policy"] = json!("Lax");
    refused(&typo, &["unknown field \"spec.shardng\""]).await;
    refused(&wrong_type, &["spec.dnsNames", "array"]).await;
    refused(&wrong_word, &["spec.policy", "Lax"]).await;

    let intranet = certificate("intranet", "ca", &["www.intranet.example".to_owned()], 2);
    let file = world.dir().join("intranet.yaml");
    std::fs::write(&file, intranet.to_string()).unwrap();
    let plan = ["plan", "-f", file.to_str().unwrap()];
    // A policy is in force some moments after it was made.
    wait_for(
        "the policy to be in force",
        Duration::from_secs(60),
        &[],
        async || Ok((sancho(&world, &plan).await.status.code() == Some(1)).then_some(())),
    )
    .await
    .unwrap();
    has(
        &said(&sancho(&world, &plan).await, 1),
        &[
            "default/intranet: would be refused",
            "names of the intranet are not for a public CA",
        ],
    );

    // The same for one that is there.
    apply_certificate(&world, "shop", &names(5), 2).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    refused(&typo, &["unknown field \"spec.shardng\""]).await;
    let renamed = |manifest: &mut Value| manifest["spec"]["dnsNames"] = json!(["www.intranet.example"]);
    refused(&renamed, &["names of the intranet are not for a public CA"]).await;
    has(&desk.shop(&names(5), 0).await, &["nothing is asked of the CA"]);
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_said_and_planned_for() {
    let world = world(1, FAST, CaOptions::default()).await;
    let desk = Desk::new(&world);
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let mut manifest = shop(&names(5));
    manifest["metadata"]["namespace"] = json!("shop");
    let planned = ["shop/shop (new): 3 shards", "3 orders, about 22 requests"];
    let alone = desk.planned(&manifest.to_string(), 1).await;
    has(&alone, &planned);
    has(
        &alone,
        &["first: namespace shop is not there: kubectl create namespace shop"],
    );
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let with_it = desk.planned(&format!("{namespace}\n---\n{manifest}"), 0).await;
    has(&with_it, &planned);
    has(
        &with_it,
        &["the API server judges it once namespace shop is there"],
    );
    world.cluster.apply_yaml(&namespace.to_string()).await.unwrap();
    has(&desk.planned(&manifest.to_string(), 0).await, &planned);
}

#[tokio::test]
async fn a_file_with_an_issuer_and_several_certificates_is_planned_as_a_whole() {
    let world = world(1, FAST, CaOptions::default()).await;
    let desk = Desk::new(&world);
    let blocks = page("README.md").blocks();
    let mut blocks = blocks.iter();
    let readme = blocks.find(|block| block.file.as_deref() == Some("letsencrypt.yaml"));
    let shop = ["create", "namespace", "shop"];
    world.cluster.kubectl(&shop).await.unwrap();
    // Nobody asks the real CA.
    has(
        &desk.planned(&readme.unwrap().text, 0).await,
        &[
            "shop/storefront (new): 1 shards, 0 of them kept",
            "1 orders, about 8 requests; how long they take is not known",
            "quota: 50 of 50 left (certificates of example.com in 7 days); this takes 1",
            "quota: 300 of 300 left (new orders of the account in 3 h); this takes 1",
            "the CA has no budget yet",
            "by the same account, or for the same domains, is not counted",
        ],
    );

    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let one = certificate("one", "ca", &names(5), 2);
    let mut two = certificate("two", "ca", &names(3), 2);
    let both = desk.planned(&format!("{one}\n---\n{two}"), 0).await;
    has(
        &both,
        &[
            "default/one (new): 3 shards",
            "default/two (new): 2 shards",
            "all together: 5 orders, about 36 requests, ",
            "s if nothing else waits",
        ],
    );
    two["spec"]["secretName"] = json!("one-tls");
    let clash = desk.planned(&format!("{one}\n---\n{two}"), 1).await;
    has(
        &clash,
        &[
            "default/one (new): 3 shards",
            "default/two: would be refused",
            "Secret one-tls would be written by Certificate one and by Certificate two, both of this file",
        ],
    );
    assert!(!clash.contains("all together"), "{clash}");

    let front = world.front().unwrap();
    let mut own = cluster_issuer("own", &front.directory_url(), front.ca_pem(), FAST);
    let by_own = certificate("three", "own", &names(1), 2);
    let file = |issuer: &Value| format!("{issuer}\n---\n{by_own}");
    has(
        &desk.planned(&file(&own), 0).await,
        &["default/three (new): 1 shards", "1 orders, about 6 requests"],
    );
    own["spec"]["acme"]["solver"] = json!([]);
    has(
        &desk.planned(&file(&own), 1).await,
        &[
            "default/three: would be refused",
            "its issuer own, in the same file, would be refused",
            "unknown field \"spec.acme.solver\"",
        ],
    );
}
