//! What is wrong with an installation, and the next step for each finding.
//!
//! `survey (asks the API server) -> Facts -> checks (pure) -> findings -> text`

mod checks;
mod deployed;
mod rights;
mod schema;
mod survey;

use serde::Serialize;

pub use self::checks::findings;
pub use self::survey::survey;
use crate::output::coloured;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Weight {
    /// Something does not work.
    Broken,
    /// Something could not be looked at, or is about to go wrong.
    Doubtful,
    /// All is well there.
    Fine,
}

/// What a check has found.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What was looked at.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

impl Finding {
    fn fine(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            weight: Weight::Fine,
            about: about.into(),
            found: found.into(),
            next_step: None,
        }
    }

    fn trouble(
        weight: Weight,
        about: impl Into<String>,
        found: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self {
            weight,
            about: about.into(),
            found: found.into(),
            next_step: Some(next_step.into()),
        }
    }
}

/// A line for each finding, and one for its next step.
pub fn text(findings: &[Finding]) -> String {
    let paragraph = |finding: &Finding| {
        let word = match finding.weight {
            Weight::Broken => coloured("broken  ", false),
            Weight::Doubtful => "doubtful".to_owned(),
            Weight::Fine => coloured("fine    ", true),
        };
        let step = finding
            .next_step
            .as_ref()
            .map_or_else(String::new, |step| format!("          -> {step}\n"));
        format!("{word}  {}: {}\n{step}", finding.about, finding.found)
    };
    findings.iter().map(paragraph).collect()
}
