//! What the chart's values make of its containers' arguments and environment, read by the real binary's own parser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;

use sancho_e2e::binaries;
use serde_json::{Value, json};
use tokio::process::Command;

use super::matrix::{matrix, objects};
use super::{chart_file, rendered};

/// The templates that have arguments.
const TEMPLATES: [&str; 4] = [
    "_pod.tpl",
    "operator-deployment.yaml",
    "responder.yaml",
    "clusterissuers-hook.yaml",
];

const OPERATOR: &str = "sancho";
const RESPONDER: &str = "sancho-responder";

/// Values, and the arguments that they add to those of one of the containers.
fn added() -> Vec<(Value, &'static str, &'static [&'static str])> {
    vec![
        (
            json!({ "selfCheck": { "enabled": false } }),
            OPERATOR,
            &["--self-check=false"],
        ),
        (
            json!({ "selfCheck": { "resolvers": ["1.1.1.1:53", "[2606:4700:4700::1111]:53"] } }),
            OPERATOR,
            &["--self-check-resolvers=1.1.1.1:53,[2606:4700:4700::1111]:53"],
        ),
        (
            json!({ "ingressAnnotations": { "enabled": false } }),
            OPERATOR,
            &["--ingress-annotations=false"],
        ),
        (
            json!({ "dns01": { "recursiveNameservers": ["9.9.9.9:53", "[2620:fe::fe]:53"] } }),
            OPERATOR,
            &["--dns01-recursive-nameservers=9.9.9.9:53,[2620:fe::fe]:53"],
        ),
        (
            json!({ "dns01": { "recursiveNameserversOnly": true } }),
            OPERATOR,
            &["--dns01-recursive-nameservers-only"],
        ),
        (
            json!({ "dns01": { "propagationWithoutTCP": true } }),
            OPERATOR,
            &["--dns01-propagation-without-tcp"],
        ),
        (
            json!({ "metrics": { "perCertificate": true } }),
            OPERATOR,
            &["--metrics-per-certificate"],
        ),
        (
            json!({ "traces": { "endpoint": "http://collector:4318/v1/traces" } }),
            OPERATOR,
            &["--traces-endpoint=http://collector:4318/v1/traces"],
        ),
        (
            json!({ "extraArgs": ["--log-format=text"] }),
            OPERATOR,
            &["--log-format=text"],
        ),
        (
            json!({ "responder": { "extraArgs": ["--log-format=text"] } }),
            RESPONDER,
            &["--log-format=text"],
        ),
        (
            json!({ "listenAddress": "[::]" }),
            OPERATOR,
            &["[::]:8080", "[::]:8081"],
        ),
        (
            json!({ "listenAddress": "[::]" }),
            RESPONDER,
            &["[::]:8080", "[::]:8081"],
        ),
        (
            json!({ "watchNamespaces": ["shop", "blog"] }),
            OPERATOR,
            &["--watch-namespaces", "shop,blog"],
        ),
        (
            json!({ "watchNamespaces": ["shop", "blog"] }),
            RESPONDER,
            &["--watch-namespaces", "shop,blog"],
        ),
    ]
}

#[tokio::test]
async fn each_value_adds_its_argument_and_sancho_takes_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let with_responder = json!({ "responder": { "enabled": true } });
    let defaults = containers(dir.path(), &with_responder).await;
    for (mut values, name, expected) in added() {
        values["responder"]["enabled"] = true.into();
        let containers = containers(dir.path(), &values).await;
        let new: Vec<&str> = arguments(&containers[name])
            .into_iter()
            .filter(|argument| !arguments(&defaults[name]).contains(argument))
            .collect();
        assert_eq!(new, expected, "{name} with {values}");
        taken(&containers, &values).await;
    }
}

#[tokio::test]
async fn sancho_takes_the_arguments_of_every_container_and_none_stands_in_a_template_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut given = BTreeSet::new();
    let all = matrix().into_iter().map(|(_, values, _)| values);
    for values in all.chain(added().into_iter().map(|(values, ..)| values)) {
        let containers = containers(dir.path(), &values).await;
        taken(&containers, &values).await;
        let flags = containers.values().flat_map(arguments).filter_map(flag);
        given.extend(flags.map(str::to_owned));
    }
    let mut written = BTreeSet::new();
    for template in TEMPLATES {
        let text = chart_file(&format!("templates/{template}"));
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        written.extend(words.filter_map(flag).map(str::to_owned));
    }
    assert!(written.len() >= 12, "{written:?}");
    let missing: Vec<&String> = written.difference(&given).collect();
    assert!(missing.is_empty(), "no values of the tests bring {missing:?}");
}

#[tokio::test]
async fn the_environment_is_what_sancho_reads_and_a_wrong_argument_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let values = json!({ "logFilter": "sancho=debug,info" });
    let operator = containers(dir.path(), &values).await.remove(OPERATOR).unwrap();
    let told = String::from_utf8(help(&operator).await.stdout).unwrap();
    for variable in operator["env"].as_array().unwrap() {
        let read = format!("[env: {}={}]", name(variable), value(variable));
        assert!(told.contains(&read), "no {read} in\n{told}");
    }
    assert!(told.contains("[env: SANCHO_LOG=sancho=debug,info]"), "{told}");

    for (values, said) in [
        (json!({ "extraArgs": ["--log-fromat=text"] }), "--log-fromat"),
        (
            json!({ "selfCheck": { "resolvers": ["1.1.1.1:99999"] } }),
            "1.1.1.1:99999",
        ),
        (json!({ "listenAddress": "everywhere" }), "everywhere:8080"),
    ] {
        let containers = containers(dir.path(), &values).await;
        let refused = help(&containers[OPERATOR]).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{values}: {told}");
        assert!(told.contains(said), "{values}: {told}");
    }
}

/// The containers that are rendered, by the names of their Deployments and Jobs.
async fn containers(dir: &Path, values: &Value) -> BTreeMap<String, Value> {
    let text = rendered(dir, values).await.unwrap();
    let named = |object: Value| {
        let container = object["spec"]["template"]["spec"]["containers"].get(0)?.clone();
        Some((object["metadata"]["name"].as_str()?.to_owned(), container))
    };
    objects(&text).into_iter().filter_map(named).collect()
}

fn arguments(container: &Value) -> Vec<&str> {
    let arguments = container["args"].as_array().unwrap();
    arguments
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect()
}

/// `--self-check` of `--self-check=false`.
fn flag(argument: &str) -> Option<&str> {
    let is_flag = argument
        .strip_prefix("--")?
        .starts_with(|c: char| c.is_ascii_lowercase());
    is_flag.then(|| argument.split('=').next().unwrap_or_default())
}

/// The name of a container's variable.
fn name(variable: &Value) -> &str {
    variable["name"].as_str().unwrap()
}

/// Its value; of one that only the kubelet knows, some other.
fn value(variable: &Value) -> &str {
    variable["value"].as_str().unwrap_or("tried")
}

/// Sees that the binary takes the arguments of all containers.
async fn taken(containers: &BTreeMap<String, Value>, values: &Value) {
    for (name, container) in containers {
        let output = help(container).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} with {values}: {told}");
    }
}

/// Has the binary read a container's arguments, in its environment, and then print its help in the place of starting:
/// what stands before `--help` is judged first.
async fn help(container: &Value) -> Output {
    let variables = container["env"].as_array().into_iter().flatten();
    Command::new(binaries::operator().await.unwrap())
        .args(arguments(container))
        .arg("--help")
        .env_clear()
        .envs(variables.map(|variable| (name(variable), value(variable))))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}
