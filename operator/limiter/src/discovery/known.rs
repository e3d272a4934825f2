//! CAs, and DNS providers, whose limits are published.

use crate::budget::{Budget, SubRate};

/// One CA's published limits.
struct Published {
    /// `https://host`, as budgets are named.
    origin: &'static str,
    requests_per_second: f64,
    burst: u32,
    new_nonce: SubRate,
}

/// Let's Encrypt publishes no bound on the requests in flight; this is ours.
const MAX_IN_FLIGHT: u32 = 32;

/// From <https://letsencrypt.org/docs/rate-limits/> and, for staging,
/// <https://letsencrypt.org/docs/staging-environment/>, per IP address, as of 2026-09. Requests per second are the
/// lowest of those for newOrder and for the rest of `/acme`; newNonce has a limit of its own. The directory
/// (40/s) and newAccount (5/s) are asked too rarely to come near theirs.
static TABLE: [Published; 2] = [
    // newOrder 300/s (burst 200), other 250/s (125), newNonce 20/s (10).
    Published {
        origin: "https://acme-v02.api.letsencrypt.org",
        requests_per_second: 250.0,
        burst: 125,
        new_nonce: SubRate::new(20.0, 10),
    },
    // newOrder 20/s (burst 40), other 20/s (20), newNonce 20/s (10).
    Published {
        origin: "https://acme-staging-v02.api.letsencrypt.org",
        requests_per_second: 20.0,
        burst: 20,
        new_nonce: SubRate::new(20.0, 10),
    },
];

/// A DNS provider's published limits, of what it counts by: an account, a user, a token or an address. Here each credential has
/// them, since it does not tell its account.
struct Provider {
    /// How the names of its budgets begin.
    prefix: &'static str,
    requests_per_second: f64,
    burst: u32,
    max_in_flight: u32,
}

const fn provider(
    prefix: &'static str,
    requests_per_second: f64,
    burst: u32,
    max_in_flight: u32,
) -> Provider {
    Provider {
        prefix,
        requests_per_second,
        burst,
        max_in_flight,
    }
}

/// As of 2026-11. Of all but Route 53's a tenth or more is left to others.
static PROVIDERS: [Provider; 16] = [
    // 5 requests a second for an AWS account: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html
    provider("dns:route53:", 5.0, 0, 2),
    // 1,200 in five minutes for a user, over all of its tokens: https://developers.cloudflare.com/fundamentals/api/reference/limits/
    provider("dns:cloudflare:", 3.4, 60, 4),
    // 20 a second, 600 a minute and 36,000 an hour for an address: https://www.cloudns.net/wiki/article/41/
    provider("dns:cloudns:", 8.5, 8, 4),
    // 5,000 an hour and 250 a minute for a token: https://docs.digitalocean.com/reference/api/digitalocean/
    provider("dns:digitalocean:", 1.2, 60, 2),
    // 2,400 an hour for an account: https://developer.dnsimple.com/v2/#rate-limiting
    provider("dns:dnsimple:", 0.55, 60, 2),
    // 150 in five minutes for an API key: https://api-docs.dnsmadeeasy.com/
    provider("dns:dnsmadeeasy:", 0.3, 44, 2),
    // 1 a second; the 500 a day beside it are not kept to: https://docs.sandbox.rest.easydns.net/
    provider("dns:easydns:", 0.9, 0, 2),
    // 3,600 an hour for a project: https://docs.hetzner.cloud/reference/cloud#rate-limiting
    provider("dns:hetzner:", 0.85, 60, 2),
    // 60 a minute: https://developer.infomaniak.com/getting-started
    provider("dns:infomaniak:", 0.75, 8, 2),
    // Of lists, which are half of what is asked, 100 a minute for a user: https://techdocs.akamai.com/linode-api/reference/rate-limits
    provider("dns:linode:", 1.4, 10, 2),
    // 1,200 in five minutes: https://luadns.com/api.html
    provider("dns:luadns:", 3.4, 60, 2),
    // 500 a minute for a token: https://docs.netlify.com/api-and-cli-guides/api-guides/get-started-with-api/#rate-limiting
    provider("dns:netlify:", 7.0, 20, 4),
    // 20 a second of a call for an account: https://cloud.tencent.com/document/api/1427/56173
    provider("dns:tencentcloud:", 15.0, 2, 4),
    // 1,000 in 15 minutes for a user: https://api.transip.nl/rest/docs.html
    provider("dns:transip:", 0.9, 60, 2),
    // 10 a second of CreateRecord: https://www.volcengine.com/docs/6758/155104
    provider("dns:volcengine:", 7.0, 1, 2),
    // 30 a second for an address: https://www.vultr.com/api/
    provider("dns:vultr:", 20.0, 5, 4),
];

/// The published limits of the CA at `origin` (`https://host`, the port left out or 443), or of an account at a DNS
/// provider (`dns:PROVIDER:ACCOUNT`), if they are known.
pub fn published(origin: &str) -> Option<Budget> {
    if let Some(known) = PROVIDERS.iter().find(|known| origin.starts_with(known.prefix)) {
        return Some(Budget::new(
            known.requests_per_second,
            known.burst,
            known.max_in_flight,
        ));
    }
    let origin = origin.strip_suffix(":443").unwrap_or(origin);
    let known = TABLE.iter().find(|known| known.origin == origin)?;
    let mut budget = Budget::new(known.requests_per_second, known.burst, MAX_IN_FLIGHT);
    budget.new_nonce = Some(known.new_nonce.clone());
    Some(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_encrypt_is_known_by_its_origin_and_others_are_not() {
        for origin in [
            "https://acme-v02.api.letsencrypt.org",
            "https://acme-v02.api.letsencrypt.org:443",
        ] {
            let budget = published(origin).unwrap();
            assert_eq!((budget.requests_per_second, budget.burst), (250.0, 125));
            assert_eq!(budget.new_nonce, Some(SubRate::new(20.0, 10)));
        }
        assert_eq!(published("https://acme-v02.api.letsencrypt.org:8443"), None);
        assert_eq!(published("https://ca.example"), None);
    }

    #[test]
    fn what_a_provider_publishes_is_not_exceeded_in_its_own_window() {
        for (account, window, most) in [
            ("dns:route53:a", 60.0, 300.0),
            ("dns:cloudflare:a", 300.0, 1200.0),
            ("dns:digitalocean:a", 60.0, 250.0),
            ("dns:digitalocean:a", 3600.0, 5000.0),
            ("dns:dnsimple:a", 3600.0, 2400.0),
            ("dns:hetzner:a", 3600.0, 3600.0),
            ("dns:vultr:a", 1.0, 30.0),
            ("dns:cloudns:a", 1.0, 20.0),
            ("dns:cloudns:a", 60.0, 600.0),
            ("dns:dnsmadeeasy:a", 300.0, 150.0),
            ("dns:easydns:a", 1.0, 1.0),
            ("dns:infomaniak:a", 60.0, 60.0),
            ("dns:linode:a", 60.0, 100.0),
            ("dns:luadns:a", 300.0, 1200.0),
            ("dns:netlify:a", 60.0, 500.0),
            ("dns:tencentcloud:a", 1.0, 20.0),
            ("dns:transip:a", 900.0, 1000.0),
            ("dns:volcengine:a", 1.0, 10.0),
        ] {
            let budget = published(account).unwrap();
            let in_window = 1.0 + f64::from(budget.burst) + budget.requests_per_second * window;
            assert!(in_window <= most + 1.0, "{account}: {in_window}");
        }
        assert_eq!(published("dns:another:a"), None);
    }
}
