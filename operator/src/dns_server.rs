//! A DNS server of the tests' own on loopback, by UDP and TCP at one port. It answers what a test has it answer, well formed
//! or not, and remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{CAA, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Udp,
    Tcp,
}

/// A question: how it came, its name in lower case with its final dot, and its type.
pub type Question = (By, String, RecordType);

/// What a server takes by TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// Any number of questions by each connection.
    Taken,
    /// One by each, and then it closes it.
    OneQuestion,
    /// Nothing listens there.
    Refused,
}

/// A running server. It ends when dropped.
pub struct DnsServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Starts one that sends what `answer` has for a question: messages, one after the other.
    pub async fn start(answer: impl Fn(&Message, By) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        loop {
            // The port may be taken by UDP.
            let any = (Ipv4Addr::LOCALHOST, 0).into();
            let tcp = TcpListener::bind::<SocketAddr>(any).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                return Self::on(udp, Some(tcp), Tcp::Taken, answer);
            }
        }
    }

    /// Starts the same at `address`, if nobody else is there.
    pub async fn at(
        address: SocketAddr,
        tcp: Tcp,
        answer: impl Fn(&Message, By) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        let udp = UdpSocket::bind(listener.local_addr().ok()?).await.ok()?;
        // Only so that nobody else takes it by TCP.
        let listener = (tcp != Tcp::Refused).then_some(listener);
        Some(Self::on(udp, listener, tcp, answer))
    }

    fn on(
        udp: UdpSocket,
        listener: Option<TcpListener>,
        tcp: Tcp,
        answer: impl Fn(&Message, By) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let address = udp.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Question>>> = Arc::default();
        let answer = Arc::new(answer);
        let heard = {
            let (asked, answer) = (asked.clone(), answer.clone());
            move |bytes: &[u8], by: By| -> Vec<Vec<u8>> {
                let question = Message::from_vec(bytes).unwrap();
                let query = &question.queries[0];
                let name = query.name().to_ascii().to_ascii_lowercase();
                asked.lock().unwrap().push((by, name, query.query_type()));
                answer(&question, by)
            }
        };
        let mut tasks = JoinSet::new();
        let by_udp = heard.clone();
        tasks.spawn(async move {
            let mut buffer = vec![0; 65535];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                for message in by_udp(&buffer[..length], By::Udp) {
                    udp.send_to(&message, from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            let Some(listener) = listener else { return };
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let heard = heard.clone();
                open.spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut message = vec![0; usize::from(length)];
                        if stream.read_exact(&mut message).await.is_err() {
                            break;
                        }
                        for answer in heard(&message, By::Tcp) {
                            // Whoever has asked may be gone.
                            let _ = stream.write_u16(u16::try_from(answer.len()).unwrap()).await;
                            let _ = stream.write_all(&answer).await;
                        }
                        if tcp == Tcp::OneQuestion {
                            break;
                        }
                    }
                });
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// Starts one that answers with the records that `records` has for a name and a type, or that there are none.
    pub async fn with(records: impl Fn(&str, RecordType) -> Vec<Record> + Send + Sync + 'static) -> Self {
        Self::start(move |question, _| {
            let query = &question.queries[0];
            let name = query.name().to_ascii().to_ascii_lowercase();
            let mut answer = answer_to(question);
            answer.answers = records(&name, query.query_type());
            vec![answer.to_vec().unwrap()]
        })
        .await
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

/// An empty answer, as of a server that is asked for its own zone and asks others, too.
pub fn answer_to(question: &Message) -> Message {
    let mut answer = Message::query();
    answer.metadata.id = question.id;
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.response_code = ResponseCode::NoError;
    answer.metadata.recursion_desired = question.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.queries = question.queries.clone();
    answer
}

/// A name with its final dot.
pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub fn cname(at: &str, to: &str) -> Record {
    Record::from_rdata(name(at), 60, RData::CNAME(CNAME(name(to))))
}

pub fn txt(at: &str, value: &str) -> Record {
    let strings = value.as_bytes().chunks(255).collect();
    Record::from_rdata(name(at), 60, RData::TXT(TXT::from_bytes(strings)))
}

/// `issue` with this CA.
pub fn caa(at: &str, ca: &str) -> Record {
    Record::from_rdata(
        name(at),
        60,
        RData::CAA(CAA::new_issue(false, Some(name(ca)), Vec::new())),
    )
}
