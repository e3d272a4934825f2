//! What stands there from 0 on, before any of it happens: of a count that begins with 1, Prometheus takes the 1 for no
//! increase.
//!
//! Only what is usual: of an answer or an end that is rare, the first one in each replica is missed by `increase()`.

use sancho_core::order::reason;

use super::{CaLabels, EndpointLabels, ISSUED, Metrics, OrderKind, OrderLabels, RequestLabels};

/// What CAs are asked for, with the usual answers.
const USUAL: [(&str, &[&str]); 10] = [
    ("directory", &["200"]),
    ("newNonce", &["200", "429", "503"]),
    ("newAccount", &["200", "201"]),
    ("newOrder", &["201", "429", "503"]),
    ("authorization", &["200"]),
    ("challenge", &["200"]),
    ("order", &["200"]),
    ("finalize", &["200"]),
    ("certificate", &["200"]),
    ("renewalInfo", &["200"]),
];

/// How orders usually end.
const RESULTS: [&str; 2] = [ISSUED, reason::VALIDATION_FAILED];

impl Metrics {
    /// There is a budget, of a CA or of an account at a DNS provider.
    pub fn begin_budget(&self, ca: &str) {
        let inner = &self.inner;
        let labels = CaLabels { ca: ca.to_owned() };
        let _ = inner.permits.get_or_create(&labels);
        let _ = inner.wait.get_or_create(&labels);
        let _ = inner.late.get_or_create(&labels);
        let _ = inner.pauses.get_or_create(&labels);
    }

    /// It is that of a CA, which is asked for certificates.
    pub fn begin_ca(&self, ca: &str) {
        let inner = &self.inner;
        for (endpoint, codes) in USUAL {
            let labels = EndpointLabels {
                ca: ca.to_owned(),
                endpoint,
            };
            let _ = inner.answer.get_or_create(&labels);
            for code in codes {
                let labels = RequestLabels {
                    ca: ca.to_owned(),
                    endpoint,
                    code: (*code).to_owned(),
                };
                let _ = inner.requests.get_or_create(&labels);
            }
        }
        for kind in OrderKind::ALL {
            for result in RESULTS {
                let labels = OrderLabels {
                    ca: ca.to_owned(),
                    kind: kind.word(),
                    result: result.to_owned(),
                };
                let _ = inner.orders.get_or_create(&labels);
            }
        }
        let _ = inner.order.get_or_create(&CaLabels { ca: ca.to_owned() });
    }
}
