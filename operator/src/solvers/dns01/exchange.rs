//! Messages to one DNS server and its answers: by UDP, and by TCP if that is too small or wanted (RFC 1035 §4.2, RFC 7766).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long the attempts by UDP, which may lose a message, wait. A whole round of looks at DNS is to be done before a
/// budget without work gives its slots up, so that the shard's claim still counts.
const ATTEMPTS: [Duration; 2] = [Duration::from_millis(800), Duration::from_millis(1200)];
/// The same for a server that has to ask others first.
const RECURSIVE: [Duration; 2] = [Duration::from_millis(1000), Duration::from_millis(1500)];
/// How long it may take by TCP.
const TCP: Duration = Duration::from_secs(2);
/// The same for a look by TCP at what was seen by UDP just before.
const TCP_TOO: Duration = Duration::from_millis(1500);
/// So many questions are asked by one connection.
const MOST_PIPELINED: usize = 100;
/// What fits into a datagram nearly everywhere (DNS flag day 2020).
const UDP_SIZE: u16 = 1232;
/// What fits into one without EDNS (RFC 1035 §2.3.4).
const UDP_PLAIN: usize = 512;

/// So many datagrams are read in an attempt.
const MOST_DATAGRAMS: usize = 100;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// None came in time.
    #[error("it does not answer")]
    Silent,
    /// The network says so.
    #[error("it cannot be reached ({0})")]
    Unreachable(ErrorKind),
    /// What came is no DNS message, or not the answer.
    #[error("what it answers is no DNS message")]
    Garbled,
    /// By UDP it says that the answer is too long for that, and by TCP there is none.
    #[error("its answer is too long for UDP, and by TCP {0}")]
    Cut(Box<NoAnswer>),
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl NoAnswer {
    /// Does no way lead there, as far as is known here? Where nobody listens, one does.
    pub(super) fn has_no_way(&self) -> bool {
        matches!(self, Self::Unreachable(kind) if *kind != ErrorKind::ConnectionRefused)
    }
}

impl From<std::io::Error> for NoAnswer {
    fn from(error: std::io::Error) -> Self {
        Self::Unreachable(error.kind())
    }
}

/// Asks `server` for the records of this type at `name`.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursion: bool,
) -> Result<Message, NoAnswer> {
    let answered = ask_any_way(server, name, kind, recursion).await;
    answered.map(|(answer, _)| answer)
}

/// The same, and says how the answer came: by TCP if it is too long for UDP.
pub(super) async fn ask_any_way(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursion: bool,
) -> Result<(Message, Transport), NoAnswer> {
    let mut message = Message::query();
    message.metadata.recursion_desired = recursion;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE).set_version(0);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(|_| NoAnswer::Garbled)?;
    let attempts = if recursion { RECURSIVE } else { ATTEMPTS };
    let mut answer = by_udp(server, &bytes, attempts, |answer| parsed(&message, answer)).await?;
    // A server that does not know EDNS (RFC 6891 §7).
    if answer.response_code == ResponseCode::FormErr {
        message.edns = None;
        let bytes = message.to_vec().map_err(|_| NoAnswer::Garbled)?;
        answer = by_udp(server, &bytes, attempts, |answer| parsed(&message, answer)).await?;
    }
    if !answer.truncation {
        return Ok((answer, Transport::Udp));
    }
    let bytes = message.to_vec().map_err(|_| NoAnswer::Garbled)?;
    let answer = by_tcp(server, &bytes).await;
    let answer = answer.and_then(|answer| parsed(&message, &answer).ok_or(NoAnswer::Garbled));
    match answer {
        Ok(answer) => Ok((answer, Transport::Tcp)),
        Err(no_answer) => Err(NoAnswer::Cut(Box::new(no_answer))),
    }
}

/// Asks `server` by TCP for the records of this type at each of `names`: all questions at once by one connection (RFC 7766
/// §6.2.1.1), or by several if it closes them. What is read from each answer, in the names' order, within [`TCP_TOO`].
pub(super) async fn ask_by_tcp<T>(
    server: SocketAddr,
    names: &[Name],
    kind: RecordType,
    read: impl Fn(&Name, Message) -> T,
) -> Vec<Result<T, NoAnswer>> {
    let mut outcomes: Vec<Result<T, NoAnswer>> = names.iter().map(|_| Err(NoAnswer::Silent)).collect();
    let asking = async {
        loop {
            let is_open = |number: &usize| outcomes[*number].is_err();
            let open: Vec<usize> = (0..names.len()).filter(is_open).collect();
            let some = &open[..open.len().min(MOST_PIPELINED)];
            if some.is_empty() {
                return;
            }
            let ended = pipelined(server, kind, some, names, |number, answer| {
                outcomes[number] = Ok(read(&names[number], answer));
            })
            .await;
            // Whoever answers nothing at all is not asked again.
            if let Err(no_answer) = ended
                && some.iter().all(|number| outcomes[*number].is_err())
            {
                for number in open {
                    outcomes[number] = Err(no_answer.clone());
                }
                return;
            }
        }
    };
    // What has come by then counts.
    let _ = timeout(TCP_TOO, asking).await;
    outcomes
}

/// Asks for those of `names` that have these numbers, by one connection, and hands their answers over as they come.
async fn pipelined(
    server: SocketAddr,
    kind: RecordType,
    numbers: &[usize],
    names: &[Name],
    mut answered: impl FnMut(usize, Message),
) -> Result<(), NoAnswer> {
    let first = Message::query().id;
    let mut waiting = BTreeMap::new();
    let mut bytes = Vec::new();
    for (id, number) in (0..).zip(numbers) {
        let mut message = Message::query();
        // Answers come in any order.
        message.metadata.id = first.wrapping_add(id);
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(names[*number].clone(), kind));
        bytes.extend(framed(&message.to_vec().map_err(|_| NoAnswer::Garbled)?)?);
        waiting.insert(message.id, (message, *number));
    }
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&bytes).await?;
    while !waiting.is_empty() {
        let bytes = read(&mut stream).await?;
        let id = bytes.first_chunk().map(|id| u16::from_be_bytes(*id));
        let (message, number) = id.and_then(|id| waiting.remove(&id)).ok_or(NoAnswer::Garbled)?;
        answered(number, parsed(&message, &bytes).ok_or(NoAnswer::Garbled)?);
    }
    Ok(())
}

/// Sends `message`, of which these are the bytes, to `server`, and gives its answer back as it came, in bytes as well. `tcp`:
/// by TCP whatever its size.
pub(super) async fn send(
    server: SocketAddr,
    message: &Message,
    bytes: &[u8],
    tcp: bool,
) -> Result<(Message, Vec<u8>), NoAnswer> {
    let read = |answer: &[u8]| Some((parsed(message, answer)?, answer.to_vec()));
    if tcp || bytes.len() > UDP_PLAIN {
        read(&by_tcp(server, bytes).await?).ok_or(NoAnswer::Garbled)
    } else {
        by_udp(server, bytes, ATTEMPTS, read).await
    }
}

/// The answer to `question`, if it is one.
pub(super) fn parsed(question: &Message, answer: &[u8]) -> Option<Message> {
    let message = Message::from_vec(answer).ok()?;
    // Servers that cannot read a question answer without it.
    let is_same = message.queries == question.queries || message.queries.is_empty();
    let is_answer = message.id == question.id && message.message_type == MessageType::Response;
    (is_answer && is_same).then_some(message)
}

/// What is read from the first datagram that is an answer. Others are passed over: whoever can guess a port may send some.
async fn by_udp<T>(
    server: SocketAddr,
    message: &[u8],
    attempts: [Duration; 2],
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, NoAnswer> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut last = NoAnswer::Silent;
    for wait in attempts {
        // A new port each time; and what others send to it is not received.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        let mut is_garbled = false;
        let answered = async {
            socket.send(message).await?;
            let mut buffer = vec![0; usize::from(u16::MAX)];
            for _ in 0..MOST_DATAGRAMS {
                let length = socket.recv(&mut buffer).await?;
                if let Some(answer) = read(&buffer[..length]) {
                    return Ok(answer);
                }
                is_garbled = true;
            }
            Err(NoAnswer::Garbled)
        };
        last = match timeout(wait, answered).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) if is_garbled => NoAnswer::Garbled,
            Err(_) => NoAnswer::Silent,
        };
    }
    Err(last)
}

async fn by_tcp(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>, NoAnswer> {
    let answered = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&framed(message)?).await?;
        read(&mut stream).await
    };
    timeout(TCP, answered).await.unwrap_or(Err(NoAnswer::Silent))
}

/// A message as it goes by TCP: its length stands before it.
fn framed(message: &[u8]) -> Result<Vec<u8>, NoAnswer> {
    let length = u16::try_from(message.len()).map_err(|_| NoAnswer::Garbled)?;
    Ok([&length.to_be_bytes(), message].concat())
}

async fn read(stream: &mut TcpStream) -> Result<Vec<u8>, NoAnswer> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Message {
        let mut message = Message::query();
        let name = Name::from_ascii("_acme-challenge.example.com.").unwrap();
        message.add_query(Query::query(name, RecordType::TXT));
        message
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let question = question();
        let mut answer = question.clone();
        answer.metadata.message_type = MessageType::Response;
        assert!(parsed(&question, &answer.to_vec().unwrap()).is_some());
        answer.metadata.id = question.id.wrapping_add(1);
        assert_eq!(parsed(&question, &answer.to_vec().unwrap()), None);
        answer.metadata.id = question.id;
        answer.queries = vec![Query::query(Name::root(), RecordType::TXT)];
        assert_eq!(parsed(&question, &answer.to_vec().unwrap()), None);
        assert_eq!(parsed(&question, &question.to_vec().unwrap()), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            counts in prop::collection::vec(any::<u8>(), 8),
        ) {
            let question = question();
            let _ = parsed(&question, &bytes);
            // With a header that fits, and wild counts of records.
            let mut crafted = question.to_vec().unwrap();
            crafted[2] |= 0x80;
            crafted[4..12].copy_from_slice(&counts);
            crafted.extend_from_slice(&bytes);
            if let Some(answer) = parsed(&question, &crafted) {
                prop_assert!(answer.answers.len() <= crafted.len());
            }
        }
    }
}
