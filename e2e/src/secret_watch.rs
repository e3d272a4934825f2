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
    /// The names of the certificates in them.
    served: BTreeMap<String, Vec<String>>,
    /// The names that were in one and then in none, and what was written when that began.
    lost: BTreeMap<String, String>,
    /// Those of a list that is not complete yet.
    listed: BTreeSet<String>,
    versions: usize,
    violations: Vec<String>,
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
        lock(&self.seen).violations.clone()
    }

    /// Which of these names were in a Secret and then in none, be it for a moment, and since when.
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
                    self.violated(&name, "is gone");
                    self.serves(&name, Vec::new());
                }
                self.present = std::mem::take(&mut self.listed);
            }
            Event::Apply(secret) => {
                if is_tls(secret) {
                    self.present.insert(secret.name_any());
                }
                self.judge(secret);
            }
            Event::Delete(secret) => {
                if self.present.remove(&secret.name_any()) {
                    self.violated(&secret.name_any(), "is gone");
                    self.serves(&secret.name_any(), Vec::new());
                }
            }
        }
    }

    fn judge(&mut self, secret: &Secret) {
        if !is_tls(secret) {
            return;
        }
        self.versions += 1;
        match fits(secret) {
            Ok(leaf) => self.serves(&secret.name_any(), leaf.dns_names),
            Err(error) => self.violated(&secret.name_any(), &format!("{error:#}")),
        }
    }

    /// From now on the Secret serves these names.
    fn serves(&mut self, secret: &str, names: Vec<String>) {
        let before = self.served.insert(secret.to_owned(), names).unwrap_or_default();
        for name in before {
            if !self.served.values().any(|names| names.contains(&name)) {
                let words = format!("{}: no Secret has {name}, as {secret} had", Timestamp::now());
                self.lost.entry(name).or_insert(words);
            }
        }
    }

    fn violated(&mut self, name: &str, what: &str) {
        self.violations
            .push(format!("{}: Secret {name} {what}", Timestamp::now()));
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

    use super::*;

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["www.example".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
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
        assert_eq!(seen.violations, Vec::<String>::new());
        seen.note(&Event::Apply(secret("a", &chain, &other)));
        seen.note(&Event::Apply(secret("a", "", &other)));
        assert_eq!(
            (seen.versions, seen.violations.len()),
            (3, 2),
            "{:?}",
            seen.violations
        );
        assert!(seen.violations[0].ends_with("Secret a holds a key that is not its certificate's"));
    }

    #[test]
    fn a_name_is_lost_once_no_secret_has_it() {
        let ((chain, key), (other, other_key)) = (pair(), {
            let pair = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
            (pair.cert.pem(), pair.signing_key.serialize_pem())
        });
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.note(&Event::Apply(secret(name, &chain, &key)));
        }
        seen.note(&Event::Apply(secret("a", &other, &other_key)));
        assert!(seen.lost.is_empty(), "b has it");
        seen.note(&Event::Delete(secret("b", &chain, &key)));
        assert_eq!(seen.lost.keys().collect::<Vec<_>>(), ["www.example"]);
        // That it comes back does not undo it.
        seen.note(&Event::Apply(secret("a", &chain, &key)));
        assert_eq!(
            seen.lost.keys().collect::<Vec<_>>(),
            ["shop.example", "www.example"]
        );
    }

    #[test]
    fn a_secret_that_goes_is_missed_in_a_list_as_well() {
        let (chain, key) = pair();
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.note(&Event::Apply(secret(name, &chain, &key)));
        }
        seen.note(&Event::Delete(secret("a", &chain, &key)));
        assert_eq!(seen.violations.len(), 1);
        seen.note(&Event::Init);
        seen.note(&Event::InitDone);
        assert_eq!(seen.violations.len(), 2, "{:?}", seen.violations);
        assert!(seen.violations[1].ends_with("Secret b is gone"));
        // What was never there is not missed.
        seen.note(&Event::Init);
        seen.note(&Event::InitDone);
        assert_eq!(seen.violations.len(), 2);
    }
}
