//! Which URLs may be asked: https, and the directory's own origin.
//!
//! Every URL that a CA hands out, and every URL that is read back from a status, passes here
//! before a request is made of it. A CA, or whoever can write a status, could otherwise point the
//! operator at any server that it can reach.

use std::fmt;

use hyper::Uri;
use sancho_core::response::LONGEST_URL;
use sancho_core::shown::shown_within;

/// Scheme (always https), host and port of a CA (RFC 6454).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
}

/// A URL that has passed [`Origin::admit`], as the CA wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaUrl {
    text: String,
    path: String,
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not an absolute URL.
    #[error("{url:?} is not an absolute URL")]
    Malformed {
        /// The URL, bounded and escaped.
        url: String,
    },
    /// Another scheme than https.
    #[error("{url:?} is not https: a CA is asked over https only, on loopback too")]
    NotHttps {
        /// The URL, bounded and escaped.
        url: String,
    },
    /// It names a user or a fragment, which no ACME URL has.
    #[error("{url:?} has a user name or a fragment, which no ACME URL has")]
    Unexpected {
        /// The URL, bounded and escaped.
        url: String,
    },
    /// Far longer than any CA's URL.
    #[error("{url:?} has more than {LONGEST_URL} bytes, so that it is no CA's")]
    TooLong {
        /// The URL, bounded and escaped.
        url: String,
    },
    /// Another host or port than the directory's.
    #[error("{url:?} is not on the directory's origin {origin}")]
    OtherOrigin {
        /// The URL, bounded and escaped.
        url: String,
        /// The directory's origin.
        origin: Origin,
    },
}

impl Origin {
    /// The origin of `url`, an ACME directory's address.
    ///
    /// # Errors
    /// [`UrlError`] if it is no absolute https URL.
    pub fn of(url: &str) -> Result<Self, UrlError> {
        parse(url).map(|(origin, _)| origin)
    }

    /// Lets `url` pass if it has this origin.
    ///
    /// # Errors
    /// [`UrlError`] says why it may not be asked.
    pub fn admit(&self, url: &str) -> Result<CaUrl, UrlError> {
        let (origin, path) = parse(url)?;
        if origin != *self {
            return Err(UrlError::OtherOrigin {
                url: shortened(url),
                origin: self.clone(),
            });
        }
        Ok(CaUrl {
            text: url.to_owned(),
            path,
        })
    }

    /// The host, in lower case; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 unless the URL says otherwise.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of a request's `Host` field.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == 443 {
            self.host_in_url()
        } else {
            self.host_and_port()
        }
    }

    /// Host and port, 443 too: what a proxy is asked to connect to.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host_in_url(), self.port)
    }

    fn host_in_url(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl CaUrl {
    /// The URL, byte for byte as the CA wrote it: the `url` that is signed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Path and query: the request's target.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path
    }
}

fn parse(url: &str) -> Result<(Origin, String), UrlError> {
    if url.len() > LONGEST_URL {
        return Err(UrlError::TooLong { url: shortened(url) });
    }
    let uri: Uri = url
        .parse()
        .map_err(|_| UrlError::Malformed { url: shortened(url) })?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(UrlError::Malformed { url: shortened(url) });
    };
    if scheme != "https" {
        return Err(UrlError::NotHttps { url: shortened(url) });
    }
    if authority.as_str().contains('@') || url.contains('#') {
        return Err(UrlError::Unexpected { url: shortened(url) });
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    if host.is_empty() {
        return Err(UrlError::Malformed { url: shortened(url) });
    }
    // `port()` is also absent when the port is no number that fits.
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, digits)) if !digits.ends_with(']') => digits
            .parse()
            .map_err(|_| UrlError::Malformed { url: shortened(url) })?,
        _ => 443,
    };
    // A request's target has a path, also where the URL has none before its query (RFC 9112 §3.2.1).
    let path = match uri.query() {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    };
    Ok((Origin { host, port }, path))
}

/// Enough of a URL to recognise it in a message.
fn shortened(url: &str) -> String {
    shown_within(url, 200)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        Origin::of("https://ca.example/directory").unwrap()
    }

    #[test]
    fn a_url_on_the_directorys_origin_passes_as_it_was_written() {
        let url = origin().admit("https://CA.example:443/order/1?x=%2F").unwrap();
        assert_eq!(url.as_str(), "https://CA.example:443/order/1?x=%2F");
        assert_eq!(url.path_and_query(), "/order/1?x=%2F");
    }

    #[test]
    fn a_url_without_a_path_asks_for_the_root() {
        assert_eq!(
            origin().admit("https://ca.example").unwrap().path_and_query(),
            "/"
        );
    }

    #[test]
    fn a_url_with_a_query_and_no_path_asks_the_root_and_is_signed_as_it_was_written() {
        let url = origin().admit("https://ca.example?order=1").unwrap();
        assert_eq!(url.path_and_query(), "/?order=1");
        assert!(url.path_and_query().parse::<Uri>().is_ok());
        assert_eq!(url.as_str(), "https://ca.example?order=1");
        let directory = Origin::of("https://ca.example?directory").unwrap();
        assert_eq!(directory, origin());
    }

    #[test]
    fn a_url_that_is_longer_than_any_cas_is_refused() {
        let url = |length| format!("https://ca.example/{}", "a".repeat(length - 19));
        assert!(origin().admit(&url(LONGEST_URL)).is_ok());
        let refused = origin().admit(&url(LONGEST_URL + 1));
        assert!(matches!(refused, Err(UrlError::TooLong { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().len() < 400);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_place_of_a_url_is_refused_in_few_words_or_can_be_asked(
            url in prop_oneof![any::<String>(), "https://ca\\.example[/?#:@a-z0-9%\\[\\]]{0,30}"]
        ) {
            match origin().admit(&url) {
                Ok(admitted) => {
                    prop_assert!(admitted.path_and_query().starts_with('/'));
                    prop_assert!(admitted.path_and_query().parse::<Uri>().is_ok());
                    prop_assert_eq!(admitted.as_str(), url);
                }
                Err(error) => prop_assert!(error.to_string().chars().count() < 600, "{}", error),
            }
        }
    }

    #[test]
    fn other_schemes_hosts_and_ports_are_refused_by_name() {
        let not_https = |url: &str| matches!(origin().admit(url), Err(UrlError::NotHttps { .. }));
        let other = |url: &str| matches!(origin().admit(url), Err(UrlError::OtherOrigin { .. }));
        assert!(not_https("http://ca.example/order/1"));
        assert!(not_https("http://localhost/order/1"));
        assert!(not_https("ftp://ca.example/order/1"));
        assert!(other("https://ca.example.evil/order/1"));
        assert!(other("https://evil.ca.example/order/1"));
        assert!(other("https://ca.example:8443/order/1"));
        assert!(other("https://169.254.169.254/latest/meta-data"));
    }

    #[test]
    fn users_fragments_and_garbage_are_refused() {
        let unexpected = |url: &str| matches!(origin().admit(url), Err(UrlError::Unexpected { .. }));
        let malformed = |url: &str| matches!(origin().admit(url), Err(UrlError::Malformed { .. }));
        assert!(unexpected("https://ca.example@evil.example/"));
        assert!(unexpected("https://user:password@ca.example/"));
        assert!(unexpected("https://ca.example/order/1#part"));
        assert!(malformed(""));
        assert!(malformed("/order/1"));
        assert!(malformed("ca.example"));
        assert!(malformed("https://ca.example/a b"));
        assert!(malformed("https://ca.example/\r\nHost: evil"));
        assert!(malformed("https://ca.example:70000/"));
        assert!(malformed("https://"));
    }

    #[test]
    fn an_ipv6_origin_keeps_its_brackets_in_the_host_field_only() {
        let origin = Origin::of("https://[::1]:14000/dir").unwrap();
        assert_eq!((origin.host(), origin.port()), ("::1", 14000));
        assert_eq!(origin.authority(), "[::1]:14000");
        assert_eq!(Origin::of("https://[::1]/dir").unwrap().authority(), "[::1]");
        assert_eq!(
            Origin::of("https://[::1]/dir").unwrap().host_and_port(),
            "[::1]:443"
        );
    }

    #[test]
    fn a_refused_url_is_quoted_only_in_part() {
        let url = format!("http://ca.example/{}", "a".repeat(5000));
        assert!(origin().admit(&url).unwrap_err().to_string().len() < 400);
    }
}
