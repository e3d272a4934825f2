//! `sancho cluster-issuers`: a file → ClusterIssuers, applied once.
//!
//! The chart runs it after its own objects are there, since an object cannot be in one release with
//! the definition of its kind. It runs under a service account of its own, so that the operator needs
//! no right to write an issuer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::ApiResource;
use kube::{Api, Client};
use sancho_crds::ClusterIssuer;
use serde_json::Value;
use tokio::time::Instant;

use crate::api_server;

/// Who has applied them, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "sancho-chart";
/// New definitions and rights take a while to count, longer with several API servers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is tried in that time.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Applies the ClusterIssuers of `file`, a JSON object of specs by name.
///
/// # Errors
/// The file cannot be read, the API server refuses one, or is not reached for a minute.
pub async fn apply(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let specs: BTreeMap<String, Value> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no JSON object of specs by name", file.display()))?;
    let client = Client::try_from(api_server::config().await?)?;
    let resource = ApiResource::erase::<ClusterIssuer>(&());
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let deadline = Instant::now() + PATIENCE;
    for (name, spec) in &specs {
        let issuer = DynamicObject::new(name, &resource).data(serde_json::json!({ "spec": spec }));
        apply_one(&api, name, &issuer, deadline).await?;
        tracing::info!(issuer = name, "applied");
    }
    Ok(())
}

async fn apply_one(
    api: &Api<DynamicObject>,
    name: &str,
    issuer: &DynamicObject,
    deadline: Instant,
) -> anyhow::Result<()> {
    let mut params = PatchParams::apply(FIELD_MANAGER).force();
    // A field that does not exist is a mistake, and not to be dropped in silence.
    params.field_validation = Some(ValidationDirective::Strict);
    loop {
        match api.patch(name, &params, &Patch::Apply(issuer)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if is_final(status.code, &status.message) => bail!(
                "ClusterIssuer {name} is refused: {}. Mend clusterIssuers.{name} in the chart's values",
                status.message
            ),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("ClusterIssuer {name}"));
            }
            Err(error) => {
                tracing::info!(%error, issuer = name, "tried again");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// Would it be refused again? A kind that is not known yet, and rights that do not count yet, come.
fn is_final(code: u16, message: &str) -> bool {
    // The API server calls a field that its schema lacks an error of its own.
    let is_no_field = code == 500 && message.contains("field not declared in schema");
    is_no_field || matches!(code, 400 | 422)
}
