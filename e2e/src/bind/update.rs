//! What a test changes in a zone while everything runs: as its owner would, by a signed update (RFC 2136).

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CAA;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Bind, KEY, KEY_NAME};

impl Bind {
    /// Has one CAA record at `name` in `zone` that lets this CA issue, in the place of those that were there.
    ///
    /// # Errors
    ///
    /// When the primary does not take it.
    pub async fn set_caa(&self, zone: &str, name: &str, ca: &str) -> Result<()> {
        let at = Name::from_ascii(format!("{name}."))?;
        let mut gone = Record::update0(at.clone(), 0, RecordType::CAA);
        gone.dns_class = DNSClass::ANY;
        let caa = CAA::new_issue(false, Some(Name::from_ascii(ca)?), Vec::new());
        let there = Record::from_rdata(at, 60, RData::CAA(caa));
        self.update(zone, vec![gone, there]).await
    }

    async fn update(&self, zone: &str, records: Vec<Record>) -> Result<()> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        let mut question = Query::new();
        question
            .set_name(Name::from_ascii(format!("{zone}."))?)
            .set_query_class(DNSClass::IN)
            .set_query_type(RecordType::SOA);
        message.add_query(question);
        message.add_authorities(records);
        let key = STANDARD.decode(KEY)?;
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, Name::from_ascii(KEY_NAME)?, 300)?;
        let now = u64::try_from(Timestamp::now().as_second())?;
        message.finalize(&signer, now)?;
        let bytes = message.to_vec()?;
        let mut stream = TcpStream::connect(self.primary()).await?;
        stream.write_u16(u16::try_from(bytes.len())?).await?;
        stream.write_all(&bytes).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        let code = Message::from_vec(&answer)
            .context("the answer to an update")?
            .response_code;
        ensure!(
            code == ResponseCode::NoError,
            "the primary answers {code} to an update of {zone}"
        );
        Ok(())
    }
}
