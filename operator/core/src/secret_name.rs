//! The names of the Secrets that a Certificate's shards write.

/// The Secret of one shard of a Certificate whose `secretName` is `base`.
///
/// Ungrouped: shard 0 writes `base`, shard *i* `base-i`. In a group: shard 0 writes `base-group`,
/// shard *i* `base-group-i`. So Git can name every Secret ahead of time.
pub fn secret_name(base: &str, group: Option<&str>, index: u32) -> String {
    match (group, index) {
        (None, 0) => base.to_owned(),
        (None, i) => format!("{base}-{i}"),
        (Some(group), 0) => format!("{base}-{group}"),
        (Some(group), i) => format!("{base}-{group}-{i}"),
    }
}

/// Two parts of one Certificate that would, now or once they have grown, write the same Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group \"{group}\" and {other} would write the same Secret <secretName>-{group}: rename the group")]
pub struct SecretClash {
    /// The group to rename.
    pub group: String,
    /// The other part, in words.
    pub other: String,
}

/// Finds groups of one Certificate whose Secrets' names could be those of another of its parts: a
/// group that is called like a shard's number, or like another group's later shard.
///
/// It looks at all shards that there may ever be, so that a Certificate is refused when it is
/// written and not on the day when it grows.
pub fn secret_clash<'a>(groups: impl IntoIterator<Item = &'a str> + Clone) -> Option<SecretClash> {
    for group in groups.clone() {
        if is_later_index(group) {
            return Some(SecretClash {
                group: group.to_owned(),
                other: format!("shard {group}"),
            });
        }
        let Some((front, index)) = group.rsplit_once('-') else {
            continue;
        };
        if is_later_index(index) && groups.clone().into_iter().any(|other| other == front) {
            let other = format!("shard {index} of group \"{front}\"");
            return Some(SecretClash {
                group: group.to_owned(),
                other,
            });
        }
    }
    None
}

/// Is it the number of a shard after the first, as [`secret_name`] writes it?
fn is_later_index(text: &str) -> bool {
    text.parse::<u32>()
        .is_ok_and(|index| index > 0 && index.to_string() == text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_assume, proptest};

    use super::*;

    /// As the API server lets `spec.secretName` and a group's name be.
    const SECRET_NAME: &str = "[a-z0-9]([a-z0-9.-]{0,178}[a-z0-9])?";
    const GROUP: &str = "[a-z]([a-z0-9-]{0,38}[a-z0-9])?";

    #[test]
    fn every_secret_can_be_named_ahead_of_time() {
        assert_eq!(secret_name("web", None, 0), "web");
        assert_eq!(secret_name("web", None, 3), "web-3");
        assert_eq!(secret_name("web", Some("eu"), 0), "web-eu");
        assert_eq!(secret_name("web", Some("eu"), 2), "web-eu-2");
    }

    #[test]
    fn a_group_called_like_a_shard_is_refused() {
        let clash = secret_clash(["eu", "1"]).unwrap();
        assert_eq!(
            clash.to_string(),
            "group \"1\" and shard 1 would write the same Secret <secretName>-1: rename the group"
        );
    }

    #[test]
    fn a_group_called_like_a_shard_of_another_group_is_refused() {
        assert_eq!(
            secret_clash(["eu", "eu-2"]).unwrap().other,
            "shard 2 of group \"eu\""
        );
    }

    #[test]
    fn groups_that_only_look_alike_are_fine() {
        assert_eq!(secret_clash(["eu", "us-1", "0", "01", "eu-0", "eu-x"]), None);
    }

    proptest! {
        #[test]
        fn a_secrets_name_is_never_longer_than_kubernetes_takes(
            base in SECRET_NAME, group in prop::option::of(GROUP), index in any::<u32>(),
        ) {
            let name = secret_name(&base, group.as_deref(), index);
            prop_assert!(name.len() <= 253, "{} characters", name.len());
            prop_assert!(name.starts_with(&base) && !name.ends_with('-'));
        }

        #[test]
        fn groups_that_do_not_clash_never_write_one_secret(
            groups in prop::collection::btree_set("[a-c0-2]{1,2}(-[a0-2]{1,2}){0,2}", 0..6),
        ) {
            prop_assume!(secret_clash(groups.iter().map(String::as_str)).is_none());
            let parts = groups.iter().map(|group| Some(group.as_str())).chain([None]);
            let shards: Vec<_> = parts.flat_map(|group| (0..25).map(move |index| (group, index))).collect();
            let names: BTreeSet<String> =
                shards.iter().map(|(group, index)| secret_name("web", *group, *index)).collect();
            prop_assert_eq!(names.len(), shards.len());
        }
    }
}
