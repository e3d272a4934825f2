//! cert-manager's Certificates and Issuers → Sancho's manifests, and what does not carry over.
//!
//! `objects (from a file, or from the cluster) -> certificate | issuer (pure) -> Imported -> text`
//!
//! # Guarantees
//! Every field of a spec, every label and every annotation is carried over, makes no difference, or is named in the remarks.

mod certificate;
mod dns01;
mod fields;
mod issuer;
mod metadata;
mod read;
mod solver;

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use self::fields::Fields;
pub use self::read::objects;

/// The API group of cert-manager.
pub const GROUP: &str = "cert-manager.io";

/// What became of one of cert-manager's objects.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The object: kind, namespace and name.
    pub from: String,
    /// What to apply; absent if Sancho cannot do what it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
    /// What does not carry over, and what to do by hand.
    pub remarks: Vec<String>,
}

/// Turns those of `objects` that are cert-manager's into Sancho's; issuers first. Others are not heeded.
pub fn import(objects: &[Value]) -> Vec<Imported> {
    let mut imported: Vec<(u8, Imported)> = objects.iter().filter_map(one).collect();
    imported.sort_by(|(a, one), (b, other)| (a, &one.from).cmp(&(b, &other.from)));
    imported.into_iter().map(|(_, imported)| imported).collect()
}

fn one(object: &Value) -> Option<(u8, Imported)> {
    let version = object["apiVersion"].as_str()?;
    if version.split_once('/')?.0 != GROUP {
        return None;
    }
    let kind = object["kind"].as_str()?;
    let mut remarks = Vec::new();
    let mut spec = Fields::of(&object["spec"]);
    let (rank, manifest) = match kind {
        "ClusterIssuer" => (0, issuer::manifest(object, kind, &mut spec, &mut remarks)),
        "Issuer" => (1, issuer::manifest(object, kind, &mut spec, &mut remarks)),
        "Certificate" => (2, certificate::manifest(object, &mut spec, &mut remarks)),
        // Made by cert-manager on the way: requests, orders and challenges.
        _ => return None,
    };
    if manifest.is_some() {
        remarks.extend(spec.rest("spec"));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let from = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    let imported = Imported {
        from,
        manifest,
        remarks,
    };
    Some((rank, imported))
}

/// One YAML stream: the manifests, each below comments that say what does not carry over.
///
/// # Errors
/// When a manifest cannot be written as YAML.
pub fn text(imported: &[Imported]) -> Result<String> {
    if imported.is_empty() {
        return Ok("# no Certificates and issuers of cert-manager here\n".into());
    }
    let mut text = String::new();
    for Imported {
        from,
        manifest,
        remarks,
    } in imported
    {
        let end = if manifest.is_some() { "" } else { ": not imported" };
        let _ = writeln!(text, "---\n# from cert-manager's {from}{end}");
        for remark in remarks {
            // What stands in an object may have line ends in it.
            let _ = writeln!(text, "# - {}", remark.replace(['\n', '\r'], " "));
        }
        if let Some(manifest) = manifest {
            text += &serde_yaml::to_string(manifest)?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
