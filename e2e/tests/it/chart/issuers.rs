//! The chart's Job that applies ClusterIssuers. There is no node to run it: the test does what a
//! kubelet would, with the Job's own arguments, file and service account.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use sancho_e2e::binaries;
use sancho_e2e::cluster::Cluster;
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;

const NAME: &str = "sancho-cluster-issuers";

/// A spec of a CA that is never asked.
pub fn spec(email: &str) -> Value {
    json!({ "acme": {
        "server": "https://ca.example/directory",
        "email": email,
        "privateKeySecretRef": { "name": "account" },
        "solvers": [{ "http01": { "external": {} } }],
    } })
}

/// Waits for the Job, runs it, and says that it is complete.
pub async fn run_job(cluster: &Cluster, dir: &Path) -> Result<()> {
    let get = async |kind: &str| -> Result<Value> {
        let text = cluster
            .kubectl(&["get", kind, NAME, "-n", NAMESPACE, "-o", "json"])
            .await?;
        Ok(serde_json::from_str(&text)?)
    };
    let job = wait_for("the Job", Duration::from_secs(60), &[], async || {
        get("job").await.map(Some)
    })
    .await?;
    let pod = &job["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().context("no service account")?;
    let volume = &pod["volumes"][0]["configMap"]["name"];
    assert_eq!(volume, NAME);
    let file = get("configmap").await?["data"]["cluster-issuers.json"].clone();
    let file = file.as_str().context("no file")?;
    let kubeconfig = cluster
        .service_account_kubeconfig(NAMESPACE, account, None)
        .await?;
    let args: Vec<&str> = pod["containers"][0]["args"]
        .as_array()
        .context("no arguments")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let output = run(dir, &kubeconfig, &args, file).await;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{told}");

    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    let status = json!({ "status": {
        "startTime": now,
        "completionTime": now,
        "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    } });
    let patch = format!("--patch={status}");
    cluster
        .kubectl(&[
            "patch",
            "job",
            NAME,
            "-n",
            NAMESPACE,
            "--subresource=status",
            "--type=merge",
            &patch,
        ])
        .await?;
    Ok(())
}

/// What the Job's program says to a spec that the API server refuses.
pub async fn refusal(cluster: &Cluster, dir: &Path, spec: &Value) -> String {
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig_path()).unwrap();
    let args = ["cluster-issuers", "--file", "/etc/sancho/cluster-issuers.json"];
    let file = json!({ "wrong": spec }).to_string();
    let output = run(dir, &kubeconfig, &args, &file).await;
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the operator's binary with the ConfigMap's file where `/etc/sancho` would be mounted.
async fn run(dir: &Path, kubeconfig: &str, args: &[&str], file: &str) -> Output {
    let mounted = dir.join("cluster-issuers.json");
    std::fs::write(&mounted, file).unwrap();
    let config = dir.join("job.kubeconfig");
    std::fs::write(&config, kubeconfig).unwrap();
    let args = args.iter().map(|arg| match *arg {
        "/etc/sancho/cluster-issuers.json" => mounted.display().to_string(),
        other => other.to_owned(),
    });
    tokio::process::Command::new(binaries::operator().await.unwrap())
        .args(args)
        .env("KUBECONFIG", &config)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}
