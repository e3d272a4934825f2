use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;

use super::*;

const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

/// A DNS server that answers NXDOMAIN to whatever begins with `gone`, SERVFAIL to `broken`, and 127.0.0.1 to the A
/// queries of all else.
fn dns() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut packet = [0_u8; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let query = &packet[..length];
            let first_label = String::from_utf8_lossy(&query[13..13 + usize::from(query[12])]).to_lowercase();
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_a = query[end - 3] == 1;
            let (code, answers) = match first_label.as_str() {
                "gone" => (3, 0),
                "broken" => (2, 0),
                _ => (0, u8::from(is_a)),
            };
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
            reply.extend(&query[12..end]);
            if answers == 1 {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    address
}

/// An HTTP server that answers the right thing to the host `right.example`, and to `late.example` and `busy.example` from
/// the fifth time on, which is 503 to the latter before, redirects `moved.example` there, and knows nothing else.
fn web() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut asked = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let (is_late, is_busy) = (
                head.contains("host: late.example"),
                head.contains("host: busy.example"),
            );
            asked += u32::from(is_late || is_busy);
            let is_late = (is_late || is_busy) && asked >= 5;
            let answer = if head.contains("host: right.example") || is_late {
                "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nright\n".to_owned()
            } else if head.contains("host: moved.example") {
                format!(
                    "HTTP/1.1 301 Moved\r\nlocation: http://right.example:{port}/\r\ncontent-length: 0\r\n\r\n"
                )
            } else if is_busy {
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned()
            } else {
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

async fn round(port: u16, names: &[&str]) -> Vec<Finding> {
    routed_round(port, names, false).await
}

async fn routed_round(port: u16, names: &[&str], is_just_routed: bool) -> Vec<Finding> {
    let check = SelfCheck::new(&SelfCheckSettings {
        enabled: true,
        resolvers: vec![dns()],
        port,
    });
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let token = Token::parse(TOKEN).unwrap();
    check.round(&names, &token, "right", |_| is_just_routed).await
}

fn reasons(findings: &[Finding]) -> Vec<&str> {
    let reason = |finding: &Finding| match finding {
        Finding::Passed => "Passed",
        Finding::Failed(fault) => fault.reason(),
        Finding::Unknown(_) => "Unknown",
    };
    findings.iter().map(reason).collect()
}

#[tokio::test]
async fn each_name_is_found_as_it_is() {
    let names = [
        "right.example",
        "moved.example",
        "foreign.example",
        "gone.example",
        "broken.example",
    ];
    let findings = round(web(), &names).await;
    assert_eq!(
        reasons(&findings),
        ["Passed", "Passed", "ForeignAnswer", "NameNotFound", "DNSFailed"]
    );
}

#[tokio::test]
async fn a_route_that_was_just_written_is_waited_for_but_not_much_longer_than_its_neighbours() {
    let names = ["late.example", "foreign.example", "gone.example"];
    assert_eq!(
        reasons(&round(web(), &names).await),
        ["ForeignAnswer", "ForeignAnswer", "NameNotFound"]
    );
    let began = Instant::now();
    let findings = routed_round(web(), &names, true).await;
    assert_eq!(reasons(&findings), ["Passed", "ForeignAnswer", "NameNotFound"]);
    assert!(began.elapsed() < ROUTE_WITHIN, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_gateway_that_does_not_reach_the_responders_is_waited_for() {
    let findings = round(web(), &["busy.example", "foreign.example"]).await;
    assert_eq!(reasons(&findings), ["Passed", "ForeignAnswer"]);
}

#[tokio::test]
async fn where_nothing_answers_nothing_is_held_against_the_names() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let findings = round(port, &["a.example", "b.example"]).await;
    assert_eq!(reasons(&findings), ["Unknown", "Unknown"]);
    // Nor is a route waited for as long as one that leads somewhere.
    let begun = std::time::Instant::now();
    let findings = routed_round(port, &["a.example", "b.example"], true).await;
    assert_eq!(reasons(&findings), ["Unknown", "Unknown"]);
    assert!(begun.elapsed() < ROUTE_WITHIN, "{:?}", begun.elapsed());
}

#[test]
fn the_address_that_cas_prefer_counts() {
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    let foreign = Finding::Failed(Fault::Foreign { address, status: 404 });
    let silent = Finding::Failed(Fault::TimedOut { address });
    let elsewhere = Finding::Failed(Fault::Ipv6Elsewhere { address, status: 404 });
    assert_eq!(both(Some(Finding::Passed), Some(foreign.clone())), elsewhere);
    assert_eq!(both(Some(Finding::Passed), Some(silent.clone())), Finding::Passed);
    assert_eq!(both(Some(foreign), Some(Finding::Passed)), Finding::Passed);
    assert_eq!(both(None, Some(silent.clone())), silent);
}
