//! What the answer of a DNS server says of a name, in whatever order its records come. Records of other names are not
//! looked at: whoever answers may write what they like.

use hickory_proto::rr::{Name, RData, Record};

/// The most CNAMEs of one answer that are followed: as many as resolvers follow for it.
pub const MOST_CNAMES: usize = 16;

/// Where the CNAME at `name` leads, if there is one in these records. Of several, which must not be (RFC 2181 §10.1), it is
/// the same one always.
pub fn cname_of<'a>(records: &'a [Record], name: &Name) -> Option<&'a Name> {
    let targets = records.iter().filter_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some(&target.0),
        _ => None,
    });
    targets.min()
}

/// Where the CNAMEs of these records lead from `name`: to itself if it has none. Nothing comes back if they lead round in a
/// circle, or on for more than [`MOST_CNAMES`].
pub fn end_of_cnames<'a>(records: &'a [Record], name: &'a Name) -> Option<&'a Name> {
    let mut at = name;
    for _ in 0..=MOST_CNAMES {
        match cname_of(records, at) {
            Some(target) => at = target,
            None => return Some(at),
        }
    }
    None
}

/// The data of the records at `name`, or where its CNAMEs lead; none if these lead nowhere.
pub fn data_of<'a>(records: &'a [Record], name: &'a Name) -> impl Iterator<Item = &'a RData> {
    let end = end_of_cnames(records, name);
    let there = records.iter().filter(move |record| Some(&record.name) == end);
    there.map(|record| &record.data)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, CNAME};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn cname(at: &str, to: &str) -> Record {
        Record::from_rdata(name(at), 1, RData::CNAME(CNAME(name(to))))
    }

    fn address(at: &str, last: u8) -> Record {
        Record::from_rdata(name(at), 1, RData::A(A::new(192, 0, 2, last)))
    }

    #[test]
    fn cnames_are_followed_in_any_order_and_records_of_others_are_not_looked_at() {
        let mut records = vec![
            address("other.example.", 9),
            address("C.example.", 1),
            cname("b.example.", "c.example."),
            cname("A.example.", "B.example."),
        ];
        for _ in 0..records.len() {
            records.rotate_left(1);
            let asked = name("a.example.");
            assert_eq!(end_of_cnames(&records, &asked), Some(&name("c.example.")));
            let data: Vec<&RData> = data_of(&records, &asked).collect();
            assert_eq!(data, [&RData::A(A::new(192, 0, 2, 1))]);
        }
    }

    #[test]
    fn a_circle_and_a_chain_without_end_lead_nowhere() {
        let circle = [cname("a.", "b."), cname("b.", "a.")];
        let chain = |links: usize| -> Vec<Record> {
            let link = |number: usize| cname(&format!("h{number}."), &format!("h{}.", number + 1));
            (0..links).map(link).collect()
        };
        assert_eq!(end_of_cnames(&circle, &name("a.")), None);
        assert_eq!(data_of(&circle, &name("a.")).count(), 0);
        assert_eq!(
            end_of_cnames(&chain(MOST_CNAMES), &name("h0.")),
            Some(&name(&format!("h{MOST_CNAMES}.")))
        );
        assert_eq!(end_of_cnames(&chain(MOST_CNAMES + 1), &name("h0.")), None);
        let twice = [cname("a.", "z."), cname("a.", "b.")];
        assert_eq!(end_of_cnames(&twice, &name("a.")), Some(&name("b.")));
    }
}
