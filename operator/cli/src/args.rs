//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use sancho_crds::RevocationReason;

use crate::output::Format;

/// Sees what Sancho does (certificates, their shards and orders, and the request budgets) and has it do things.
///
/// Exit status: 0 if everything asked for is ready (or nothing expires), 1 if something is not
/// ready or not there, 2 if the question could not be answered.
#[derive(Parser)]
#[command(name = "kubectl-sancho", bin_name = "kubectl sancho", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// The namespace; that of the kubeconfig's context if left out.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// How to write the answer.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// The kubeconfig file; else $KUBECONFIG, else ~/.kube/config.
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The namespace that Sancho runs in, where the budgets' Leases are.
    #[arg(
        long,
        global = true,
        env = "SANCHO_NAMESPACE",
        default_value = "sancho-system"
    )]
    pub operator_namespace: String,
}

#[derive(Subcommand)]
pub enum Command {
    /// Certificates at a glance, or one as a tree: its shards, their orders, and what each waits for.
    Status {
        /// The Certificate.
        name: Option<String>,
        /// Show it again whenever it changes; ends when the named Certificate is ready.
        #[arg(short, long)]
        watch: bool,
    },
    /// The request budgets: rate, slots, which replicas hold them or wait, and which namespaces' shards do.
    Budget {
        /// A ClusterIssuer, or an Issuer of the namespace; all budgets if left out.
        issuer: Option<String>,
    },
    /// What applying Certificates would do: the shards that are touched, orders, requests, how long they take, and what is
    /// left of quotas that the CA publishes.
    ///
    /// Nothing is written; the API server judges each Certificate as it is written, as `kubectl apply` has it judged. Exit
    /// status: 0 if all would be accepted, 1 if one would be refused or its namespace is not there, 2 if that could not be
    /// found out.
    Plan {
        /// A file of manifests, `-` for standard input. Issuers that its Certificates name are taken from it; the rest is
        /// passed over.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// The Secret and the Certificate that serve a host name, in all namespaces.
    Which(Which),
    /// The TXT records that have to stand in DNS for a Certificate whose names are validated by dns-persist-01.
    ///
    /// Lines of a zone file, with remarks behind semicolons. Whether they are there already tells `status`. Exit status: 1
    /// if they are not known yet.
    DnsRecords(Named),
    /// Certificates that expire soon, the next one first, in all namespaces.
    Expiring {
        /// How soon, such as 14d, 36h or 2w.
        #[arg(long, default_value = "14d")]
        within: Within,
    },
    /// Renews a Certificate now, whatever its certificates' age. They stay in use until the new ones are there.
    Renew(Named),
    /// Tries again now what has failed, in place of when its wait is over, and names in quarantine. A quota of the CA keeps
    /// its time.
    Retry(Named),
    /// Has the CA revoke what a Certificate's Secrets serve, or one Secret, and issue it anew. This cannot be undone.
    Revoke(Revoke),
    /// Begins no order for a Certificate, not even for a renewal, until it is resumed.
    Pause(Named),
    /// Ends a pause.
    Resume(Named),
    /// Looks for what is wrong: rights, CRDs, replicas, routes, budgets, CAs, quotas, issuers, Certificates, names, clocks; with
    /// the next step for each.
    ///
    /// Exit status: 0 if all is fine, 1 if something is broken or doubtful, 2 if the API server cannot be asked.
    Doctor,
    /// Prints Sancho's manifests for cert-manager's Certificates and issuers, and what does not carry over. Writes nothing.
    ///
    /// The Certificates ask to adopt the Secrets that are there. Exit status: 0 if all objects can be imported, 1 if some
    /// cannot or there are none, 2 if they cannot be read. Remarks stand in comments above each manifest.
    ImportFromCertManager {
        /// A file of manifests, `-` for standard input; else what is in the cluster is read, in all namespaces unless
        /// one is named.
        #[arg(short, long)]
        file: Option<PathBuf>,
    },
    /// Completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes man pages, one for each command.
    ManPages {
        /// The directory, which is made if it is absent.
        directory: PathBuf,
    },
}

/// A Certificate of one namespace.
#[derive(Args)]
pub struct Named {
    /// The Certificate.
    pub name: String,
}

/// What is to be revoked, and why.
#[derive(Args)]
pub struct Revoke {
    /// The Certificate, all of whose certificates are revoked.
    #[arg(required_unless_present = "secret", conflicts_with = "secret")]
    pub name: Option<String>,
    /// The Secret whose certificate alone is revoked.
    #[arg(long)]
    pub secret: Option<String>,
    /// Why, by a name of RFC 5280, such as keyCompromise, superseded or cessationOfOperation.
    #[arg(long, value_parser = RevocationReason::parse)]
    pub reason: RevocationReason,
    /// That it is meant: clients may refuse what is revoked at once, and no CA takes it back.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args)]
pub struct Which {
    /// The host name, such as www.example.com.
    pub host: String,
}

/// A time span in days, hours or the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within(pub SignedDuration);

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = |_| format!("{text:?} is no time span: write 14d, 36h or 2w");
        let span: Span = text.parse().map_err(advice)?;
        span.to_duration(SpanRelativeTo::days_are_24_hours())
            .map(Self)
            .map_err(advice)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_span_is_read_as_people_write_it() {
        assert_eq!("14d".parse(), Ok(Within(SignedDuration::from_hours(14 * 24))));
        assert_eq!("2w".parse(), Ok(Within(SignedDuration::from_hours(14 * 24))));
        assert_eq!("36h".parse(), Ok(Within(SignedDuration::from_hours(36))));
        assert_eq!(
            "soon".parse::<Within>(),
            Err("\"soon\" is no time span: write 14d, 36h or 2w".into())
        );
    }
}
