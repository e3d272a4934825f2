use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use tokio::time::sleep;

use super::*;
use crate::dns_server::{DnsServer, answer_to, name};

/// A server that answers so.
async fn answering(code: ResponseCode) -> DnsServer {
    DnsServer::start(move |question, _| {
        let mut answer = answer_to(question);
        answer.metadata.response_code = code;
        vec![answer.to_vec().unwrap()]
    })
    .await
}

async fn silent() -> DnsServer {
    DnsServer::start(|_, _| Vec::new()).await
}

fn both(first: &DnsServer, second: &DnsServer) -> Recursive {
    Recursive::new(&[first.address, second.address])
}

/// Asks for some name.
async fn ask_of(recursive: &Recursive) -> Result<Message, DnsFault> {
    recursive.ask(&name("www.shop.example."), RecordType::A).await
}

#[tokio::test]
async fn questions_about_a_domain_whose_servers_are_silent_keep_no_other_waiting() {
    let server = DnsServer::start(|question, _| {
        let at = question.queries[0].name().to_ascii();
        match at.ends_with("silent.example.") {
            true => Vec::new(),
            false => vec![answer_to(question).to_vec().unwrap()],
        }
    })
    .await;
    let recursive = Recursive::new(&[server.address]);
    let names: Vec<Name> = (0..500)
        .map(|number| name(&format!("h{number}.silent.example.")))
        .collect();
    let silent = names.iter().map(|name| recursive.ask(name, RecordType::CNAME));
    let other = async {
        sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        ask_of(&recursive).await.unwrap();
        begun.elapsed()
    };
    tokio::select! {
        _ = futures::future::join_all(silent) => panic!("they were answered"),
        took = other => assert!(took < Duration::from_secs(1), "{took:?}"),
    }
}

#[tokio::test]
async fn the_second_server_is_asked_what_the_first_one_fails_for() {
    let first = answering(ResponseCode::ServFail).await;
    let second = DnsServer::with(|at, _| {
        let address = RData::A(A::new(192, 0, 2, 1));
        vec![Record::from_rdata(name(at), 60, address)]
    })
    .await;
    let recursive = both(&first, &second);
    for _ in 0..2 * SILENCES {
        let answer = ask_of(&recursive).await.unwrap();
        assert_eq!(answer.answers.len(), 1);
    }
    // It answers, and may know more of another name.
    assert_eq!(first.asked().len(), second.asked().len());

    // That a name does not exist is an answer.
    let (first, second) = (
        answering(ResponseCode::NXDomain).await,
        answering(ResponseCode::NoError).await,
    );
    let answer = ask_of(&both(&first, &second)).await.unwrap();
    assert_eq!(answer.response_code, ResponseCode::NXDomain);
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn a_server_that_is_silent_is_soon_asked_after_the_other_one() {
    let (first, second) = (silent().await, answering(ResponseCode::NoError).await);
    let recursive = both(&first, &second);
    // All at once, as for the names of a shard.
    let all = (0..10).map(|_| ask_of(&recursive));
    let answers = futures::future::join_all(all).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let asked = first.asked().len();
    let begun = Instant::now();
    for _ in 0..10 {
        ask_of(&recursive).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((first.asked().len(), second.asked().len()), (asked, 20));
}

#[tokio::test]
async fn if_all_fail_each_is_told() {
    let (first, second) = (silent().await, answering(ResponseCode::Refused).await);
    let fault = ask_of(&both(&first, &second)).await.unwrap_err();
    assert_eq!(fault.reason, SERVER_FAILS);
    let told = format!(
        "fails for A www.shop.example: {}: it does not answer, {}: it answers ",
        first.address, second.address
    );
    assert!(fault.words.contains(&told), "{fault}");
}

#[test]
fn those_that_were_silent_come_last_for_a_while() {
    let [a, b, c] = [1, 2, 3].map(|last: u8| SocketAddr::from(([192, 0, 2, last], 53)));
    let now = Instant::now();
    let silence = |times| Silence { times, last: now };
    let order = |silent: &[(SocketAddr, Silence)], at: Instant| {
        let silent = silent.iter().copied().collect();
        in_order(&[a, b, c], &silent, at)
    };
    assert_eq!(order(&[], now), [a, b, c]);
    assert_eq!(order(&[(a, silence(SILENCES - 1))], now), [a, b, c]);
    let both = [(a, silence(SILENCES)), (b, silence(SILENCES + 7))];
    assert_eq!(order(&both, now), [c, a, b]);
    assert_eq!(order(&both, now + ASIDE), [a, b, c]);

    // An answer ends it.
    let recursive = Recursive::new(&[a, b]);
    for _ in 0..SILENCES {
        recursive.note(a, true);
    }
    assert_eq!(in_order(&[a, b], &recursive.silent(), Instant::now()), [b, a]);
    recursive.note(a, false);
    recursive.note(a, true);
    assert_eq!(in_order(&[a, b], &recursive.silent(), Instant::now()), [a, b]);
}
