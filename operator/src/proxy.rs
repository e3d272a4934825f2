//! Which proxy leads to a server: `HTTPS_PROXY`, else `ALL_PROXY`, but for the servers that `NO_PROXY` names.
//!
//! hyper-util reads URLs and judges whom `NO_PROXY` names, as curl does. What it would pass over in silence is an error
//! here: a URL that is none, and a proxy of another kind than HTTP.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;

use crate::acme::origin::Origin;

/// Where the proxy to CAs and providers' APIs is read: the first that is not empty.
const URLS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Where kubectl reads the proxy to the API server.
const URLS_OF_KUBECTL: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// Where those are read that are asked without a proxy.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The port of a proxy whose URL has none.
const HTTP_PORT: u16 = 80;

/// The proxy of this process, if it has one, and who is asked without it. The default is no proxy.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    given: Option<Given>,
}

#[derive(Debug, Clone)]
struct Given {
    proxy: Proxy,
    exceptions: String,
}

/// An HTTP proxy on the way to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    variable: &'static str,
    host: String,
    port: u16,
    /// It is marked as sensitive, so that `Debug` leaves it out.
    authorization: Option<HeaderValue>,
}

/// Why nothing can be asked through the proxy that is given. The URL itself is not told: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// It is no URL.
    #[error(
        "{variable} is no URL of a proxy: write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with @, : and / in \
         user and password as %40, %3A and %2F"
    )]
    Malformed {
        /// Where it stands.
        variable: &'static str,
    },
    /// It is a proxy that is spoken to in another way.
    #[error(
        "{variable} begins with {scheme}://, and requests go through HTTP proxies alone, to which the connection itself \
         is without TLS: write http://HOST:PORT"
    )]
    Scheme {
        /// Where it stands.
        variable: &'static str,
        /// How it begins.
        scheme: String,
    },
    /// It is a proxy through which no API server is reached.
    #[error("{variable} begins with {scheme}://: write http://, https:// or socks5:// and HOST:PORT")]
    SchemeToApiServer {
        /// Where it stands.
        variable: &'static str,
        /// How it begins.
        scheme: String,
    },
}

impl Proxies {
    /// As this process's environment has it.
    ///
    /// # Errors
    /// [`ProxyUrlError`] if a proxy is given that nothing can be asked through.
    pub fn from_environment() -> Result<Self, ProxyUrlError> {
        Self::of(variable)
    }

    /// The same of any environment.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyUrlError> {
        let Some((name, url)) = first(&URLS, &variable) else {
            return Ok(Self::default());
        };
        let given = Given {
            proxy: parse(name, &url)?,
            exceptions: exceptions(&variable),
        };
        Ok(Self { given: Some(given) })
    }

    /// The proxy that leads to all but the exceptions.
    #[must_use]
    pub fn given(&self) -> Option<&Proxy> {
        self.given.as_ref().map(|given| &given.proxy)
    }

    /// The proxy on the way to `origin`; nothing if it is asked directly.
    #[must_use]
    pub fn proxy_for(&self, origin: &Origin) -> Option<Proxy> {
        let Given { proxy, exceptions } = self.given.as_ref()?;
        let server: Uri = origin.to_string().parse().ok()?;
        (!is_exception(&server, exceptions)).then(|| proxy.clone())
    }
}

impl Proxy {
    /// Its host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Proxy-Authorization`, if its URL has a user.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// `http://proxy.example:3128 (HTTPS_PROXY)`.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proxy {
            variable, host, port, ..
        } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port} ({variable})")
        } else {
            write!(f, "http://{host}:{port} ({variable})")
        }
    }
}

/// The proxy on the way to an API server, as kubectl has it: the kubeconfig's `proxy-url`; else `HTTPS_PROXY`, unless the
/// server is on this machine or `NO_PROXY` names it. kube's own choice holds `NO_PROXY` against the proxy's name, and not
/// the server's.
///
/// # Errors
/// [`ProxyUrlError`] if that is no URL.
pub fn of_api_server(proxy_url: Option<&str>, server: &Uri) -> Result<Option<Uri>, ProxyUrlError> {
    on_the_way_to(server, proxy_url, variable)
}

fn on_the_way_to(
    server: &Uri,
    proxy_url: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ProxyUrlError> {
    let given = match proxy_url {
        Some(url) => Some(("proxy-url", url.to_owned())),
        None => first(&URLS_OF_KUBECTL, &variable)
            .filter(|_| !is_on_this_machine(server) && !is_exception(server, &exceptions(&variable))),
    };
    let Some((variable, url)) = given else {
        return Ok(None);
    };
    let url = if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    };
    let url: Uri = url.parse().map_err(|_| ProxyUrlError::Malformed { variable })?;
    // kube's words about another one have the whole URL in them, with user and password.
    match url.scheme_str() {
        Some("http" | "https" | "socks5") => Ok(Some(url)),
        scheme => Err(ProxyUrlError::SchemeToApiServer {
            variable,
            scheme: scheme.unwrap_or_default().to_owned(),
        }),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The first of these variables that is not empty, and what it says.
fn first(
    names: &[&'static str],
    variable: &impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    names.iter().find_map(|&name| {
        let value = variable(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| (name, value.to_owned()))
    })
}

fn exceptions(variable: &impl Fn(&str) -> Option<String>) -> String {
    first(&EXCEPTIONS, variable)
        .map(|(_, list)| list)
        .unwrap_or_default()
}

/// The proxy of this URL, if requests can go through it.
fn parse(variable: &'static str, url: &str) -> Result<Proxy, ProxyUrlError> {
    let malformed = || ProxyUrlError::Malformed { variable };
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    if let Some(scheme) = uri.scheme_str().filter(|scheme| *scheme != "http") {
        return Err(ProxyUrlError::Scheme {
            variable,
            scheme: scheme.to_owned(),
        });
    }
    let authority = uri.authority().ok_or_else(malformed)?;
    // A password with an @ of its own would be cut there.
    let (user, host_and_port) = authority
        .as_str()
        .rsplit_once('@')
        .unwrap_or(("", authority.as_str()));
    // A port that is no number would count as none.
    let port = match host_and_port.strip_prefix(authority.host()) {
        Some("") => HTTP_PORT,
        Some(port) => port
            .strip_prefix(':')
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(malformed)?,
        None => return Err(malformed()),
    };
    if user.contains('@') || authority.host().is_empty() || port == 0 {
        return Err(malformed());
    }
    let anybody = Uri::from_static("https://ca.invalid/");
    let found = Matcher::builder().https(url).build().intercept(&anybody);
    Ok(Proxy {
        variable,
        host: without_brackets(authority.host()).to_owned(),
        port,
        authorization: found.ok_or_else(malformed)?.basic_auth().cloned(),
    })
}

/// An entry of `NO_PROXY` as hyper-util reads it. `*.example.com`, `[::1]` and `ca.example.com:8443` are common as well; the
/// port does not count.
fn plain(entry: &str) -> &str {
    let entry = entry.strip_prefix("*.").unwrap_or(entry);
    if let Some((address, _)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match entry.split_once(':') {
        // An IPv6 address has more than one colon.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => entry,
    }
}

fn is_exception(server: &Uri, exceptions: &str) -> bool {
    let entries = exceptions.split(|c: char| c == ',' || c.is_whitespace());
    // hyper-util takes that for all names, and for no addresses.
    if entries.clone().any(|entry| entry == "*") {
        return true;
    }
    let entries: Vec<&str> = entries.map(plain).collect();
    // Whichever proxy it is.
    let matcher = Matcher::builder()
        .https("http://proxy.invalid")
        .no(entries.join(","))
        .build();
    matcher.intercept(server).is_none()
}

fn is_on_this_machine(server: &Uri) -> bool {
    let host = without_brackets(server.host().unwrap_or_default());
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment.
    fn with<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    /// The proxy on the way to `url`, in words.
    fn on_the_way(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let origin = Origin::of(url).unwrap();
        let proxy = Proxies::of(with(variables)).unwrap().proxy_for(&origin)?;
        Some(proxy.to_string())
    }

    #[test]
    fn the_first_variable_that_says_something_counts() {
        let ca = "https://ca.example/directory";
        assert_eq!(on_the_way(ca, &[]), None);
        assert_eq!(on_the_way(ca, &[("HTTPS_PROXY", " "), ("https_proxy", "")]), None);
        assert_eq!(on_the_way(ca, &[("HTTP_PROXY", "http://proxy:3128")]), None);
        for variable in URLS {
            let found = on_the_way(ca, &[(variable, "http://proxy:3128")]);
            assert_eq!(found, Some(format!("http://proxy:3128 ({variable})")));
        }
        let both = [("ALL_PROXY", "http://other"), ("HTTPS_PROXY", "proxy.example")];
        assert_eq!(
            on_the_way(ca, &both).unwrap(),
            "http://proxy.example:80 (HTTPS_PROXY)"
        );
        let by_address = [("HTTPS_PROXY", "http://[fd00::1]:3128/")];
        assert_eq!(
            on_the_way(ca, &by_address).unwrap(),
            "http://[fd00::1]:3128 (HTTPS_PROXY)"
        );
    }

    #[test]
    fn whom_no_proxy_names_is_asked_directly() {
        let is_direct = |url: &str, no_proxy: &str| {
            let variables = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", no_proxy)];
            on_the_way(url, &variables).is_none()
        };
        for (url, no_proxy) in [
            ("https://ca.example/directory", "ca.example"),
            ("https://CA.example:8443/directory", "localhost, ca.example"),
            ("https://ca.example:8443/directory", "ca.example:8443"),
            ("https://ca.internal.example", ".example"),
            ("https://ca.internal.example", "*.internal.example,"),
            ("https://ca.internal.example", "localhost example"),
            ("https://10.1.2.3:14000/dir", "10.0.0.0/8"),
            ("https://10.1.2.3:14000/dir", "10.1.2.3"),
            ("https://[fd00::1]/dir", "fd00::/8"),
            ("https://[fd00::1]/dir", "[fd00::1]"),
            ("https://ca.example", "*"),
            ("https://10.1.2.3", "localhost, *"),
        ] {
            assert!(is_direct(url, no_proxy), "{url} with {no_proxy}");
        }
        for (url, no_proxy) in [
            ("https://ca.example", ""),
            ("https://notca.example", "ca.example"),
            ("https://example", "ca.example"),
            ("https://11.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "ca.example"),
            // Nothing is an exception that is not named.
            ("https://localhost:14000/dir", "ca.example"),
            ("https://127.0.0.1:14000/dir", ""),
        ] {
            assert!(!is_direct(url, no_proxy), "{url} with {no_proxy}");
        }
        let lower = [("https_proxy", "proxy"), ("no_proxy", "ca.example")];
        assert_eq!(on_the_way("https://ca.example", &lower), None);
    }

    #[test]
    fn user_and_password_are_for_the_proxy_and_for_nobody_else() {
        let variables = [("HTTPS_PROXY", "http://sancho:p%40ss%3Aword@proxy:3128")];
        let proxies = Proxies::of(with(&variables)).unwrap();
        let proxy = proxies
            .proxy_for(&Origin::of("https://ca.example").unwrap())
            .unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy", 3128));
        // sancho:p@ss:word
        assert_eq!(proxy.authorization().unwrap(), "Basic c2FuY2hvOnBAc3M6d29yZA==");
        for shown in [format!("{proxy}"), format!("{proxy:?}")] {
            for secret in ["p@ss", "p%40ss", "c2FuY2hv"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn a_proxy_that_nothing_can_be_asked_through_is_refused_without_its_password() {
        let refused = |url: &str| {
            let variables = [("HTTPS_PROXY", url), ("ALL_PROXY", "http://proxy:3128")];
            Proxies::of(with(&variables)).map(|_| ()).unwrap_err()
        };
        for url in [
            "http://",
            "http:// proxy",
            "/proxy",
            "http//proxy:3128",
            "http://proxy:port",
            "http://proxy:99999",
            "http://proxy:0",
            "http://:3128",
            "http://sancho:secret@",
            "http://sancho:secret@home@proxy:3128",
        ] {
            let error = refused(url);
            let variable = "HTTPS_PROXY";
            assert_eq!(error, ProxyUrlError::Malformed { variable }, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for scheme in ["https", "socks5", "socks5h", "ftp"] {
            let error = refused(&format!("{scheme}://sancho:secret@proxy:1080"));
            assert!(
                matches!(error, ProxyUrlError::Scheme { .. }),
                "{scheme}: {error:?}"
            );
            let text = error.to_string();
            assert!(
                text.contains("HTTPS_PROXY") && text.contains(scheme) && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_api_server_is_reached_as_kubectl_reaches_it() {
        let proxy = |server: &str, proxy_url: Option<&str>, variables: &[(&str, &str)]| {
            let server: Uri = server.parse().unwrap();
            let found = on_the_way_to(&server, proxy_url, with(variables)).unwrap();
            found.map(|uri| uri.to_string())
        };
        let far = "https://api.example:6443";
        let by_environment = [
            ("HTTPS_PROXY", "http://user:word@proxy:3128"),
            ("NO_PROXY", "10.0.0.0/8,"),
        ];
        let of_environment = Some("http://user:word@proxy:3128/".to_owned());
        assert_eq!(proxy(far, None, &[]), None);
        assert_eq!(proxy(far, None, &[("ALL_PROXY", "http://proxy")]), None);
        assert_eq!(proxy(far, None, &by_environment), of_environment);
        assert_eq!(
            proxy(far, None, &[("https_proxy", "proxy:3128")]).unwrap(),
            "http://proxy:3128/"
        );
        for spared in [
            "https://10.0.0.1:6443",
            "https://localhost:6443",
            "https://127.0.0.1:6443",
            "https://[::1]:6443",
        ] {
            assert_eq!(proxy(spared, None, &by_environment), None, "{spared}");
            // What the kubeconfig says counts in any case.
            let given = proxy(spared, Some("socks5://127.0.0.1:1080"), &by_environment);
            assert_eq!(given.unwrap(), "socks5://127.0.0.1:1080/");
        }
        // The proxy's own name is no matter of NO_PROXY.
        let named = [
            ("HTTPS_PROXY", "http://10.0.0.9:3128"),
            ("NO_PROXY", "10.0.0.0/8"),
        ];
        assert_eq!(proxy(far, None, &named).unwrap(), "http://10.0.0.9:3128/");
        let bad = on_the_way_to(&far.parse().unwrap(), Some("http://"), with(&[]));
        assert_eq!(
            bad,
            Err(ProxyUrlError::Malformed {
                variable: "proxy-url"
            })
        );
        // Nobody else is to say it with the password in it.
        let unspoken = Some("socks5h://user:secret@127.0.0.1:1080");
        let bad = on_the_way_to(&far.parse().unwrap(), unspoken, with(&[])).unwrap_err();
        assert_eq!(
            bad.to_string(),
            "proxy-url begins with socks5h://: write http://, https:// or socks5:// and HOST:PORT"
        );
    }
}
