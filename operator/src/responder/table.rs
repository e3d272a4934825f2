//! What HTTP-01 questions are answered with, as far as this replica has heard.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sancho_core::challenge::Token;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// How long an unknown question waits for this replica's watch to catch up with another's write. A machine that has
/// hundreds of orders under way lags by seconds; CAs wait for about ten.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an order waits for this replica's watch to show what was recorded for it. Then it goes on all the same.
const LAG: Duration = Duration::from_secs(20);

/// How many unknown questions wait at once. Others are refused right away, so that nobody can fill
/// the memory by asking.
const MOST_WAITING: usize = 1024;

/// A question that may be asked, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The DNS name that is validated.
    pub host: String,
    /// The challenge's token.
    pub token: Token,
    /// The answer (RFC 8555 §8.1).
    pub key_authorization: String,
}

/// The answers of all shards. Cheap to clone; clones are the same table.
///
/// Guarantees: a question is answered only while some shard has it, host included.
#[derive(Clone)]
pub struct ChallengeTable {
    shared: Arc<Shared>,
}

struct Shared {
    entries: RwLock<Entries>,
    changed: watch::Sender<()>,
    waiting: Semaphore,
}

#[derive(Default)]
struct Entries {
    shards: HashMap<String, Vec<Challenge>>,
    /// By question, then by shard: two shards can share a name, and an authorization.
    answers: HashMap<Question, BTreeMap<String, String>>,
}

type Question = (String, String);

impl Default for ChallengeTable {
    fn default() -> Self {
        ChallengeTable {
            shared: Arc::new(Shared {
                entries: RwLock::default(),
                changed: watch::Sender::new(()),
                waiting: Semaphore::new(MOST_WAITING),
            }),
        }
    }
}

impl ChallengeTable {
    /// From now on the shard with this UID has these challenges, and no others.
    pub fn set(&self, shard_uid: &str, challenges: Vec<Challenge>) {
        let changed = {
            let mut entries = self
                .shared
                .entries
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            entries.set(shard_uid, challenges)
        };
        if changed {
            self.shared.changed.send_replace(());
        }
    }

    /// The shard with this UID has no challenges any more.
    pub fn remove(&self, shard_uid: &str) {
        self.set(shard_uid, Vec::new());
    }

    /// Has no shard a challenge?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let entries = self.shared.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.shards.is_empty()
    }

    /// Only the shards whose UID `keep` accepts have challenges any more.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut entries = self
            .shared
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = entries.shards.keys().filter(|uid| !keep(uid)).cloned().collect();
        for uid in gone {
            entries.set(&uid, Vec::new());
        }
    }

    /// The answer to the question for `token` at `host` (lower case, no port). Waits a little for
    /// one that is not known yet.
    pub async fn answer(&self, host: &str, token: &Token) -> Option<String> {
        let question = (host.to_owned(), token.as_str().to_owned());
        if let Some(answer) = self.known(&question) {
            return Some(answer);
        }
        let _waiting = self.shared.waiting.try_acquire().ok()?;
        self.known_within(&question, PATIENCE).await
    }

    /// Waits until the question for `token` at `host` could be answered here, for [`LAG`] at most: what this replica's
    /// watch has not shown yet, those of the others have not either, most likely. Whoever is to ask waits for that first:
    /// a slow API server makes orders slow then, and does not make them fail.
    pub async fn heard(&self, host: &str, token: &Token) {
        let question = (host.to_owned(), token.as_str().to_owned());
        self.known_within(&question, LAG).await;
    }

    async fn known_within(&self, question: &Question, patience: Duration) -> Option<String> {
        // Subscribed before the first look, so that no change falls between the two.
        let mut changes = self.shared.changed.subscribe();
        if let Some(answer) = self.known(question) {
            return Some(answer);
        }
        let deadline = Instant::now() + patience;
        loop {
            let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
            if let Some(answer) = self.known(question) {
                return Some(answer);
            }
            if !matches!(changed, Ok(Ok(()))) {
                return None;
            }
        }
    }

    fn known(&self, question: &Question) -> Option<String> {
        let entries = self.shared.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.answers.get(question)?.values().next().cloned()
    }
}

impl Entries {
    /// Whether anything is different now.
    fn set(&mut self, shard_uid: &str, challenges: Vec<Challenge>) -> bool {
        let before = self.shards.remove(shard_uid).unwrap_or_default();
        let changed = before != challenges;
        if changed {
            for challenge in &before {
                self.forget(shard_uid, challenge);
            }
            for challenge in &challenges {
                let answers = self.answers.entry(challenge.question()).or_default();
                answers.insert(shard_uid.to_owned(), challenge.key_authorization.clone());
            }
        }
        if !challenges.is_empty() {
            self.shards.insert(shard_uid.to_owned(), challenges);
        }
        changed
    }

    fn forget(&mut self, shard_uid: &str, challenge: &Challenge) {
        let question = challenge.question();
        if let Some(answers) = self.answers.get_mut(&question) {
            answers.remove(shard_uid);
            if answers.is_empty() {
                self.answers.remove(&question);
            }
        }
    }
}

impl Challenge {
    fn question(&self) -> Question {
        (self.host.to_ascii_lowercase(), self.token.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    fn challenge(host: &str, answer: &str) -> Challenge {
        Challenge {
            host: host.to_owned(),
            token: Token::parse(TOKEN).unwrap(),
            key_authorization: answer.to_owned(),
        }
    }

    async fn answer(table: &ChallengeTable, host: &str) -> Option<String> {
        table.answer(host, &Token::parse(TOKEN).unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_question_is_answered_at_once_and_only_for_its_host() {
        let table = ChallengeTable::default();
        table.set("one", vec![challenge("A.example", "yes")]);
        let begin = Instant::now();
        assert_eq!(answer(&table, "a.example").await.as_deref(), Some("yes"));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(answer(&table, "b.example").await, None);
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_for_the_watch_to_catch_up() {
        let table = ChallengeTable::default();
        let watch = async {
            tokio::time::sleep(PATIENCE / 2).await;
            table.set("other", vec![challenge("b.example", "no")]);
            tokio::time::sleep(PATIENCE / 2).await;
            table.set("one", vec![challenge("a.example", "yes")]);
        };
        let begin = Instant::now();
        let (answer, ()) = tokio::join!(answer(&table, "a.example"), watch);
        assert_eq!(answer.as_deref(), Some("yes"));
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_until_its_token_is_heard_of_and_not_for_ever() {
        let table = ChallengeTable::default();
        let asked = challenge("a.example", "yes");
        let begin = Instant::now();
        table.heard(&asked.host, &asked.token).await;
        assert_eq!(begin.elapsed(), LAG);

        let begin = Instant::now();
        let watch = async {
            tokio::time::sleep(LAG / 2).await;
            table.set("one", vec![asked.clone()]);
        };
        tokio::join!(table.heard(&asked.host, &asked.token), watch);
        assert_eq!(begin.elapsed(), LAG / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_shard_no_longer_has_is_no_longer_answered() {
        let table = ChallengeTable::default();
        table.set(
            "one",
            vec![challenge("a.example", "yes"), challenge("b.example", "yes")],
        );
        table.set("one", vec![challenge("b.example", "yes")]);
        assert_eq!(answer(&table, "a.example").await, None);
        assert_eq!(answer(&table, "b.example").await.as_deref(), Some("yes"));
        table.remove("one");
        assert_eq!(answer(&table, "b.example").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_two_shards_share_stays_until_both_are_done() {
        let table = ChallengeTable::default();
        table.set("one", vec![challenge("a.example", "yes")]);
        table.set("two", vec![challenge("a.example", "yes")]);
        table.remove("one");
        assert_eq!(answer(&table, "a.example").await.as_deref(), Some("yes"));
        table.remove("two");
        assert_eq!(answer(&table, "a.example").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_unknown_questions_wait_and_known_ones_are_still_answered() {
        let table = ChallengeTable::default();
        table.set("one", vec![challenge("a.example", "yes")]);
        let asked: Vec<_> = (0..MOST_WAITING)
            .map(|_| {
                let table = table.clone();
                tokio::spawn(async move { answer(&table, "unknown.example").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let begin = Instant::now();
        assert_eq!(answer(&table, "unknown.example").await, None);
        assert_eq!(answer(&table, "a.example").await.as_deref(), Some("yes"));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for question in asked {
            assert_eq!(question.await.unwrap(), None);
        }
    }
}
