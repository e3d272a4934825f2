//! Who is not seen to have a record, in words.

use std::time::Duration;

/// So many of those who lack a record are told of.
const TOLD: usize = 3;

/// Who is not seen to have a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Which servers, and what each of them lacks, in words.
    pub words: String,
    /// Whether all of them have it by UDP.
    pub is_of_tcp: bool,
    /// How long one of them may say so although the record is there by now.
    pub kept: Duration,
}

impl Lack {
    /// What is said of somebody, who is told of by [`Self::of`].
    pub(in crate::solvers::dns01) fn new(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            is_of_tcp: false,
            kept: Duration::ZERO,
        }
    }

    /// The same of the one whom `word` names.
    pub(super) fn of(&self, word: &str) -> Self {
        Self {
            words: format!("{word} {}", self.words),
            ..self.clone()
        }
    }

    /// What all of these together come to, of whom the first few are told; nothing if there is none.
    pub(super) fn together(lacks: &[Self]) -> Option<Self> {
        let kept = lacks.iter().map(|lack| lack.kept).max()?;
        let words: Vec<String> = lacks.iter().map(|lack| lack.words.clone()).collect();
        Some(Self {
            words: few(&words),
            is_of_tcp: lacks.iter().all(|lack| lack.is_of_tcp),
            kept,
        })
    }

    /// How long it is waited for, where servers that keep nothing get so long.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Duration {
        timeout + self.kept
    }

    /// What can be done about it, if it lasts.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self.is_of_tcp {
            true => {
                "CAs may ask by TCP, which every DNS server has to take (RFC 7766): let TCP in at port 53 there, and out of \
                 the cluster, or have UDP do with --dns01-propagation-without-tcp"
            }
            false => {
                "check that they get the zone from its primary, or look at recursive servers alone with \
                 --dns01-recursive-nameservers-only"
            }
        }
    }
}

/// The first of these, and how many more there are.
pub(in crate::solvers::dns01) fn few(words: &[String]) -> String {
    let told = words[..words.len().min(TOLD)].join(", ");
    match words.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_few_are_told() {
        let lack = |number: u64| Lack {
            is_of_tcp: number > 0,
            kept: Duration::from_secs(number),
            ..Lack::new("lacks the record").of(&format!("ns{number}"))
        };
        let all: Vec<Lack> = (0..5).map(lack).collect();
        let expected = Lack {
            words: "ns0 lacks the record, ns1 lacks the record, ns2 lacks the record and 2 more".into(),
            is_of_tcp: false,
            kept: Duration::from_secs(4),
        };
        assert_eq!(Lack::together(&all), Some(expected));
        assert_eq!(Lack::together(&all[1..2]), Some(all[1].clone()));
        assert_eq!(Lack::together(&[]), None);
    }
}
