//! What Route 53 is told and answers, in XML.

use quick_xml::de::from_reader;
use quick_xml::escape::escape;
use sancho_core::shown::shown_within;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::solvers::dns01::sets::{Set, SetChange};

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// `ListHostedZonesByNameResponse`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZones {
    hosted_zones: ZoneList,
}

#[derive(Deserialize)]
struct ZoneList {
    #[serde(rename = "HostedZone", default)]
    zones: Vec<HostedZone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostedZone {
    id: String,
    name: String,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    private_zone: bool,
}

/// `ListResourceRecordSetsResponse`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordSets {
    resource_record_sets: SetList,
}

#[derive(Deserialize)]
struct SetList {
    #[serde(rename = "ResourceRecordSet", default)]
    sets: Vec<RecordSet>,
}

#[derive(Deserialize)]
struct RecordSet {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "SetIdentifier")]
    set_identifier: Option<String>,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    #[serde(rename = "ResourceRecords")]
    records: Option<Records>,
}

#[derive(Deserialize)]
struct Records {
    #[serde(rename = "ResourceRecord", default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "Value")]
    value: String,
}

/// What is wrong, bounded and escaped.
pub(super) struct ErrorAnswer {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct ErrorResponse {
    #[serde(rename = "Error")]
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// An answer to a batch that was not carried out has the messages in a list.
#[derive(Deserialize)]
struct InvalidChangeBatch {
    #[serde(rename = "Messages")]
    messages: Messages,
}

#[derive(Deserialize)]
struct Messages {
    #[serde(rename = "Message", default)]
    messages: Vec<String>,
}

impl HostedZones {
    /// The IDs of the public zones of this name.
    pub(super) fn public(self, zone: &str) -> Vec<String> {
        let is_it = |found: &HostedZone| {
            let is_private = found.config.as_ref().is_some_and(|config| config.private_zone);
            plain(&found.name).eq_ignore_ascii_case(zone) && !is_private
        };
        let zones = self.hosted_zones.zones.into_iter().filter(is_it);
        zones
            .map(|found| found.id.trim_start_matches("/hostedzone/").to_owned())
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .collect()
    }
}

impl RecordSets {
    /// The name of the first ones.
    pub(super) fn first_name(self) -> Option<String> {
        let first = self.resource_record_sets.sets.into_iter().next()?;
        Some(plain(&first.name))
    }

    /// The TXT records at `name`; an error if they have a routing policy.
    pub(super) fn txt_at(self, name: &str) -> Result<Option<Set>, ()> {
        let is_it = |set: &RecordSet| plain(&set.name).eq_ignore_ascii_case(name) && set.kind == "TXT";
        let Some(set) = self.resource_record_sets.sets.into_iter().find(is_it) else {
            return Ok(None);
        };
        let (None, Some(ttl), Some(records)) = (set.set_identifier, set.ttl, set.records) else {
            return Err(());
        };
        let values = records.records.into_iter().map(|record| record.value).collect();
        Ok(Some(Set {
            ttl,
            values,
            version: None,
        }))
    }
}

/// The body as XML of this form, if it is.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    from_reader(body).ok()
}

/// What an answer says is wrong, if it can be read.
pub(super) fn error(body: &[u8]) -> Option<ErrorAnswer> {
    if let Some(ErrorResponse { error }) = read(body) {
        return Some(ErrorAnswer {
            code: shown_within(&error.code, 64),
            message: shown_within(&error.message, 120),
        });
    }
    let invalid: InvalidChangeBatch = read(body)?;
    Some(ErrorAnswer {
        code: "InvalidChangeBatch".into(),
        message: shown_within(invalid.messages.messages.first()?, 120),
    })
}

/// The names at which something else is there than a batch has it, if that is why it was not carried out.
pub(super) fn conflicts(body: &[u8]) -> Option<Vec<String>> {
    let messages = match read::<InvalidChangeBatch>(body) {
        Some(invalid) => invalid.messages.messages,
        None => {
            let ErrorResponse { error } = read(body)?;
            if error.code != "InvalidChangeBatch" {
                return None;
            }
            vec![error.message]
        }
    };
    let differs = |message: &&String| {
        [
            "already exists",
            "was not found",
            "do not match the current values",
        ]
        .iter()
        .any(|words| message.contains(words))
    };
    let differing: Vec<&String> = messages.iter().filter(differs).collect();
    // What is wrong besides does not go away by another try.
    if differing.is_empty() || differing.len() < messages.len() {
        return None;
    }
    let names = differing.into_iter().flat_map(|message| {
        let named = message.split("[name='").skip(1);
        named.filter_map(|rest| Some(plain(rest.split_once('\'')?.0)))
    });
    Some(names.collect())
}

/// `ChangeResourceRecordSetsRequest`.
pub(super) fn batch(changes: &[SetChange]) -> String {
    let mut parts = String::new();
    for change in changes {
        for (action, set) in [("DELETE", &change.old), ("CREATE", &change.new)] {
            let Some(set) = set else { continue };
            let records: String = set
                .values
                .iter()
                .map(|value| {
                    format!(
                        "<ResourceRecord><Value>{}</Value></ResourceRecord>",
                        escape(value)
                    )
                })
                .collect();
            parts.push_str(&format!(
                "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}.</Name><Type>TXT</Type><TTL>{}</TTL>\
                 <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change>",
                escape(&change.name),
                set.ttl
            ));
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch>\
         <Comment>ACME challenges, by Sancho</Comment><Changes>{parts}</Changes></ChangeBatch>\
         </ChangeResourceRecordSetsRequest>"
    )
}

/// A name without its final dot, and with its escapes (`\052`) undone.
fn plain(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    #[test]
    fn a_batch_deletes_what_is_there_and_creates_what_takes_its_place() {
        let set = |values: &[&str]| Set {
            ttl: 60,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            version: None,
        };
        let change = SetChange {
            name: "_acme-challenge.a.example".into(),
            old: Some(set(&["\"a&b\""])),
            new: Some(set(&["\"a&b\"", "\"c\""])),
        };
        let batch = batch(&[change]);
        let delete = "<Action>DELETE</Action><ResourceRecordSet><Name>_acme-challenge.a.example.</Name><Type>TXT</Type>\
                      <TTL>60</TTL><ResourceRecords><ResourceRecord><Value>&quot;a&amp;b&quot;</Value></ResourceRecord>\
                      </ResourceRecords>";
        assert!(batch.contains(delete), "{batch}");
        assert!(batch.contains("<Action>CREATE</Action>"), "{batch}");
    }

    #[test]
    fn a_conflict_names_what_differs_and_another_mistake_is_none() {
        let by_error = |message: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidChangeBatch</Code><Message>{message}</Message>\
                 </Error></ErrorResponse>"
            )
        };
        let twice = "[Tried to create resource record set [name='_acme-challenge.a.example.', type='TXT'] but it already \
                     exists, Tried to delete resource record set [name='b.example.', type='TXT'] but the values provided \
                     do not match the current values]";
        assert_eq!(
            conflicts(by_error(twice).as_bytes()).unwrap(),
            ["_acme-challenge.a.example", "b.example"]
        );
        let list = "<InvalidChangeBatch><Messages><Message>Tried to delete resource record set [name='\\052.b.example.', \
                    type='TXT'] but it was not found</Message></Messages><RequestId>1</RequestId></InvalidChangeBatch>";
        assert_eq!(conflicts(list.as_bytes()).unwrap(), ["*.b.example"]);
        let other = by_error("RRSet with DNS name a. is not permitted in zone b.");
        assert_eq!(conflicts(other.as_bytes()), None);
        assert_eq!(conflicts(b"<html>"), None);
    }

    #[test]
    fn of_the_zones_of_a_name_those_for_the_public_count() {
        let zone = |id: &str, name: &str, private: bool| {
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>c</CallerReference><Config>\
                 <PrivateZone>{private}</PrivateZone></Config></HostedZone>"
            )
        };
        let list = [
            zone("Z1", "a.example.", true),
            zone("Z2", "a.example.", false),
            zone("Z3", "b.example.", false),
        ];
        let body = format!(
            "<?xml version=\"1.0\"?><ListHostedZonesByNameResponse xmlns=\"{NAMESPACE}\"><HostedZones>{}</HostedZones>\
             <IsTruncated>false</IsTruncated><MaxItems>10</MaxItems></ListHostedZonesByNameResponse>",
            list.concat()
        );
        let zones: HostedZones = read(body.as_bytes()).unwrap();
        assert_eq!(zones.public("a.example"), ["Z2"]);
        let empty = "<ListHostedZonesByNameResponse><HostedZones/></ListHostedZonesByNameResponse>";
        assert!(
            read::<HostedZones>(empty.as_bytes())
                .unwrap()
                .public("a.example")
                .is_empty()
        );
    }

    #[test]
    fn the_next_name_in_a_list_is_not_the_one_that_was_asked_for() {
        let body = "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>_acme-challenge.a.example.\
                    </Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>&quot;x&quot;</Value>\
                    </ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets>\
                    </ListResourceRecordSetsResponse>";
        let sets = || read::<RecordSets>(body.as_bytes()).unwrap();
        let found = sets().txt_at("_acme-challenge.a.example").unwrap().unwrap();
        assert_eq!((found.ttl, found.values), (300, vec!["\"x\"".to_owned()]));
        assert_eq!(sets().txt_at("_acme-challenge.b.example"), Ok(None));
        assert_eq!(sets().first_name().unwrap(), "_acme-challenge.a.example");
        let weighted = body.replace("<TTL>", "<SetIdentifier>s</SetIdentifier><TTL>");
        let sets: RecordSets = read(weighted.as_bytes()).unwrap();
        assert_eq!(sets.txt_at("_acme-challenge.a.example"), Err(()));
    }

    /// Answers that are as they should be, in short.
    const ANSWERS: [&str; 4] = [
        "<ErrorResponse><Error><Code>InvalidChangeBatch</Code><Message>[name='\\052.a.example.'] but it already exists\
         </Message></Error></ErrorResponse>",
        "<InvalidChangeBatch><Messages><Message>[name='a.'] but it was not found</Message></Messages>\
         </InvalidChangeBatch>",
        "<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>a.example.</Name><Config>\
         <PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>",
        "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>a.example.</Name><Type>TXT</Type>\
         <TTL>60</TTL><ResourceRecords><ResourceRecord><Value>x</Value></ResourceRecord></ResourceRecords>\
         </ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>",
    ];

    /// Anything; answers with something in them that does not belong there, or cut off; and their parts in any order.
    fn some_answer() -> impl Strategy<Value = Vec<u8>> {
        let parts: Vec<&str> = ANSWERS
            .into_iter()
            .flat_map(|answer| answer.split_inclusive('>'))
            .collect();
        let damaged = |(answer, at, inserted, is_cut): (&str, prop::sample::Index, String, bool)| {
            let (before, after) = answer.split_at(at.index(answer.len()));
            format!("{before}{inserted}{}", if is_cut { "" } else { after }).into_bytes()
        };
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (
                prop::sample::select(ANSWERS.to_vec()),
                any::<prop::sample::Index>(),
                prop_oneof![any::<String>(), "[<>/&;'\"!?\\\\0-9-]{0,4}"],
                any::<bool>()
            )
                .prop_map(damaged),
            prop::collection::vec(prop::sample::select(parts), 0..30)
                .prop_map(|parts| parts.concat().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_is_none(body in some_answer()) {
            if let Some(zones) = read::<HostedZones>(&body) {
                for id in zones.public("a.example") {
                    prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", id);
                }
            }
            let set = read::<RecordSets>(&body).map(|sets| sets.txt_at("a.example"));
            if let Some(Ok(Some(set))) = set {
                prop_assert_eq!(set.version, None);
            }
            if let Some(ErrorAnswer { code, message }) = error(&body) {
                prop_assert!(code.chars().count() <= 64 && message.chars().count() <= 120);
                prop_assert!(!code.chars().chain(message.chars()).any(char::is_control));
            }
            conflicts(&body);
        }

        #[test]
        fn escapes_are_undone_or_stand_as_they_are(name in prop_oneof![any::<String>(), "[a-z.*0-9\\\\é+-]{0,20}"]) {
            let undone = plain(&name);
            if !name.contains('\\') {
                prop_assert_eq!(undone, name.strip_suffix('.').unwrap_or(&name));
            }
        }
    }
}
