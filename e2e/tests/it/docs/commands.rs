//! Each command of the pages is run as it stands there, by bash, or listed here with the reason why not.
//!
//! A line of a `sh` block is a command; so is code within a line that begins with a program's name and has arguments.
//! Of that, `kubectl sancho …` without what it is about is only asked for its help.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use futures::{StreamExt, stream};
use sancho_e2e::binaries;
use serde_json::Value;
use tokio::process::Command;

use super::ground::Ground;
use super::manifests::documents;
use super::pages::{Block, Page, page};
use super::plugin;

/// Commands that are not run here, by how they begin, and why.
const NOT_HERE: [(&str, &str); 23] = [
    ("docker ", "there is no container runtime"),
    ("kind ", "there is no container runtime"),
    ("cargo install --path operator/cli", "the plugin is built already"),
    ("cargo test", "this is it"),
    ("SANCHO_CRASHES=all cargo test", "it takes hours"),
    ("cargo e2e-node", "it needs root, and takes minutes; CI runs it"),
    ("cargo tools", "the servers of this test come from it"),
    (".ci/", "CI runs them, and this test in them"),
    ("cargo bench ", "it measures an optimized build for minutes"),
    (
        "cargo simulate",
        "operator/simulation parses the flags in a test of its own",
    ),
    (
        "cargo run -p sancho-e2e --bin",
        "cargo demo and cargo compare in other words",
    ),
    ("cargo crdgen", ".ci/generate runs it"),
    (
        "cargo demo --acme-directory",
        "it reads what e2e/elsewhere/start has written",
    ),
    ("e2e/elsewhere/start", "it needs nginx, and stays"),
    ("awk ", "it reads what e2e/elsewhere/start has written"),
    ("kubectl logs ", "there is no kubelet, so no Pod has a log"),
    ("kubectl krew ", "there is no release yet"),
    (
        "kubectl apply --server-side -f install.yaml",
        "the other tests' clusters are made by it",
    ),
    (
        "kubectl apply --server-side -f letsencrypt.yaml",
        "its CA is the real one; the manifests are tried without being kept",
    ),
    (
        "kubectl sancho import-from-cert-manager > ",
        "run with the cert-manager's kinds there",
    ),
    (
        "kubectl delete certificates.cert-manager.io NAME",
        "run as docs/migration.md has it",
    ),
    (
        "kubectl create clusterrole sancho-webhook",
        "run by the test of webhooks, where one is installed",
    ),
    ("helm uninstall", "run when all else is done"),
];

/// Pages whose commands are run after the others': they delete Leases, after which nothing is sent for 15 s, and bring
/// kinds of the same names.
const LAST: [&str; 2] = ["docs/budgets.md", "docs/migration.md"];

/// Parts of commands that prose speaks of.
const PARTS: [&str; 2] = ["kubectl apply --server-side", "cargo run"];

/// So many commands of prose are run at once.
const MOST_AT_ONCE: usize = 4;

/// Programs by which a command within a line is known.
const PROGRAMS: [&str; 6] = ["kubectl ", "helm ", "cargo ", "docker ", "tsig-keygen ", ".ci/"];

/// What a placeholder of the pages stands for here.
const PLACEHOLDERS: [(&str, &str); 6] = [
    ("NAME", "storefront"),
    ("NAMESPACE", "shop"),
    ("HOST", "www.example.com"),
    ("COMMAND", "status"),
    ("DIRECTORY", "man"),
    ("FILE", "storefront.yaml"),
];

/// Flags of others that the pages speak of.
const FOREIGN_FLAGS: [&str; 4] = [
    "--server-side",
    "--wait",
    "--enable-certificate-owner-ref",
    "--max-concurrent-challenges",
];

/// The commands of a block: its lines, those put together that a backslash joins.
pub fn commands(block: &Block) -> Vec<String> {
    if block.language != "sh" {
        return Vec::new();
    }
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Runs the commands of all pages. What is wrong, each with its place.
pub async fn run(ground: &Ground, pages: &[Page]) -> Vec<String> {
    let (last, others): (Vec<&Page>, Vec<&Page>) =
        pages.iter().partition(|page| LAST.contains(&page.path.as_str()));
    let mut run = Run {
        ground,
        count: 0,
        wrong: Vec::new(),
        named: BTreeSet::new(),
        helps: helps(ground).await,
    };
    for page in others.into_iter().chain(last) {
        if page.path == "docs/migration.md" {
            ground.with_cert_manager().await;
            run.import(page).await;
        }
        run.all_of(page).await;
    }
    run.argo_cd_config().await;
    run.uninstall().await;
    assert!(run.count > 70, "only {} commands", run.count);
    run.wrong
}

struct Run<'a> {
    ground: &'a Ground,
    count: usize,
    wrong: Vec<String>,
    /// The commands within lines that were tried already.
    named: BTreeSet<String>,
    /// What our programs say of their flags.
    helps: String,
}

impl Run<'_> {
    async fn all_of(&mut self, page: &Page) {
        for block in page.blocks() {
            let commands = commands(&block);
            let first = commands.first().map(String::as_str).unwrap_or_default();
            // A backup of what is changing just then is none.
            if first.ends_with("> secrets.yaml") {
                self.ground.at_rest().await;
            }
            let orders = match first.starts_with("kubectl create -f secrets.yaml") {
                true => Some(self.ground.lose_everything().await),
                false => None,
            };
            for command in commands {
                self.count += 1;
                self.whole(&block.place, &command).await;
            }
            if let Some(orders) = orders {
                self.restored(&block.place, orders).await;
            }
        }
        let (mut within, mut flags) = (Vec::new(), Vec::new());
        for (number, span) in page.spans() {
            let place = format!("{}:{number}", page.path);
            if PROGRAMS.iter().any(|program| span.starts_with(program)) {
                self.count += 1;
                if self.named.insert(span.clone()) {
                    within.push((place, span));
                }
            } else if span.starts_with("--") && !is_of_simulate(page, number) {
                flags.push((place, span));
            }
        }
        let looks = within.iter().map(|(place, span)| self.within_a_line(place, span));
        let wrong: Vec<Option<String>> = stream::iter(looks).buffered(MOST_AT_ONCE).collect().await;
        self.wrong.extend(wrong.into_iter().flatten());
        for (place, span) in flags {
            self.flag(&place, &span);
        }
    }

    /// A command of a block.
    async fn whole(&mut self, place: &str, command: &str) {
        if is_not_here(command) {
            return;
        }
        let wrong = match of_cargo(command) {
            Some((program, flags)) => parsed(place, command, program, flags).await,
            None => self.failure(place, command).await,
        };
        self.wrong.extend(wrong);
    }

    /// A command in the midst of prose. What is wrong with it.
    async fn within_a_line(&self, place: &str, span: &str) -> Option<String> {
        let is_a_word = span.split_whitespace().count() <= 2 && !span.starts_with("cargo ");
        if is_not_here(span) || is_a_word || PARTS.contains(&span) {
            return None;
        }
        let words = span.split_whitespace().map(|word| {
            let known = PLACEHOLDERS.iter().find(|(placeholder, _)| *placeholder == word);
            known.map_or(word, |(_, here)| *here)
        });
        let command = words.collect::<Vec<_>>().join(" ");
        if let Some((program, flags)) = of_cargo(&command) {
            return parsed(place, &command, program, flags).await;
        }
        self.failure(place, &plugin::as_run(&command)).await
    }

    async fn succeeds(&mut self, place: &str, command: &str) {
        let wrong = self.failure(place, command).await;
        self.wrong.extend(wrong);
    }

    /// How a command fails, if it does.
    async fn failure(&self, place: &str, command: &str) -> Option<String> {
        let command = as_it_stands(command);
        let ended = self.ground.run(&command).await;
        let code = ended.code;
        let is_well = plugin::is_well(&command, code);
        (!is_well).then(|| format!("{place}: {command}\nends with {code:?}: {}", ended.told))
    }

    /// A flag that prose speaks of is one of some program.
    fn flag(&mut self, place: &str, span: &str) {
        let name = span.split(['=', ' ']).next().unwrap_or_default();
        let is_known = FOREIGN_FLAGS.contains(&name)
            || self
                .helps
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .any(|word| word == name);
        if !is_known {
            self.wrong
                .push(format!("{place}: no program here has the flag {name}"));
        }
    }

    /// What was lost is there again, and the CA was asked for no certificate.
    async fn restored(&mut self, place: &str, orders: usize) {
        self.ground.at_rest().await;
        let orders_after = self.ground.orders();
        if orders_after != orders {
            self.wrong.push(format!(
                "{place}: {} certificates were ordered after the restore",
                orders_after - orders
            ));
        }
    }

    /// The import of the page's example is what the page says it is.
    async fn import(&mut self, page: &Page) {
        let blocks = page.blocks();
        let mut yaml = blocks.iter().filter(|block| block.language == "yaml");
        let theirs = yaml.next().unwrap();
        assert_eq!(theirs.file.as_deref(), Some("cert-manager.yaml"));
        let expected = &documents(yaml.next().unwrap())[0];
        for command in [
            "kubectl sancho import-from-cert-manager -A",
            "kubectl sancho import-from-cert-manager -f cert-manager.yaml",
        ] {
            let ended = self.ground.run(command).await;
            let printed: Result<Value, _> = serde_yaml::from_str(ended.told.trim_start_matches("---\n"));
            let is_it = printed.as_ref().is_ok_and(|printed| printed == expected);
            if ended.code != Some(0) || !is_it {
                self.wrong.push(format!(
                    "{}: {command} ends with {:?} and prints {}",
                    theirs.place, ended.code, ended.told
                ));
            }
        }
    }

    /// Argo CD's ConfigMap has the health scripts, and what it had before.
    async fn argo_cd_config(&mut self) {
        for part in [
            "url: https://argocd.example.com",
            "health.sancho.dev_ClusterIssuer:",
        ] {
            let command = format!("kubectl get configmap argocd-cm -n argocd -o yaml | grep '{part}'");
            self.succeeds("docs/gitops/argo-cd.md", &command).await;
        }
    }

    /// The uninstall, and that Secrets, Certificates and issuers outlive it.
    async fn uninstall(&mut self) {
        let operations = page("docs/operations.md").blocks();
        let mut uninstall = operations.iter().flat_map(commands);
        let uninstall = uninstall.find(|command| command.starts_with("helm uninstall"));
        self.succeeds("docs/operations.md", &uninstall.unwrap()).await;
        for kept in [
            "secret storefront-tls -n shop",
            "scert storefront -n shop",
            "clusterissuers.sancho.dev letsencrypt",
        ] {
            let command = format!("kubectl get {kept} -o name | grep .");
            self.succeeds("what an uninstall keeps", &command).await;
        }
    }
}

/// Why one of our own programs does not take these flags, if so.
async fn parsed(place: &str, command: &str, program: &str, flags: &str) -> Option<String> {
    let why = takes(program, flags).await.err()?;
    Some(format!("{place}: {command}: {why}"))
}

/// A command that makes what the README has made already, so that it can be run. A second release is refused: what others
/// install is rendered and judged by the API server's schema. So is a second namespace: it has to be there.
fn as_it_stands(command: &str) -> String {
    if let Some(rest) = command.strip_prefix("helm install ") {
        let rest = rest.replace("--create-namespace", "");
        return format!("helm template {rest} --validate");
    }
    match command.strip_prefix("kubectl create namespace ") {
        Some(name) => format!("kubectl get namespace {name}"),
        None => command.to_owned(),
    }
}

fn is_not_here(command: &str) -> bool {
    NOT_HERE
        .iter()
        .any(|(beginning, _)| command.starts_with(beginning.trim_end()))
}

/// The flags of the page of figures that `cargo simulate` takes.
fn is_of_simulate(page: &Page, number: usize) -> bool {
    let heading = page
        .prose()
        .into_iter()
        .find(|(_, line)| line.starts_with("## How well"));
    page.path == "docs/figures.md" && heading.is_some_and(|(begins, _)| number > begins)
}

/// The program behind an alias of cargo's, and its flags.
fn of_cargo(command: &str) -> Option<(&'static str, &str)> {
    let command = command.split(" #").next().unwrap_or_default();
    let (name, flags) = command
        .strip_prefix("cargo ")?
        .split_once(' ')
        .unwrap_or((command.strip_prefix("cargo ")?, ""));
    let programs = [
        ("demo", env!("CARGO_BIN_EXE_demo")),
        ("compare", env!("CARGO_BIN_EXE_compare")),
        ("scale", env!("CARGO_BIN_EXE_scale")),
        ("soak", env!("CARGO_BIN_EXE_soak")),
    ];
    let known = programs.into_iter().find(|(known, _)| *known == name)?;
    Some((known.1, flags))
}

/// Whether a program reads these flags: it then prints its help, and an error if not.
async fn takes(program: &str, flags: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(flags.split_whitespace())
        .arg("--help")
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(20), output).await;
    let output = output.unwrap().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The help of all our programs.
async fn helps(ground: &Ground) -> String {
    let operator = binaries::operator().await.unwrap().display().to_string();
    let mut text = String::new();
    for (program, flags) in [
        (operator.as_str(), "operator"),
        (operator.as_str(), "responder"),
        (env!("CARGO_BIN_EXE_demo"), ""),
        (env!("CARGO_BIN_EXE_compare"), ""),
        (env!("CARGO_BIN_EXE_scale"), ""),
        (env!("CARGO_BIN_EXE_soak"), ""),
    ] {
        text += &takes(program, flags).await.unwrap();
    }
    for command in ["status", "plan", "revoke"] {
        let ended = ground.run(&format!("kubectl sancho {command} --help")).await;
        text += &ended.told;
    }
    text
}

#[tokio::test]
async fn the_flags_in_the_tables_are_those_of_the_demo_and_the_comparison() {
    let mut count = 0;
    for path in ["README.md", "docs/figures.md"] {
        let page = page(path);
        for (number, span) in page.spans() {
            if !span.starts_with("--") || !span.contains(' ') || is_of_simulate(&page, number) {
                continue;
            }
            count += 1;
            let demo = takes(env!("CARGO_BIN_EXE_demo"), &span).await;
            let compare = takes(env!("CARGO_BIN_EXE_compare"), &span).await;
            assert!(
                demo.is_ok() || compare.is_ok(),
                "{path}:{number}: {demo:?} {compare:?}"
            );
        }
    }
    assert!(count > 8, "only {count}");
}
