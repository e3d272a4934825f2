//! The TXT records of BIND's zones, read by transfer and changed by signed updates.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bind::{KEY, KEY_NAME, transfer};

/// The values at a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) ttl: u32,
    pub(super) values: BTreeSet<String>,
}

/// All of a zone's, by name without a final dot.
pub(super) type ZoneTexts = BTreeMap<String, Texts>;

pub(super) struct Zones {
    primary: SocketAddr,
    names: Vec<String>,
}

impl Zones {
    pub(super) fn new(primary: SocketAddr, names: Vec<String>) -> Self {
        Self { primary, names }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// All TXT records of a zone.
    pub(super) async fn texts(&self, zone: &str) -> Result<ZoneTexts> {
        let mut texts = ZoneTexts::new();
        for answer in transfer(self.primary, zone).await? {
            for record in answer.answers {
                if let RData::TXT(text) = &record.data {
                    let name = record.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
                    let at = texts.entry(name).or_default();
                    at.ttl = record.ttl;
                    at.values
                        .insert(String::from_utf8_lossy(&text.txt_data.concat()).into_owned());
                }
            }
        }
        Ok(texts)
    }

    /// Makes the zone's TXT records what they are in `wanted`, by one update.
    pub(super) async fn replace(&self, zone: &str, before: &ZoneTexts, wanted: &ZoneTexts) -> Result<()> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        let mut question = Query::new();
        question
            .set_name(absolute(zone)?)
            .set_query_class(DNSClass::IN)
            .set_query_type(RecordType::SOA);
        message.add_query(question);
        let nothing = Texts::default();
        let names: BTreeSet<&String> = before.keys().chain(wanted.keys()).collect();
        for name in names {
            let (old, new) = (
                before.get(name).unwrap_or(&nothing),
                wanted.get(name).unwrap_or(&nothing),
            );
            for gone in old.values.difference(&new.values) {
                let mut record = txt(name, gone, 0)?;
                record.dns_class = DNSClass::NONE;
                message.add_authorities([record]);
            }
            for made in new.values.difference(&old.values) {
                message.add_authorities([txt(name, made, new.ttl)?]);
            }
        }
        if message.authorities.is_empty() {
            return Ok(());
        }
        let key = STANDARD.decode(KEY)?;
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, Name::from_ascii(KEY_NAME)?, 300)?;
        let now = u64::try_from(Timestamp::now().as_second())?;
        message.finalize(&signer, now)?;
        let bytes = message.to_vec()?;
        let mut stream = TcpStream::connect(self.primary).await?;
        let mut framed = u16::try_from(bytes.len())?.to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        stream.write_all(&framed).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        let answer = Message::from_vec(&answer).context("BIND answers an update with what is no answer")?;
        ensure!(
            answer.response_code == ResponseCode::NoError,
            "BIND refuses an update of {zone}: {}",
            answer.response_code
        );
        Ok(())
    }
}

fn absolute(name: &str) -> Result<Name> {
    Ok(Name::from_ascii(format!("{name}."))?)
}

fn txt(name: &str, value: &str, ttl: u32) -> Result<Record> {
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    Ok(Record::from_rdata(absolute(name)?, ttl, data))
}
