//! `status --watch`: prints again whenever something has changed, until the named Certificate is ready.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::output::{self, Answer, Format};
use crate::span;
use crate::status::{self, Looker};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// A look that takes longer has failed.
const A_LOOK: Duration = Duration::from_secs(30);
/// So long looks may fail one after the other before it gives up: an API server that is upgraded is away for less.
const PATIENCE: Duration = Duration::from_secs(300);

/// Prints what `looker` sees. Ends when the Certificate that was named is ready.
///
/// # Errors
/// When the first look fails, or all of them for a long time, or one in a way that waiting does not mend.
pub async fn watch(looker: &mut Looker<'_>, format: Format) -> Result<()> {
    let is_terminal = stdout().is_terminal();
    let mut shown = String::new();
    let mut outage = Outage::default();
    loop {
        let answer = match look(looker).await {
            Ok(answer) => answer,
            Err(error) => {
                let is_passing = !shown.is_empty() && is_passing(&error);
                match outage.failed(is_passing, Instant::now()) {
                    Next::GiveUp => return Err(error),
                    Next::Say => {
                        let patience = SignedDuration::try_from(PATIENCE).unwrap_or(SignedDuration::MAX);
                        eprintln!("{error:#}: looking again for {}", span::text(patience));
                    }
                    Next::Wait => {}
                }
                sleep(EVERY).await;
                continue;
            }
        };
        if outage.ended() {
            eprintln!("the API server answers again");
        }
        let text = answer.text(format)?;
        if text != shown {
            if is_terminal {
                // Clears the screen and goes to its top.
                output::print("\x1b[2J\x1b[H")?;
            } else if !shown.is_empty() {
                output::print("\n")?;
            }
            output::print(&text)?;
            stdout().flush()?;
            shown = text;
        }
        if looker.is_at_one() && answer.is_fine() {
            return Ok(());
        }
        sleep(EVERY).await;
    }
}

async fn look(looker: &mut Looker<'_>) -> Result<Answer> {
    let views = timeout(A_LOOK, looker.look(Timestamp::now())).await;
    let views = views.context("the API server does not answer in time")??;
    status::answer(&views, looker.is_at_one())
}

/// May the API server answer otherwise in a while? What it says about rights and about what is not there holds.
fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<kube::Error>().is_some() || error.downcast_ref::<Elapsed>().is_some()
}

/// Since when looks have been failing, if they are.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
}

/// What to do after a look that has failed.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Say so, and look again.
    Say,
    /// Look again.
    Wait,
    /// End.
    GiveUp,
}

impl Outage {
    /// A look has failed at `now`.
    fn failed(&mut self, is_passing: bool, now: Instant) -> Next {
        match self.since {
            _ if !is_passing => Next::GiveUp,
            None => {
                self.since = Some(now);
                Next::Say
            }
            Some(since) if now.duration_since(since) < PATIENCE => Next::Wait,
            Some(_) => Next::GiveUp,
        }
    }

    /// A look was answered. Whether those before were not.
    fn ended(&mut self) -> bool {
        self.since.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_outage_is_said_once_and_borne_for_a_while() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert!(!outage.ended());
        assert_eq!(outage.failed(true, start), Next::Say);
        assert_eq!(outage.failed(true, start + PATIENCE / 2), Next::Wait);
        assert!(outage.ended());
        // Another one begins anew.
        assert_eq!(outage.failed(true, start + PATIENCE), Next::Say);
        assert_eq!(outage.failed(true, start + PATIENCE * 2), Next::GiveUp);
        assert_eq!(Outage::default().failed(false, start), Next::GiveUp);
    }

    #[tokio::test]
    async fn what_passes_is_told_apart_from_what_holds() {
        let late = timeout(Duration::ZERO, std::future::pending::<()>()).await;
        let late = late.context("the API server does not answer in time");
        assert!(is_passing(&late.unwrap_err()));
        let away = kube::Error::Service("no route".into());
        assert!(is_passing(&anyhow::Error::new(away).context("the API server")));
        assert!(!is_passing(&anyhow!("namespace default has no Certificate shop")));
    }
}
