//! README and docs say what is so: links lead somewhere, manifests are accepted, commands run, and the reasons, rights,
//! alerts and metrics that they list are those that there are.

mod commands;
mod ground;
mod links;
mod manifests;
mod namespaces;
pub mod pages;
mod plugin;
mod words;

use ground::Ground;

#[tokio::test]
async fn every_manifest_is_accepted_and_every_command_runs() {
    let ground = Ground::installed().await;
    let pages = pages::pages();
    let mut wrong = manifests::tried(&ground, &pages).await;
    ground.furnish().await;
    wrong.extend(commands::run(&ground, &pages).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
