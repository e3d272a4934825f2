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
    /// Names move into a group, from a shard that goes on and from one that is retired. Secrets go with their shards.
    Move,
    /// The Certificate is deleted with its shards, and applied again.
    Adoption,
    /// Secrets that somebody else made become the Certificate's, as an annotation asks for.
    TakeOver,
}

/// What a user does, or what happens to their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Applies the issuer and the Certificate with these names.
    Apply(&'static [u32]),
    /// The same with names 1 to 3, these of them in a group, and Secrets that are deleted with their shards.
    Group(&'static [u32]),
    /// The same with these names, and the annotation by which Secrets are adopted.
    Adopt(&'static [u32]),
    /// Asks for a renewal by the annotation.
    Renew,
    /// Deletes the Certificate; its shards are collected.
    Delete,
    /// The Secrets lose all that says whose they are, as if somebody else had made them.
    Disown,
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
            Story::Move => &[Step::Group(&[])],
            Story::TakeOver => &[Step::Apply(&[1, 2, 3]), Step::Delete, Step::Disown],
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
            Story::Move => &[Step::Group(&[2, 3])],
            Story::Adoption => &[Step::Delete, Step::Apply(&[1, 2, 3])],
            Story::TakeOver => &[Step::Adopt(&[1, 2, 3])],
        }
    }

    /// The names that are served all the time, once they are.
    pub fn served(self) -> &'static [u32] {
        match self {
            Story::Issuance | Story::Renewal | Story::Move | Story::Adoption | Story::TakeOver => &[1, 2, 3],
            Story::Edit => &[2, 3],
            Story::Quarantine => &[1, 3],
        }
    }

    /// The Secret that is deleted with its shard, if there is one.
    pub fn deleted(self) -> Option<&'static str> {
        (self == Story::Move).then_some("shop-tls-1")
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Story::Issuance => "issuance",
            Story::Renewal => "renewal",
            Story::Edit => "edit",
            Story::Quarantine => "quarantine",
            Story::Move => "move",
            Story::Adoption => "adoption",
            Story::TakeOver => "take-over",
        })
    }
}
