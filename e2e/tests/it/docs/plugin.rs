//! How `kubectl sancho …` of the pages is run, and how it has to end.

const PLUGIN: &str = "kubectl sancho ";

/// Commands that prose names without what they are about. Of these the help is asked for. The import is run when
/// cert-manager's kinds are there.
const NAMED_ALONE: [&str; 10] = [
    "dns-records",
    "import-from-cert-manager",
    "pause",
    "plan",
    "plan -f",
    "renew",
    "resume",
    "retry",
    "revoke",
    "which",
];

/// Commands that answer by 1 that something is not ready, not there, or about to expire. That is an answer, too: the
/// Certificate of the pages is renewed, revoked and deleted on the way, and no replica runs as a Pod here. Not so `plan`,
/// which says by 1 that a manifest of the pages would be refused.
const ANSWERS: [&str; 6] = ["budget", "dns-records", "doctor", "expiring", "status", "which"];

/// A command of prose as it is run.
pub fn as_run(command: &str) -> String {
    match command.strip_prefix(PLUGIN) {
        // A flag without its value is named, and not used.
        Some(rest) if NAMED_ALONE.contains(&rest) => {
            format!("{} --help", command.trim_end_matches(" -f"))
        }
        _ => command.to_owned(),
    }
}

/// Is it well that `command` has ended with this status?
pub fn is_well(command: &str, code: Option<i32>) -> bool {
    let verb = command
        .strip_prefix(PLUGIN)
        .and_then(|rest| rest.split_whitespace().next());
    let may_say_no = verb.is_some_and(|verb| ANSWERS.contains(&verb));
    code == Some(0) || may_say_no && code == Some(1)
}

#[test]
fn what_is_named_alone_is_asked_for_its_help_and_all_else_is_run() {
    for (span, run) in [
        ("kubectl sancho doctor", "kubectl sancho doctor"),
        ("kubectl sancho status -A", "kubectl sancho status -A"),
        (
            "kubectl sancho plan -f storefront.yaml",
            "kubectl sancho plan -f storefront.yaml",
        ),
        ("kubectl sancho plan -f", "kubectl sancho plan --help"),
        ("kubectl sancho which", "kubectl sancho which --help"),
        ("kubectl sancho retry", "kubectl sancho retry --help"),
        ("helm list", "helm list"),
    ] {
        assert_eq!(as_run(span), run);
    }
}

#[test]
fn only_a_look_may_say_no() {
    for (command, may_say_no) in [
        ("kubectl sancho status storefront -n shop", true),
        ("kubectl sancho doctor # what is wrong", true),
        ("kubectl sancho plan -f storefront.yaml", false),
        ("kubectl sancho renew storefront", false),
        ("kubectl get scert", false),
    ] {
        assert!(is_well(command, Some(0)), "{command}");
        assert_eq!(is_well(command, Some(1)), may_say_no, "{command}");
        assert!(!is_well(command, Some(2)), "{command}");
        assert!(!is_well(command, None), "{command}");
    }
}
