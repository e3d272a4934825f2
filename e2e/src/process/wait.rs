//! Waiting for a condition, with what the processes said when it does not come.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::{POLL, Process};

/// Waits until `check` answers `Ok(Some(value))`, and gives the value. `Ok(None)` and `Err` mean
/// not yet; the last error is told when the time is over.
///
/// # Errors
///
/// When `timeout` has passed, or at once when one of `processes` has ended: with the tails of
/// their logs.
pub async fn wait_for<T>(
    what: &str,
    timeout: Duration,
    processes: &[&Process],
    mut check: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        let error = match tokio::time::timeout(left.max(POLL), check()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(anyhow!("the last look at it did not return")),
        };
        let ended = processes
            .iter()
            .find_map(|process| Some((process, process.exit_status()?)));
        if ended.is_none() && start.elapsed() < timeout {
            tokio::time::sleep(POLL).await;
            continue;
        }
        let mut message = match ended {
            Some((process, status)) => format!("{} ended ({status}) while waiting for {what}", process.name),
            None => format!("after {timeout:?} still waiting for {what}"),
        };
        if let Some(error) = error {
            message.push_str(&format!("\nlast error: {error:#}"));
        }
        for process in processes {
            message.push_str(&format!(
                "\n--- the end of {} ---\n{}",
                process.log.display(),
                process.log_tail(20)
            ));
        }
        bail!(message);
    }
}
