//! Crash at every write: whenever a replica dies, what is there in the end is what would have been there
//! anyway, and no order that was recorded is made again.
//!
//! A run begins without an account and ends with two certificates. One that nothing disturbs shows
//! which writes to the API server and which requests to the CA there are. Each of them is a point to
//! kill at, before the server sees it, before its answer arrives, and after. Here a choice of these
//! is tried; with `SANCHO_CRASHES=all` in the environment, all of them, which takes half an hour.

mod stage;

use std::time::Instant;

use sancho_e2e::crash::{CrashPoint, Moment};
use sancho_e2e::end_state::differences;
use stage::{MAKES_LEASE, Stage, Successor, Undisturbed};

/// Every point of an issuance.
fn every_point(undisturbed: &Undisturbed) -> Vec<CrashPoint> {
    let mut points = Vec::new();
    for (call, count) in &undisturbed.calls {
        for nth in 1..=*count {
            points.extend(Moment::ALL.map(|moment| CrashPoint {
                call: call.clone(),
                nth,
                moment,
            }));
        }
    }
    points
}

/// One point for each call that changes something; which of the same calls it is, and the moment, change
/// from call to call.
fn one_point_a_call(undisturbed: &Undisturbed) -> Vec<CrashPoint> {
    const READS: [&str; 4] = ["CA Authorization", "CA Directory", "CA Nonce", "CA Order"];
    let calls = undisturbed
        .calls
        .iter()
        .filter(|(call, _)| !READS.contains(&call.as_str()) && *call != MAKES_LEASE)
        // The second shard's calls are those of the first.
        .filter(|(call, _)| !call.contains("shop-1"));
    calls
        .enumerate()
        .map(|(number, (call, count))| CrashPoint {
            call: call.clone(),
            nth: 1 + number % count,
            moment: Moment::ALL[number % Moment::ALL.len()],
        })
        .collect()
}

fn are_all_asked_for() -> bool {
    std::env::var("SANCHO_CRASHES").is_ok_and(|crashes| crashes == "all")
}

/// Kills at each point in turn. At most one in ten may stay unreached: how often a status is written
/// depends on time.
async fn crash_at_all(stage: &mut Stage, points: &[CrashPoint], undisturbed: &Undisturbed) {
    let mut failed = Vec::new();
    let mut unreached = Vec::new();
    for point in points {
        let begin = Instant::now();
        let mut outcome = stage.crash(point, &undisturbed.state).await;
        if let Ok(false) = outcome {
            outcome = stage.crash(point, &undisturbed.state).await;
        }
        println!("{:6.1} s  {point}", begin.elapsed().as_secs_f64());
        match outcome {
            Ok(true) => {}
            Ok(false) => unreached.push(point.to_string()),
            Err(error) => {
                println!("{error:#}");
                failed.push(format!("{point}: {error:#}"));
            }
        }
    }
    println!("{} points, never reached: {unreached:?}", points.len());
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        points.len(),
        failed.join("\n\n")
    );
    assert!(
        unreached.len() * 10 <= points.len(),
        "never reached: {unreached:?}"
    );
}

#[tokio::test]
async fn a_pod_that_is_killed_and_restarted_ends_where_an_undisturbed_one_does() {
    let mut stage = Stage::build(Successor::SamePod).await;
    let undisturbed = stage.undisturbed().await.unwrap();
    let points = match are_all_asked_for() {
        true => every_point(&undisturbed),
        false => one_point_a_call(&undisturbed),
    };
    assert!(points.len() >= 12, "{:?}", undisturbed.calls);
    crash_at_all(&mut stage, &points, &undisturbed).await;
    // The last kill has left nothing behind either.
    let after = stage.undisturbed().await.unwrap();
    assert_eq!(
        differences(&undisturbed.state, &after.state),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn when_one_of_three_is_killed_the_others_end_where_an_undisturbed_run_does() {
    let mut stage = Stage::build(Successor::Others).await;
    let undisturbed = stage.undisturbed().await.unwrap();
    let mut points = one_point_a_call(&undisturbed);
    if !are_all_asked_for() {
        // Each takes 20 s: nobody but time says that a pod is dead.
        points.retain(|point| point.call == "CA NewOrder" || point.call.starts_with("PUT certificateshards"));
    }
    assert!(points.len() >= 2, "{:?}", undisturbed.calls);
    crash_at_all(&mut stage, &points, &undisturbed).await;
}
