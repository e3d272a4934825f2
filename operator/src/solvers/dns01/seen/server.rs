//! What looks at the addresses of a server come to. Pure.

use std::net::SocketAddr;

use super::lack::Lack;
use crate::solvers::dns01::exchange::{NoAnswer, Transport};

/// What is said of a server without one.
pub(super) const NO_ADDRESS: &str = "has no address";

/// A server of a zone; or the recursive servers, any of which does as well as another one.
pub(super) struct Server {
    /// None of the recursive ones.
    pub(super) name: Option<String>,
    pub(super) addresses: Vec<SocketAddr>,
}

/// What a look at one address came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It has all that is looked for, as it answers by this.
    Has(Transport),
    /// It answers, and lacks something.
    Lacks(Lack),
    /// It says nothing of the record. Who asks turns to another address.
    Nothing {
        words: String,
        /// Whether there is a way there from here.
        is_reached: bool,
    },
    /// There was no time to ask it.
    Unasked,
}

impl Told {
    /// It does not answer.
    pub(super) fn silent(no_answer: &NoAnswer) -> Self {
        Self::Nothing {
            words: silent(no_answer),
            is_reached: !no_answer.has_no_way(),
        }
    }
}

impl Server {
    /// The whole of it, as it is told.
    pub(super) fn told(&self) -> &str {
        self.name.as_deref().unwrap_or("the recursive server")
    }

    /// This address of it, as it is told.
    pub(super) fn word(&self, address: SocketAddr) -> String {
        match &self.name {
            Some(name) => format!("{name} ({})", address.ip()),
            None => address.to_string(),
        }
    }

    /// Which addresses keep it from having a record: those that lack it; else one that was not asked, of which `late` is
    /// said; else, if none has the record, those that are silent. Those that cannot be reached from here at all are told of
    /// if there are no others.
    pub(super) fn judged(&self, told: &[(SocketAddr, &Told)], late: &str) -> Vec<Lack> {
        if self.addresses.is_empty() {
            return vec![Lack::new(NO_ADDRESS).of(self.told())];
        }
        let lacking = told.iter().filter_map(|(address, told)| match told {
            Told::Lacks(lack) => Some(lack.of(&self.word(*address))),
            Told::Has(_) | Told::Nothing { .. } | Told::Unasked => None,
        });
        let lacking: Vec<Lack> = lacking.collect();
        if !lacking.is_empty() {
            return lacking;
        }
        if let Some((address, _)) = told.iter().find(|(_, told)| **told == Told::Unasked) {
            return vec![Lack::new(late).of(&self.word(*address))];
        }
        if told.iter().any(|(_, told)| matches!(told, Told::Has(_))) {
            return Vec::new();
        }
        let is_of = |told: &Told, wanted: bool| matches!(told, Told::Nothing { is_reached, .. } if *is_reached == wanted);
        let is_any_reached = told.iter().any(|(_, told)| is_of(told, true));
        let silent = told.iter().filter_map(|(address, told)| match told {
            Told::Nothing { words, .. } if is_of(told, is_any_reached) => {
                Some(Lack::new(words).of(&self.word(*address)))
            }
            _ => None,
        });
        silent.collect()
    }
}

/// What is said of who does not answer.
pub(super) fn silent(no_answer: &NoAnswer) -> String {
    match no_answer {
        NoAnswer::Cut(_) => format!("is silent: {no_answer}"),
        no_answer => format!("is silent by UDP: {no_answer}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const LATE: &str = "was not asked";

    /// What is said of a server whose addresses come to this.
    fn said(told: &[Told]) -> Vec<String> {
        let addresses = (1..).map(|last| SocketAddr::from(([192, 0, 2, last], 53)));
        let server = Server {
            name: Some("ns1.shop.example".into()),
            addresses: addresses.take(told.len()).collect(),
        };
        let told: Vec<(SocketAddr, &Told)> = server.addresses.iter().copied().zip(told).collect();
        let lacks = server.judged(&told, LATE);
        lacks.into_iter().map(|lack| lack.words).collect()
    }

    fn lacks() -> Told {
        Told::Lacks(Lack::new("lacks the record"))
    }

    fn silent() -> Told {
        Told::silent(&NoAnswer::Silent)
    }

    fn no_way() -> Told {
        Told::silent(&NoAnswer::Unreachable(ErrorKind::NetworkUnreachable))
    }

    #[test]
    fn the_address_that_lacks_a_record_is_told_whatever_the_others_have() {
        let has = || Told::Has(Transport::Udp);
        assert_eq!(said(&[has(), has()]), [""; 0]);
        assert_eq!(
            said(&[has(), lacks()]),
            ["ns1.shop.example (192.0.2.2) lacks the record"]
        );
        assert_eq!(
            said(&[silent(), lacks(), Told::Unasked, lacks()]),
            [
                "ns1.shop.example (192.0.2.2) lacks the record",
                "ns1.shop.example (192.0.2.4) lacks the record"
            ]
        );
        assert_eq!(
            said(&[has(), Told::Unasked]),
            ["ns1.shop.example (192.0.2.2) was not asked"]
        );
    }

    #[test]
    fn a_silent_address_counts_if_all_of_the_servers_are_silent() {
        assert_eq!(said(&[silent(), Told::Has(Transport::Udp), no_way()]), [""; 0]);
        let both = said(&[silent(), silent()]);
        assert_eq!(both.len(), 2);
        assert_eq!(
            both[1],
            "ns1.shop.example (192.0.2.2) is silent by UDP: it does not answer"
        );
        assert_eq!(said(&[]), ["ns1.shop.example has no address"]);
    }

    #[test]
    fn an_address_without_a_way_there_is_told_if_there_is_no_other() {
        assert_eq!(
            said(&[no_way(), silent()]),
            ["ns1.shop.example (192.0.2.2) is silent by UDP: it does not answer"]
        );
        assert_eq!(
            said(&[no_way()]),
            ["ns1.shop.example (192.0.2.1) is silent by UDP: it cannot be reached (network unreachable)"]
        );
        // Somebody is there who says that nobody listens.
        let refused = Told::silent(&NoAnswer::Unreachable(ErrorKind::ConnectionRefused));
        assert_eq!(said(&[no_way(), refused]).len(), 1);
    }
}
