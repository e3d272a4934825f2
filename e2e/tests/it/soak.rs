//! A short soak; `cargo soak` makes long ones.

use std::time::Duration;

use sancho_e2e::soak::{SoakOptions, soak};

#[tokio::test]
async fn certificates_that_are_edited_while_everything_fails_end_as_the_last_manifests_ask() {
    let options = SoakOptions {
        time: Duration::from_secs(45),
        round: Duration::from_secs(45),
        seed: 1,
        certificates: 3,
    };
    let outcome = soak(&options).await.unwrap();
    println!("{}", outcome.figures.table());
    assert_eq!(outcome.problems, Vec::<String>::new(), "{:?}", outcome.logs);
    assert!(outcome.figures.are_good());
}
