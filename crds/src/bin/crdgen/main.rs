//! `cargo crdgen`: types → CustomResourceDefinitions → `crds/yaml`, the Helm chart's templates, and the page of all
//! fields.

mod reference;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, Issuer};

const HELP: &str = "\
Writes the CustomResourceDefinitions of sancho.dev from the types in crds/src:
crds/yaml/*.yaml, charts/sancho/templates/crds/*.yaml for Helm, and docs/reference.md.

Usage: cargo crdgen [--check]

  --check  write nothing; exit with status 1 if a file is not what it would be, and name it
  --help   print this
";

const HEADER: &str = "# Generated from crds/src by `cargo crdgen`. Do not edit.\n";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("crdgen: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            for file in files()? {
                write(&file)?;
                println!("{}", file.path.display());
            }
        }
        ["--check"] => {
            let stale: Vec<File> = files()?.into_iter().filter(|file| !is_fresh(file)).collect();
            for file in &stale {
                eprintln!(
                    "crdgen: {} is stale: run `cargo crdgen` and commit it",
                    file.path.display()
                );
            }
            if !stale.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        ["--help" | "-h"] => print!("{HELP}"),
        _ => bail!("unknown arguments {arguments:?}; see --help"),
    }
    Ok(ExitCode::SUCCESS)
}

struct File {
    /// From the root of the repository.
    path: PathBuf,
    text: String,
}

fn files() -> Result<Vec<File>> {
    let mut definitions = [
        Certificate::crd(),
        CertificateShard::crd(),
        ClusterIssuer::crd(),
        Issuer::crd(),
    ];
    let mut files = Vec::new();
    for definition in &mut definitions {
        known_formats_only(definition);
        let name = format!("{}.yaml", definition.spec.names.plural);
        let yaml = serde_yaml::to_string(definition).with_context(|| format!("cannot write {name}"))?;
        files.push(File {
            path: Path::new("crds/yaml").join(&name),
            text: format!("{HEADER}{yaml}"),
        });
        files.push(File {
            path: Path::new("charts/sancho/templates/crds").join(&name),
            text: helm_template(&yaml).with_context(|| format!("cannot make a template of {name}"))?,
        });
    }
    files.push(File {
        path: PathBuf::from("docs/reference.md"),
        text: reference::page(&definitions)?,
    });
    Ok(files)
}

/// The API server warns of formats that it does not know, `uint32` among them. The range stands in
/// `minimum` and `maximum` anyway.
fn known_formats_only(definition: &mut CustomResourceDefinition) {
    for version in &mut definition.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            drop_unsigned_formats(schema);
        }
    }
}

fn drop_unsigned_formats(schema: &mut JSONSchemaProps) {
    schema.format.take_if(|format| format.starts_with("uint"));
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        drop_unsigned_formats(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_unsigned_formats(items);
    }
}

/// Helm installs a chart's `crds/` directory once and never updates it, so the definitions are
/// templates: `crds.enabled` renders them, `crds.keep` keeps them, and with them all Certificates,
/// when the release is uninstalled.
fn helm_template(yaml: &str) -> Result<String> {
    let (head, body) = yaml.split_once("metadata:\n").context("no metadata")?;
    if yaml.contains("{{") {
        bail!("a description contains {{{{, which Helm would take for its own");
    }
    Ok(format!(
        "{{{{- if .Values.crds.enabled }}}}\n{HEADER}{head}metadata:\n  {{{{- if .Values.crds.keep }}}}\n  \
         annotations:\n    helm.sh/resource-policy: keep\n  {{{{- end }}}}\n  labels:\n    \
         {{{{- include \"sancho.labels\" . | nindent 4 }}}}\n{body}{{{{- end }}}}\n"
    ))
}

fn write(file: &File) -> Result<()> {
    let path = root().join(&file.path);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))
}

fn is_fresh(file: &File) -> bool {
    fs::read_to_string(root().join(&file.path)).is_ok_and(|text| text == file.text)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
