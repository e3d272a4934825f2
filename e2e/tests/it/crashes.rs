//! Something goes wrong at any write: whenever a replica dies, and whatever the API server does to one, what is there in
//! the end is what would have been there anyway, no order that was recorded is made again, no Secret is gone or does not
//! fit at any time, and no name that is served is in none.
//!
//! A run tells a [`Story`]: an issuance from nothing, a renewal, an edit, a move of names to another Secret, a quarantine,
//! an adoption of what is there already, a take-over of what somebody else has made. One that nothing
//! disturbs shows which writes to the API server and which requests to the CA there are. Each of them is a point to
//! kill at, before the server sees it, before its answer arrives, and after; and each write one for the API server to
//! answer 409 or 500, to lose its answer or to be late with it, and for watches to be held back or ended. Here a choice
//! of these is tried; with `SANCHO_CRASHES=all` in the environment, all of them.

mod stage;
mod story;

use std::time::Instant;

use sancho_e2e::end_state::differences;
use sancho_e2e::injector::{FaultPoint, Trouble};
use stage::{MAKES_LEASE, Stage, Successor, Undisturbed};
use story::Story;

/// Every point of a run.
fn every_point(undisturbed: &Undisturbed, troubles: &[Trouble]) -> Vec<FaultPoint> {
    let mut points = Vec::new();
    for (call, count) in &undisturbed.calls {
        for nth in 1..=*count {
            let possible = troubles.iter().filter(|trouble| trouble.can_happen_to(call));
            points.extend(possible.map(|trouble| FaultPoint {
                call: call.clone(),
                nth,
                trouble: *trouble,
            }));
        }
    }
    points
}

/// One point for each call that changes something; which of the same calls it is, and what goes wrong, change
/// from call to call.
fn one_point_a_call(story: Story, undisturbed: &Undisturbed, troubles: &[Trouble]) -> Vec<FaultPoint> {
    const READS: [&str; 4] = ["CA Authorization", "CA Directory", "CA Nonce", "CA Order"];
    let calls = undisturbed
        .calls
        .iter()
        .filter(|(call, _)| !READS.contains(&call.as_str()) && *call != MAKES_LEASE)
        // The second shard's calls are those of the first, unless it is retired.
        .filter(|(call, _)| !call.contains("shop-1") || story == Story::Move);
    let mut points = Vec::new();
    for (call, count) in calls {
        let number = points.len();
        let mut turn = (0..troubles.len()).map(|turn| troubles[(number + turn) % troubles.len()]);
        // Nothing but a kill happens to a request to the CA.
        if let Some(trouble) = turn.find(|trouble| trouble.can_happen_to(call)) {
            // Slots are renewed every three seconds: how often depends on how long a run takes.
            let sure = if call == "PUT leases" {
                2.min(*count)
            } else {
                *count
            };
            points.push(FaultPoint {
                call: call.clone(),
                nth: 1 + number % sure,
                trouble,
            });
        }
    }
    points
}

/// So many of these points, evenly spread.
fn spread(points: Vec<FaultPoint>, count: usize) -> Vec<FaultPoint> {
    let all = points.len();
    let is_chosen = |index: &usize| index * count / all != (index + 1) * count / all;
    let chosen = points
        .into_iter()
        .enumerate()
        .filter(|(index, _)| is_chosen(index));
    chosen.map(|(_, point)| point).collect()
}

fn are_all_asked_for() -> bool {
    std::env::var("SANCHO_CRASHES").is_ok_and(|crashes| crashes == "all")
}

/// Has something go wrong at each point in turn. At most one in ten, and one in a short choice, may stay unreached: how
/// often a status is written depends on time.
async fn disturb_at_all(stage: &mut Stage, story: Story, points: &[FaultPoint], undisturbed: &Undisturbed) {
    let mut failed = Vec::new();
    let mut unreached = Vec::new();
    for point in points {
        let begin = Instant::now();
        let mut outcome = stage.disturbed(story, point, undisturbed).await;
        if let Ok(false) = outcome {
            outcome = stage.disturbed(story, point, undisturbed).await;
        }
        println!("{:6.1} s  {story}: {point}", begin.elapsed().as_secs_f64());
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
        "{story}: {} of {} failed:\n{}",
        failed.len(),
        points.len(),
        failed.join("\n\n")
    );
    assert!(
        unreached.len() <= 1.max(points.len() / 10),
        "{story}: never reached: {unreached:?}"
    );
}

/// Tells a story undisturbed, then with so many kills and so many faults of the API server, or with all of them, then
/// undisturbed again: the last one has left nothing behind either.
async fn tell(story: Story, kills: usize, faults: usize) {
    let mut stage = Stage::build(Successor::SamePod).await;
    let undisturbed = stage.undisturbed(story).await.unwrap();
    let points = |troubles: &[Trouble], count| match are_all_asked_for() {
        true => every_point(&undisturbed, troubles),
        false => spread(one_point_a_call(story, &undisturbed, troubles), count),
    };
    let mut points = [
        points(&Trouble::KILLS, kills),
        points(&Trouble::OF_API_SERVER, faults),
    ]
    .concat();
    points.dedup();
    assert!(points.len() >= kills, "{:?}", undisturbed.calls);
    disturb_at_all(&mut stage, story, &points, &undisturbed).await;
    let after = stage.undisturbed(story).await.unwrap();
    assert_eq!(
        differences(&undisturbed.state, &after.state),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn an_issuance_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::Issuance, 14, 8).await;
}

#[tokio::test]
async fn a_renewal_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::Renewal, 5, 6).await;
}

#[tokio::test]
async fn an_edit_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::Edit, 5, 6).await;
}

#[tokio::test]
async fn a_quarantine_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::Quarantine, 4, 4).await;
}

#[tokio::test]
async fn an_adoption_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::Adoption, 4, 4).await;
}

#[tokio::test]
async fn names_that_move_are_served_all_the_time_whatever_is_disturbed() {
    tell(Story::Move, 4, 4).await;
}

#[tokio::test]
async fn a_take_over_that_is_disturbed_ends_where_an_undisturbed_one_does() {
    tell(Story::TakeOver, 2, 3).await;
}

#[tokio::test]
async fn when_one_of_three_is_killed_the_others_end_where_an_undisturbed_run_does() {
    let mut stage = Stage::build(Successor::Others).await;
    let undisturbed = stage.undisturbed(Story::Issuance).await.unwrap();
    let mut points = one_point_a_call(Story::Issuance, &undisturbed, &Trouble::KILLS);
    if !are_all_asked_for() {
        // Each takes 20 s: nobody but time says that a pod is dead.
        points.retain(|point| point.call == "CA NewOrder" || point.call.starts_with("PUT certificateshards"));
    }
    assert!(points.len() >= 2, "{:?}", undisturbed.calls);
    disturb_at_all(&mut stage, Story::Issuance, &points, &undisturbed).await;
}
