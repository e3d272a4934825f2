//! The API server's audit log: which writes were made, by whom.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What is audited: every write once, when it is answered, without bodies.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
";

/// One write, whatever its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When the API server had received it.
    pub at: jiff::Timestamp,
    /// Who made it: `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub user: String,
    /// create, update, patch, delete or deletecollection.
    pub verb: String,
    /// The resource in plural, such as `leases`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for what has no namespace.
    pub namespace: String,
    /// Empty for a create with a name that the server made.
    pub name: String,
    /// The answer's status.
    pub code: u16,
    /// The client's User-Agent.
    pub user_agent: String,
}

pub(super) fn writes(path: &Path, user_prefix: &str, since: jiff::Timestamp) -> Result<Vec<Write>> {
    let text = fs::read_to_string(path).with_context(|| format!("the audit log {}", path.display()))?;
    // The last line may be half written: it has no end yet.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut writes = Vec::new();
    for line in complete.lines() {
        let event: Event = serde_json::from_str(line).context("a line of the audit log")?;
        if event.stage == "ResponseComplete"
            && event.request_received_timestamp >= since
            && event.user.username.starts_with(user_prefix)
        {
            writes.push(event.into());
        }
    }
    Ok(writes)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    request_received_timestamp: jiff::Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for Write {
    fn from(event: Event) -> Self {
        let Event {
            stage: _,
            verb,
            user,
            user_agent,
            object_ref,
            response_status,
            request_received_timestamp,
        } = event;
        let ObjectRef {
            resource,
            subresource,
            namespace,
            name,
        } = object_ref;
        Write {
            at: request_received_timestamp,
            user: user.username,
            verb,
            resource,
            subresource,
            namespace,
            name,
            code: response_status.code,
            user_agent,
        }
    }
}
