//! Today's assignment, when there are no shards: from the Secrets that earlier ones left.

use kube::ResourceExt;
use kube::api::ListParams;
use sancho_core::plan::PlannedShard;
use sancho_crds::Certificate;

use super::wanted::assignment_in_secrets;
use crate::context::Context;
use crate::found_by;
use crate::secrets::{CERTIFICATE_LABEL, label_value};

/// Reads the Secrets that carry the Certificate's label, if there are any.
///
/// # Errors
/// What the API server answered.
pub(super) async fn from_secrets(
    context: &Context,
    certificate: &Certificate,
) -> Result<Vec<PlannedShard>, kube::Error> {
    let name = certificate.name_any();
    let namespace = certificate.namespace().unwrap_or_default();
    let seen = &context.seen.secrets;
    let label = label_value(&name);
    if seen.is_ready() && seen.find(&found_by::labelled(&namespace, &label)).is_empty() {
        return Ok(Vec::new());
    }
    let params = ListParams::default().labels(&format!("{CERTIFICATE_LABEL}={label}"));
    let secrets = context.secrets(&namespace).list(&params).await?;
    Ok(assignment_in_secrets(&secrets.items, &name))
}
