//! How the control plane's servers are started: their files and their flags.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::audit;
use crate::pki::{self, Authority};
use crate::process::Launch;

/// The controllers that always run: what owner references, namespaces and service accounts need, not
/// what makes Pods, since mostly there is no node to run them.
const CONTROLLERS: &[&str] = &[
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "clusterrole-aggregation-controller",
    "root-ca-certificate-publisher-controller",
];

/// The files that the servers share.
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Makes keys, certificates and the audit policy. The API server's certificate has `further` names, too.
    pub(super) fn write(dir: &Path, authority: &Authority, further: &[String]) -> Result<Self> {
        let files = Files { dir: dir.to_owned() };
        let mut names = vec!["kubernetes", "kubernetes.default"];
        names.extend(further.iter().map(String::as_str));
        let identity = authority.server("kube-apiserver", &names)?;
        // By this the API server asks those that it leads on to (APIServices).
        let front_proxy = authority.client("front-proxy", None)?;
        let (token_key, token_public_key) = pki::token_key()?;
        for (name, content) in [
            ("ca.crt", authority.pem()),
            ("server.crt", &identity.certificate),
            ("server.key", &identity.key),
            ("front-proxy.crt", &front_proxy.certificate),
            ("front-proxy.key", &front_proxy.key),
            ("token.key", &token_key),
            ("token.pub", &token_public_key),
            ("audit-policy.yaml", audit::POLICY),
        ] {
            fs::write(dir.join(name), content)?;
        }
        Ok(files)
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.dir.join(file).display())
    }
}

/// Where the audit log is.
pub(super) fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

/// etcd without waiting for the disk: a test's data need not survive the machine.
pub(super) fn etcd(program: &Path, dir: &Path, port: u16, peer_port: u16) -> Launch {
    Launch::new(program).args([
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer_port}"),
        "--unsafe-no-fsync=true".to_owned(),
        "--log-level=warn".to_owned(),
    ])
}

pub(super) fn apiserver(program: &Path, files: &Files, port: u16, etcd_port: u16) -> Launch {
    Launch::new(program)
        .args([
            format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            // The kubernetes Service may not point at loopback, and nobody asks for it.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={port}"),
            files.flag("tls-cert-file", "server.crt"),
            files.flag("tls-private-key-file", "server.key"),
            files.flag("client-ca-file", "ca.crt"),
            files.flag("proxy-client-cert-file", "front-proxy.crt"),
            files.flag("proxy-client-key-file", "front-proxy.key"),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            files.flag("service-account-signing-key-file", "token.key"),
            files.flag("service-account-key-file", "token.pub"),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            files.flag("audit-policy-file", "audit-policy.yaml"),
            // A write that cannot be noted must not pass.
            "--audit-log-mode=blocking-strict".to_owned(),
            format!("--audit-log-path={}", audit_log(&files.dir).display()),
        ])
        // A third more memory, and a fifth less of the processors' time until it is ready.
        .env("GOGC", "400")
}

pub(super) fn controller_manager(
    program: &Path,
    files: &Files,
    kubeconfig: &Path,
    port: u16,
    further: &[String],
) -> Launch {
    let usual = CONTROLLERS.iter().map(|name| (*name).to_owned());
    let controllers: Vec<String> = usual.chain(further.iter().cloned()).collect();
    Launch::new(program).args([
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        files.flag("tls-cert-file", "server.crt"),
        files.flag("tls-private-key-file", "server.key"),
        files.flag("root-ca-file", "ca.crt"),
        files.flag("service-account-private-key-file", "token.key"),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        format!("--controllers={}", controllers.join(",")),
    ])
}
