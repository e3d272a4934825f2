//! AWS Signature Version 4. <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>
//!
//! AWS's own crate for it brings twenty others; the tests that go against an API have it judge these signatures.

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::solvers::dns01::api::header;
use crate::solvers::dns01::fault::DnsFault;
use crate::solvers::dns01::signing::{derived, hex, mac, sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "route53";
const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// An access key.
pub(super) struct Key {
    pub(super) id: Zeroizing<String>,
    pub(super) secret: Zeroizing<String>,
}

/// What is signed of a request.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// Of characters that need no encoding.
    pub(super) path: &'a str,
    /// Encoded, and in order.
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

impl Key {
    /// The headers that sign `request`, at `now`.
    ///
    /// # Errors
    /// [`DnsFault`] if the key's ID cannot stand in a header.
    pub(super) fn sign(
        &self,
        request: &Request<'_>,
        region: &str,
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, DnsFault> {
        self.signed(request, region, SERVICE, now)
    }

    fn signed(
        &self,
        request: &Request<'_>,
        region: &str,
        service: &str,
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, DnsFault> {
        let Request {
            method,
            host,
            path,
            query,
            body,
        } = request;
        let at = now.to_zoned(TimeZone::UTC);
        let (day, moment) = (
            at.strftime("%Y%m%d").to_string(),
            at.strftime("%Y%m%dT%H%M%SZ").to_string(),
        );
        let headers = "host;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-date:{moment}\n\n{headers}\n{}",
            sha256(body)
        );
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let to_sign = format!("{ALGORITHM}\n{moment}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let key = derived("AWS4", &self.secret, &[&day, region, service, "aws4_request"]);
        let signature = hex(mac(&key, &to_sign).as_ref());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={headers}, Signature={signature}",
            *self.id
        );
        Ok(vec![
            (X_AMZ_DATE, header(&moment)?),
            (AUTHORIZATION, header(&authorization)?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From AWS's published test suite for Signature Version 4.
    #[test]
    fn signatures_are_those_of_awss_test_suite() {
        let key = Key {
            id: Zeroizing::new("AKIDEXAMPLE".into()),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        };
        for (method, query, signature) in [
            // get-vanilla, post-vanilla, get-vanilla-query-order-key-case
            (
                "GET",
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "Param1=value1&Param2=value2",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let request = Request {
                method,
                host: "example.amazonaws.com",
                path: "/",
                query,
                body: b"",
            };
            let now = "2015-08-30T12:36:00Z".parse().unwrap();
            let headers = key.signed(&request, "us-east-1", "service", now).unwrap();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(headers[1].1.to_str().unwrap(), expected);
        }
    }
}
