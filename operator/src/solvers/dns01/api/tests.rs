use super::*;
use crate::acme::error::ProxyFault;

fn answer(status: u16, retry_after: Option<&str>) -> Result<Response, SendError> {
    Ok(Response {
        status,
        retry_after: retry_after.map(str::to_owned),
        ..Response::default()
    })
}

#[test]
fn a_provider_that_asks_for_a_pause_is_reported_to_its_budget_with_how_long() {
    let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
    let never = |_: &Response| false;
    let told = |answer| outcome(&answer, never, now);
    let throttled = |seconds: Option<u64>| Outcome::Throttled {
        retry_after: seconds.map(Duration::from_secs),
    };
    assert_eq!(told(answer(200, None)), Outcome::Answered);
    assert_eq!(told(answer(403, Some("9"))), Outcome::Answered);
    assert_eq!(told(answer(429, Some("300"))), throttled(Some(300)));
    assert_eq!(told(answer(503, None)), throttled(None));
    let by_body = |response: &Response| response.status == 400;
    assert_eq!(outcome(&answer(400, None), by_body, now), throttled(None));
}

#[test]
fn an_accounts_name_takes_the_key_and_the_whole_credential() {
    let name = |words: [&str; 2], key: &str| account_name(Provider::HttpReq, words, key);
    let one = name(["user", "password"], "key");
    assert_eq!(one, name(["user", "password"], "key"));
    assert!(one.starts_with("dns:httpreq:") && one.len() == "dns:httpreq:".len() + 16);
    for other in [
        name(["user", "password"], "another key"),
        name(["user", "another"], "key"),
        name(["userpass", "word"], "key"),
    ] {
        assert_ne!(one, other);
    }
    let public = digest(["user", "password"]);
    assert!(!one.ends_with(&public[..16]), "anybody could compute it");
}

#[test]
fn what_stands_in_a_query_is_encoded() {
    assert_eq!(
        encoded("_acme-challenge.a.example."),
        "_acme-challenge.a.example."
    );
    assert_eq!(encoded("a b&c=é/~"), "a%20b%26c%3D%C3%A9%2F~");
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_of_the_proxy() {
    let error = NotSent::Proxy {
        origin: Origin::of("https://api.example").unwrap(),
        proxy: "http://proxy:3128 (HTTPS_PROXY)".to_owned(),
        fault: ProxyFault::LoginRefused,
    };
    let words = no_answer("Route 53", &error.into());
    let said =
        "the API of Route 53 is asked through the proxy http://proxy:3128 (HTTPS_PROXY), which wants a user";
    assert!(words.starts_with(said), "{words}");
}
