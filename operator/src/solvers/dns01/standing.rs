//! Which standing record (dns-persist-01) is to be created, as a finding says it; and where it is to stand, as that can be read
//! from the finding again. Pure: record ↔ words.

use sancho_core::shown::shown_within;
use sancho_core::standing::StandingRecord;

/// The most characters that are said: a record that is to be created is not to be cut.
const MOST_WORDS: usize = 640;

/// How each finding begins.
const CREATE: &str = "create the TXT record ";
/// What stands before the place of a record that is too long to be told.
const AT: &str = "at ";
/// What stands behind that.
const AS: &str = ", as ";
/// What stands before the name that has a CNAME.
const CNAME: &str = "the CNAME at ";
/// What stands behind that.
const LEADS: &str = " leads there";

/// That `record` is to be created, since `why`. `due`: where it would stand if no CNAME led elsewhere.
pub(super) fn words(record: &StandingRecord, due: &str, why: &str) -> String {
    let why = match record.name == due {
        true => why.to_owned(),
        false => format!("{CNAME}{due}{LEADS}; {why}"),
    };
    let whole = format!("{CREATE}{record} ({why})");
    let words = match whole.chars().count() <= MOST_WORDS {
        true => whole,
        false => format!(
            "{CREATE}{AT}{}{AS}`kubectl sancho dns-records` prints it ({why})",
            record.name
        ),
    };
    shown_within(&words, MOST_WORDS)
}

/// Where the record is to stand that would stand at `due` if no CNAME led elsewhere, as a finding has it. Nothing if the finding
/// does not say it.
#[must_use]
pub fn standing_place<'a>(finding: &'a str, due: &str) -> Option<&'a str> {
    // No name has a blank, nor has a record one before a bracket. What stands behind these is somebody else's, in part.
    let (record, why) = finding.strip_prefix(CREATE)?.split_once(" (")?;
    let (place, _) = match record.strip_prefix(AT) {
        Some(rest) => rest.split_once(AS)?,
        None => record.split_once(". ")?,
    };
    let cname = why.strip_prefix(CNAME).and_then(|rest| rest.split_once(LEADS));
    let told = cname.map_or(place, |(name, _)| name);
    (told == due).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: &str = "_validation-persist.shop.example";
    const TARGET: &str = "shop.standing.example";

    fn record(place: &str, account: &str) -> StandingRecord {
        StandingRecord {
            name: place.into(),
            value: format!("ca.example; accounturi={account}; policy=wildcard"),
        }
    }

    #[test]
    fn the_place_is_read_from_what_is_said() {
        let long = format!("https://ca.example/{}", "a".repeat(700));
        for account in ["https://ca.example/(1)", long.as_str()] {
            for place in [DUE, TARGET] {
                let said = words(&record(place, account), DUE, "there is none of this CA");
                assert_eq!(standing_place(&said, DUE), Some(place), "{said}");
                assert_eq!(standing_place(&said, "_validation-persist.blog.example"), None);
            }
        }
        let short = words(&record(TARGET, "https://ca.example/1"), DUE, "there is none");
        assert_eq!(
            short,
            "create the TXT record shop.standing.example. 3600 IN TXT \"ca.example; accounturi=https://ca.example/1; \
             policy=wildcard\" (the CNAME at _validation-persist.shop.example leads there; there is none)"
        );
        let long = words(&record(TARGET, &long), DUE, "there is none");
        assert_eq!(
            long,
            "create the TXT record at shop.standing.example, as `kubectl sancho dns-records` prints it (the CNAME at \
             _validation-persist.shop.example leads there; there is none)"
        );
    }

    #[test]
    fn what_somebody_else_has_written_is_no_place() {
        let why =
            format!("the one that is there cannot be read: ({CNAME}_validation-persist.blog.example{LEADS}");
        let said = words(&record(DUE, "https://ca.example/1"), DUE, &why);
        assert_eq!(standing_place(&said, "_validation-persist.blog.example"), None);
        assert_eq!(standing_place(&said, DUE), Some(DUE));
        for other in [
            "",
            "no DNS server tells",
            "create the TXT record ",
            "create the TXT record x (y",
        ] {
            assert_eq!(standing_place(other, "x"), None, "{other}");
        }
    }
}
