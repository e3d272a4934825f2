//! The world's parts find each other.

use std::time::Duration;

use sancho_e2e::process::wait_for;
use sancho_e2e::world::{World, WorldOptions};

#[tokio::test]
async fn replicas_are_ready_under_the_installed_service_account_and_restart_as_the_same_pod() {
    let mut world = World::start(WorldOptions {
        replicas: 2,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    assert_eq!(world.cluster.kubectl(&["get", "scert", "-A"]).await.unwrap(), "");
    let first = &mut world.replicas[0];
    let (name, pid) = (first.name().to_owned(), first.process().pid());
    assert_eq!(name, "sancho-0");
    first.process().kill();
    first.restart().await.unwrap();
    first.ready().await.unwrap();
    assert_ne!(first.process().pid(), pid);

    let second = world.replica("sancho-1").unwrap();
    second.process().terminate().unwrap();
    let status = second.process().wait_exit(Duration::from_secs(10)).await.unwrap();
    assert!(status.success(), "{status}\n{}", second.process().log_tail(20));

    // The router passes over it.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!(
        "http://{}/.well-known/acme-challenge/unknown",
        world.router.address()
    );
    for _ in 0..2 {
        wait_for(
            "an answer through the router",
            Duration::from_secs(20),
            &[],
            async || {
                let answer = client.get(&url).header("Host", "shop.example").send().await?;
                Ok((answer.status() == 404).then_some(()))
            },
        )
        .await
        .unwrap();
    }
}
