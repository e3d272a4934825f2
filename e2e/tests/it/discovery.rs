//! With no budget given, it is found out what the CA bears.

use std::time::Duration;

use sancho_e2e::manifests::{Budget, cluster_issuer, names};
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{apply_certificate, ready, world};

/// Issues 42 names twice from a CA that bears `bears`, of which the issuer is told nothing. Returns how many
/// requests were refused by the end of each.
async fn refused(bears: Budget) -> [usize; 2] {
    let world = world(3, bears, CaOptions::default()).await;
    let front = world.front().unwrap();
    let issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), None);
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    let all = names(84);
    let issue = async |world: &World, name: &str, dns_names: &[String]| {
        apply_certificate(world, name, dns_names, 20).await;
        ready(world, name, Duration::from_secs(300)).await;
        front.log().throttled()
    };
    let first = issue(&world, "first", &all[..42]).await;
    let second = issue(&world, "second", &all[42..]).await;
    let lease = world
        .cluster
        .kubectl(&["describe", "lease", "-n", "sancho-system"])
        .await
        .unwrap();
    eprintln!("refused: {first} at first, {} again\n{lease}", second - first);
    [first, second]
}

#[tokio::test]
async fn a_ca_that_bears_ten_a_second_and_a_burst_is_learned_with_few_refusals() {
    let bears = Budget {
        rate: 10.0,
        burst: 5,
        in_flight: 16,
    };
    let [first, second] = refused(bears).await;
    assert!(first <= 10, "{first} refused while learning");
    assert!(second <= 10, "{second} refused while learning");
}

#[tokio::test]
async fn a_ca_that_bears_five_a_second_and_no_burst_is_learned_with_few_refusals() {
    let bears = Budget {
        rate: 5.0,
        burst: 0,
        in_flight: 16,
    };
    let [first, second] = refused(bears).await;
    assert!(first <= 10, "{first} refused while learning");
    assert!(second <= 10, "{second} refused while learning");
}
