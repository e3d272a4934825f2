//! Secrets that somebody else made.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::world::CaOptions;

use crate::stories::{FAST, apply_certificate, apply_issuer, not_ready, ready, secrets, world};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_foreign_secret_is_adopted_on_request_alone_and_costs_the_ca_nothing() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 10).await;
    ready(&world, "shop", PATIENCE).await;

    // The same as another tool would have left it.
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let issued = api.get("shop-tls").await.unwrap();
    let note = BTreeMap::from([("cert-manager.io/certificate-name".to_owned(), "old".to_owned())]);
    let foreign = Secret {
        metadata: ObjectMeta {
            name: Some("old-tls".into()),
            annotations: Some(note),
            ..ObjectMeta::default()
        },
        data: issued.data.clone(),
        type_: issued.type_.clone(),
        ..Secret::default()
    };
    api.create(&PostParams::default(), &foreign).await.unwrap();
    let before = secrets(&world).await;
    let asked = world.front().unwrap().log().arrivals.len();

    // Not by itself.
    apply_certificate(&world, "old", &names(3), 10).await;
    not_ready(&world, "old", "SecretNotOurs", "sancho.dev/adopt=true").await;
    // Not with other names.
    let annotated = |names: &[String]| {
        let mut manifest = certificate("old", "ca", names, 10);
        manifest["metadata"]["annotations"]["sancho.dev/adopt"] = "true".into();
        manifest.to_string()
    };
    world.cluster.apply_yaml(&annotated(&names(2))).await.unwrap();
    not_ready(
        &world,
        "old",
        "SecretNotAdopted",
        "the certificate's names are not the shard's",
    )
    .await;
    let left_alone = api.get("old-tls").await.unwrap();
    assert!(left_alone.labels().is_empty(), "{:?}", left_alone.metadata);

    world.cluster.apply_yaml(&annotated(&names(3))).await.unwrap();
    ready(&world, "old", PATIENCE).await;
    assert_eq!(secrets(&world).await, before);
    let adopted = api.get("old-tls").await.unwrap();
    assert_eq!(adopted.data, issued.data);
    assert_eq!(adopted.annotations()["sancho.dev/certificate-name"], "old");
    assert!(
        adopted
            .annotations()
            .contains_key("cert-manager.io/certificate-name")
    );
    assert_eq!(
        world.front().unwrap().log().arrivals.len(),
        asked,
        "the CA was asked"
    );
}
