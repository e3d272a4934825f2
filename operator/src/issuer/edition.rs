//! Under which edition of an issuer something was tried: a later one ends waits. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use sancho_crds::{QuarantinedName, ShardFailure};

use crate::clock;

/// An edition of an issuer, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edition {
    /// When the issuer was created: one that is deleted and made anew begins with generation 1 again.
    pub(crate) created: Option<Timestamp>,
    /// Its `metadata.generation`.
    pub(crate) generation: Option<i64>,
}

impl Edition {
    /// The present one of an issuer with this metadata.
    #[must_use]
    pub fn of(issuer: &ObjectMeta) -> Self {
        Self {
            created: issuer.creation_timestamp.as_ref().map(|at| at.0),
            generation: issuer.generation,
        }
    }

    /// The one that an attempt failed under; unknown if the issuer has nothing to do with it.
    #[must_use]
    pub fn of_failure(failure: &ShardFailure) -> Self {
        Self::recorded(failure.issuer_created.as_ref(), failure.issuer_generation)
    }

    /// The one that a name was tried under.
    #[must_use]
    pub fn of_name(entry: &QuarantinedName) -> Self {
        Self::recorded(entry.issuer_created.as_ref(), entry.issuer_generation)
    }

    fn recorded(created: Option<&Time>, generation: Option<i64>) -> Self {
        Self {
            created: created.map(|at| at.0),
            generation,
        }
    }

    /// As `issuerCreated` and `issuerGeneration` record it.
    #[must_use]
    pub fn to_record(self) -> (Option<Time>, Option<i64>) {
        (self.created.map(clock::time), self.generation)
    }

    /// Was the issuer edited or made anew between this edition and `present`? Not if `present` is the older one: then this
    /// replica has not seen yet what another one has, and is not to try again by what is over.
    #[must_use]
    pub fn is_before(self, present: Self) -> bool {
        let (Some(generation), Some(present_generation)) = (self.generation, present.generation) else {
            return false;
        };
        match (self.created, present.created) {
            (Some(created), Some(present_created)) if created != present_created => created < present_created,
            // The same issuer, or recorded by a version that did not note it.
            _ => generation < present_generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(created: Option<i64>, generation: i64) -> Edition {
        Edition {
            created: created.map(|second| Timestamp::from_second(second).unwrap()),
            generation: Some(generation),
        }
    }

    #[test]
    fn an_issuer_that_was_edited_or_made_anew_is_a_later_edition() {
        let tried = edition(Some(100), 3);
        for (present, is_later) in [
            (edition(Some(100), 3), false),
            (edition(Some(100), 4), true),
            // Made anew.
            (edition(Some(200), 1), true),
            (edition(Some(200), 3), true),
            // This replica is behind.
            (edition(Some(100), 2), false),
            (edition(Some(50), 7), false),
            // It is not known.
            (Edition::default(), false),
        ] {
            assert_eq!(tried.is_before(present), is_later, "{present:?}");
        }
        assert!(!Edition::default().is_before(tried));
    }

    #[test]
    fn what_an_older_version_has_recorded_is_told_by_its_generation() {
        let tried = edition(None, 3);
        assert!(tried.is_before(edition(Some(100), 4)));
        assert!(!tried.is_before(edition(Some(100), 3)));
        assert!(!tried.is_before(edition(Some(100), 1)));
    }

    #[test]
    fn it_is_read_from_an_issuer_and_recorded() {
        let at = Timestamp::from_second(100).unwrap();
        let meta = ObjectMeta {
            creation_timestamp: Some(Time(at)),
            generation: Some(3),
            ..ObjectMeta::default()
        };
        let present = Edition::of(&meta);
        assert_eq!(present, edition(Some(100), 3));
        assert_eq!(present.to_record(), (Some(Time(at)), Some(3)));
    }
}
