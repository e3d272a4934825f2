//! What all manifests of a Certificate from one judgement to the next have in common: what can be held against what was
//! seen meanwhile. Pure.

use std::collections::BTreeSet;

use super::edit::Edit;
use super::wish::{Key, Wish};

/// The manifests of one Certificate since the last judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The names that all of them have.
    dns_names: BTreeSet<String>,
    /// Something was asked for that takes certificates away.
    is_cut: bool,
    /// One of them has Secrets deleted with their shards.
    is_deleting: bool,
    /// The kind of key and whether it is kept, if all of them say the same.
    key: Option<(Key, bool)>,
}

impl Window {
    /// Begins with this manifest.
    pub fn new(wish: &Wish) -> Self {
        Window {
            dns_names: wish.dns_names.clone(),
            is_cut: !wish.is_there,
            is_deleting: wish.is_deleting,
            key: Some((wish.key, wish.is_key_kept)),
        }
    }

    /// This is the manifest after an edit.
    pub fn note(&mut self, wish: &Wish, edit: &Edit) {
        self.dns_names.retain(|name| wish.dns_names.contains(name));
        // A revoked certificate is one that is not to be used, and another secretName asks for other Secrets.
        self.is_cut |= matches!(
            edit,
            Edit::Revoke(_) | Edit::Delete | Edit::ApplyAgain | Edit::SecretName(_)
        );
        self.is_deleting |= wish.is_deleting;
        self.key = self.key.filter(|key| *key == (wish.key, wish.is_key_kept));
    }

    /// The names that had to be served all the time.
    pub fn served(&self) -> Vec<String> {
        let names = self.dns_names.iter().filter(|_| !self.is_cut);
        names.cloned().collect()
    }

    /// May Secrets have been deleted?
    pub fn is_deleting(&self) -> bool {
        self.is_deleting
    }

    /// Have later certificates in a Secret the key of earlier ones? Nothing if that changed meanwhile.
    pub fn is_key_kept(&self) -> Option<bool> {
        let key = self.key.filter(|_| !self.is_cut);
        key.map(|(_, is_kept)| is_kept)
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn wish(names: &[&str]) -> Wish {
        let mut wish = Wish::first(0, &mut Rng::with_seed(1));
        wish.dns_names = names.iter().map(|name| (*name).to_owned()).collect();
        wish
    }

    #[test]
    fn names_that_every_manifest_has_are_served_unless_a_certificate_was_taken_away() {
        let mut window = Window::new(&wish(&["a", "b", "c"]));
        window.note(&wish(&["b", "c", "d"]), &Edit::AddNames(1));
        // Back, and not served all the time.
        window.note(&wish(&["a", "b", "c"]), &Edit::AddNames(1));
        assert_eq!(window.served(), ["b", "c"]);
        for edit in [
            Edit::Revoke("superseded"),
            Edit::Delete,
            Edit::SecretName("x".into()),
        ] {
            let mut cut = window.clone();
            cut.note(&wish(&["a", "b", "c"]), &edit);
            assert!(cut.served().is_empty() && cut.is_key_kept().is_none(), "{edit}");
        }
        let mut gone = wish(&["a"]);
        gone.is_there = false;
        assert!(Window::new(&gone).served().is_empty());
    }

    #[test]
    fn a_policy_that_was_there_once_counts_and_one_that_changed_is_none() {
        let mut wish = wish(&["a"]);
        let mut window = Window::new(&wish);
        assert!(!window.is_deleting());
        assert_eq!(window.is_key_kept(), Some(false));
        wish.is_deleting = true;
        window.note(&wish, &Edit::Deletion(true));
        wish.is_deleting = false;
        window.note(&wish, &Edit::Deletion(false));
        assert!(window.is_deleting());
        wish.is_key_kept = true;
        window.note(&wish, &Edit::Rotation(true));
        wish.is_key_kept = false;
        window.note(&wish, &Edit::Rotation(false));
        assert_eq!(window.is_key_kept(), None);
        wish.is_key_kept = true;
        assert_eq!(Window::new(&wish).is_key_kept(), Some(true));
    }
}
