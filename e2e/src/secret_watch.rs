//! The TLS Secrets of a namespace, watched through a whole run: no moment without one that was there once, none with a
//! key that is not its certificate's; and which names were in none of them for a while.
//!
//! A watch shows every version, as long as it is not begun anew; then the list that it begins with is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use crate::certificates::Leaf;
use crate::process::wait_for;

/// What is seen from the start on. Ends when dropped.
pub struct SecretWatch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    has_begun: bool,
    /// The TLS Secrets that are there.
    present: BTreeSet<String>,
    /// The certificates in them.
    served: BTreeMap<String, Served>,
    /// What Secrets served before, and is not judged yet.
    replaced: Vec<(String, Served)>,
    /// The names that were in one and then in none, and what was written when that began.
    lost: BTreeMap<String, String>,
    /// Those of a list that is not complete yet.
    listed: BTreeSet<String>,
    versions: usize,
    violations: Vec<Violation>,
}

/// What a Secret serves.
struct Served {
    names: Vec<String>,
    until: Timestamp,
}

/// Something that must not be.
struct Violation {
    secret: String,
    /// It was deleted.
    is_gone: bool,
    words: String,
}

impl SecretWatch {
    /// Watches; what is there already is the first that is judged.
    ///
    /// # Errors
    /// When the API server does not show it within a minute.
    pub async fn start(api: Api<Secret>) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                // It is begun anew after an error.
                if let Ok(event) = event {
                    lock(&shared).note(&event);
                }
            }
        });
        let watch = Self { seen, task };
        wait_for(
            "the Secrets to be seen",
            Duration::from_secs(60),
            &[],
            async || Ok(lock(&watch.seen).has_begun.then_some(())),
        )
        .await?;
        Ok(watch)
    }

    /// All that was seen and must not be, in the order of time.
    pub fn violations(&self) -> Vec<String> {
        self.violations_but_gone(|_| false)
    }

    /// The same, without Secrets that were deleted and may have been.
    pub fn violations_but_gone(&self, may_go: impl Fn(&str) -> bool) -> Vec<String> {
        let seen = lock(&self.seen);
        let violations = seen.violations.iter();
        violations
            .filter(|violation| !violation.is_gone || !may_go(&violation.secret))
            .map(|violation| violation.words.clone())
            .collect()
    }

    /// Forgets all that was seen, but for what is there now: what comes is judged on its own.
    pub fn begin_anew(&self) {
        let mut seen = lock(&self.seen);
        seen.lost.clear();
        seen.violations.clear();
    }

    /// Which of these names were in a Secret with a valid certificate and then in none, be it for a moment, and since when.
    pub fn lost(&self, names: &[String]) -> Vec<String> {
        let seen = lock(&self.seen);
        let lost = names.iter().filter_map(|name| seen.lost.get(name));
        lost.cloned().collect()
    }

    /// How many versions of TLS Secrets were seen.
    pub fn versions(&self) -> usize {
        lock(&self.seen).versions
    }
}

impl Drop for SecretWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn note(&mut self, event: &Event<Secret>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(secret) => {
                if is_tls(secret) {
                    self.listed.insert(secret.name_any());
                }
                self.judge(secret);
            }
            Event::InitDone => {
                self.has_begun = true;
                let gone: Vec<String> = self.present.difference(&self.listed).cloned().collect();
                for name in gone {
                    self.went(&name);
                }
                self.present = std::mem::take(&mut self.listed);
                self.judge_replaced();
            }
            Event::Apply(secret) => {
                if is_tls(secret) {
                    self.present.insert(secret.name_any());
                }
                self.judge(secret);
                self.judge_replaced();
            }
            Event::Delete(secret) => {
                if self.present.remove(&secret.name_any()) {
                    self.went(&secret.name_any());
                    self.judge_replaced();
                }
            }
        }
    }

    fn judge(&mut self, secret: &Secret) {
        if !is_tls(secret) {
            return;
        }
        let name = secret.name_any();
        self.versions += 1;
        match fits(secret) {
            Ok(leaf) => {
                let served = Served {
                    names: leaf.dns_names,
                    until: leaf.not_after,
                };
                let before = self.served.insert(name.clone(), served);
                self.replaced.extend(before.map(|before| (name, before)));
            }
            Err(error) => self.violated(&name, false, &format!("{error:#}")),
        }
    }

    fn went(&mut self, name: &str) {
        self.violated(name, true, "is gone");
        let before = self.served.remove(name);
        self.replaced
            .extend(before.map(|before| (name.to_owned(), before)));
    }

    /// Which names of what was replaced does no Secret serve? A list is judged as a whole.
    fn judge_replaced(&mut self) {
        let now = Timestamp::now();
        for (secret, before) in std::mem::take(&mut self.replaced) {
            // A certificate that has expired served nobody.
            let names = before.names.into_iter().filter(|_| before.until > now);
            for name in names {
                if !self.served.values().any(|served| served.names.contains(&name)) {
                    let words = format!("{now}: no Secret has {name}, as {secret} had");
                    self.lost.entry(name).or_insert(words);
                }
            }
        }
    }

    fn violated(&mut self, name: &str, is_gone: bool, what: &str) {
        self.violations.push(Violation {
            secret: name.to_owned(),
            is_gone,
            words: format!("{}: Secret {name} {what}", Timestamp::now()),
        });
    }
}

fn is_tls(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some("kubernetes.io/tls")
}

/// The certificate that a TLS Secret holds with its own key.
fn fits(secret: &Secret) -> Result<Leaf> {
    let data = secret.data.as_ref().context("holds nothing")?;
    let chain = data.get("tls.crt").context("has no tls.crt")?;
    let key = data.get("tls.key").context("has no tls.key")?;
    let leaf = Leaf::read(&chain.0).context("holds no certificate")?;
    ensure!(
        leaf.is_of_key(&key.0).context("holds no key")?,
        "holds a key that is not its certificate's"
    );
    Ok(leaf)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use kube::api::ObjectMeta;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pair() -> (String, String) {
        pair_for("www.example", 2100)
    }

    /// A certificate for this name that is valid until that year, and its key.
    fn pair_for(name: &str, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn words(seen: &Seen) -> Vec<&str> {
        let violations = seen.violations.iter();
        violations.map(|violation| violation.words.as_str()).collect()
    }

    fn lost(seen: &Seen) -> Vec<&str> {
        seen.lost.keys().map(String::as_str).collect()
    }

    fn secret(name: &str, chain: &str, key: &str) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(BTreeMap::from([
                ("tls.crt".to_owned(), bytes(chain)),
                ("tls.key".to_owned(), bytes(key)),
            ])),
            ..Secret::default()
        }
    }

    #[test]
    fn a_pair_that_fits_is_well_and_anothers_key_is_not() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let mut seen = Seen::default();
        seen.note(&Event::Apply(secret("a", &chain, &key)));
        assert!(words(&seen).is_empty());
        seen.note(&Event::Apply(secret("a", &chain, &other)));
        seen.note(&Event::Apply(secret("a", "", &other)));
        assert_eq!((seen.versions, words(&seen).len()), (3, 2));
        assert!(words(&seen)[0].ends_with("Secret a holds a key that is not its certificate's"));
    }

    #[test]
    fn a_name_is_lost_once_no_secret_has_it() {
        let ((chain, key), (other, other_key)) = (pair(), pair_for("shop.example", 2100));
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.note(&Event::Apply(secret(name, &chain, &key)));
        }
        seen.note(&Event::Apply(secret("a", &other, &other_key)));
        assert!(seen.lost.is_empty(), "b has it");
        seen.note(&Event::Delete(secret("b", &chain, &key)));
        assert_eq!(lost(&seen), ["www.example"]);
        // That it comes back does not undo it.
        seen.note(&Event::Apply(secret("a", &chain, &key)));
        assert_eq!(lost(&seen), ["shop.example", "www.example"]);
    }

    #[test]
    fn a_name_that_moved_between_two_looks_is_not_lost_and_nor_is_what_had_expired() {
        let ((chain, key), (other, other_key)) = (pair(), pair_for("shop.example", 2100));
        let mut seen = Seen::default();
        seen.note(&Event::Apply(secret("a", &chain, &key)));
        // Of a list, whichever comes first.
        seen.note(&Event::Init);
        seen.note(&Event::InitApply(secret("a", &other, &other_key)));
        seen.note(&Event::InitApply(secret("b", &chain, &key)));
        seen.note(&Event::InitDone);
        assert!(seen.lost.is_empty());
        seen.note(&Event::Init);
        seen.note(&Event::InitApply(secret("a", &other, &other_key)));
        seen.note(&Event::InitDone);
        assert_eq!(lost(&seen), ["www.example"]);

        let (old, old_key) = pair_for("www.example", 2001);
        let mut seen = Seen::default();
        seen.note(&Event::Apply(secret("a", &old, &old_key)));
        seen.note(&Event::Apply(secret("a", &other, &other_key)));
        assert!(seen.lost.is_empty());
    }

    #[test]
    fn a_secret_that_goes_is_missed_in_a_list_as_well() {
        let (chain, key) = pair();
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.note(&Event::Apply(secret(name, &chain, &key)));
        }
        seen.note(&Event::Delete(secret("a", &chain, &key)));
        assert_eq!(words(&seen).len(), 1);
        seen.note(&Event::Init);
        seen.note(&Event::InitDone);
        assert_eq!(words(&seen).len(), 2);
        assert!(words(&seen)[1].ends_with("Secret b is gone"));
        // What was never there is not missed.
        seen.note(&Event::Init);
        seen.note(&Event::InitDone);
        assert_eq!(words(&seen).len(), 2);
    }

    #[tokio::test]
    async fn what_may_go_is_no_violation_and_what_was_judged_is_not_judged_again() {
        let (chain, key) = pair();
        let watch = SecretWatch {
            seen: Arc::default(),
            task: tokio::spawn(async {}),
        };
        for name in ["a", "b"] {
            lock(&watch.seen).note(&Event::Apply(secret(name, &chain, &key)));
            lock(&watch.seen).note(&Event::Delete(secret(name, &chain, &key)));
        }
        lock(&watch.seen).note(&Event::Apply(secret("a", "", &key)));
        let violations = watch.violations_but_gone(|secret| secret == "a");
        assert_eq!(violations.len(), 2, "{violations:?}");
        assert!(violations[0].ends_with("Secret b is gone"), "{violations:?}");
        assert_eq!(watch.violations().len(), 3);
        let names = ["www.example".to_owned()];
        assert_eq!(watch.lost(&names).len(), 1);
        watch.begin_anew();
        assert!(watch.violations().is_empty() && watch.lost(&names).is_empty());
    }
}
