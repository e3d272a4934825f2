//! What happens to a Certificate in a run, step by step, as a user brings it about.

use std::fmt;

/// The name that the story of a quarantine is about.
pub const BAD: u32 = 2;

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// From an issuer without an account to two certificates.
    Issuance,
    /// What is valid is renewed by hand.
    Renewal,
    /// A name comes and another goes.
    Edit,
    /// A name cannot be validated; it is taken out, mended and put in again.
    Quarantine,
    /// The Certificate is deleted with its shards, and applied again.
    Adoption,
}

/// What a user does, or what happens to their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Applies the issuer and the Certificate with these names.
    Apply(&'static [u32]),
    /// Asks for a renewal by the annotation.
    Renew,
    /// Deletes the Certificate; its shards are collected.
    Delete,
    /// Name [`BAD`] cannot be found any more.
    Break,
    /// It can be found again.
    Mend,
}

impl Story {
    /// What has come to rest before the run begins.
    pub fn prologue(self) -> &'static [Step] {
        match self {
            Story::Issuance => &[],
            Story::Quarantine => &[Step::Break],
            Story::Renewal | Story::Edit | Story::Adoption => &[Step::Apply(&[1, 2, 3])],
        }
    }

    /// The run itself. Each step is settled before the next one is taken.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Story::Issuance => &[Step::Apply(&[1, 2, 3])],
            Story::Renewal => &[Step::Renew],
            Story::Edit => &[Step::Apply(&[2, 3, 4])],
            Story::Quarantine => &[
                Step::Apply(&[1, BAD, 3]),
                Step::Apply(&[1, 3]),
                Step::Mend,
                Step::Apply(&[1, BAD, 3]),
            ],
            Story::Adoption => &[Step::Delete, Step::Apply(&[1, 2, 3])],
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Story::Issuance => "issuance",
            Story::Renewal => "renewal",
            Story::Edit => "edit",
            Story::Quarantine => "quarantine",
            Story::Adoption => "adoption",
        })
    }
}
