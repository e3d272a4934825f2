//! The plugin's manifest for Krew, of archives as the release workflow packs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sancho_e2e::world::repository;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

const TAG: &str = "v1.2.3";

/// A manifest with the fields that Krew has published, and no others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    version: String,
    homepage: String,
    short_description: String,
    description: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    bin: String,
    files: Vec<FileOperation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOperation {
    from: String,
    to: String,
}

#[test]
fn the_manifest_for_krew_has_each_platform_that_a_release_builds_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let built = packed(dir.path());
    let output = krew_manifest(dir.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let Manifest {
        api_version,
        kind,
        metadata,
        spec,
    } = serde_yaml::from_slice(&output.stdout).unwrap();
    assert_eq!(api_version, "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((kind.as_str(), metadata.name.as_str()), ("Plugin", "sancho"));
    assert_eq!(spec.version, TAG);
    assert!(spec.homepage.starts_with("https://"), "{}", spec.homepage);
    // Krew shows it in one line of a table.
    let short = spec.short_description;
    assert!(
        !short.contains('\n') && (1..=60).contains(&short.len()),
        "{short}"
    );
    assert!(!spec.description.is_empty());

    let mut listed = BTreeSet::new();
    for platform in spec.platforms {
        let labels = platform.selector.match_labels;
        let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(keys, ["arch", "os"]);
        let (os, arch) = (labels["os"].as_str(), labels["arch"].as_str());
        // As Go names them.
        assert!(["linux", "darwin", "windows"].contains(&os), "{os}");
        assert!(["amd64", "arm64"].contains(&arch), "{arch}");
        let archive = format!("kubectl-sancho-{os}-{arch}.tar.gz");
        let uri = format!("{}/releases/download/{TAG}/{archive}", spec.homepage);
        assert_eq!(platform.uri, uri);
        assert_eq!(platform.sha256, sha256(&dir.path().join(&archive)), "{archive}");
        let content = run(dir.path(), &format!("tar -tzf {archive}"));
        let content: BTreeSet<&str> = content.lines().collect();
        let copied: BTreeSet<&str> = platform.files.iter().map(|file| file.from.as_str()).collect();
        assert_eq!(copied, content, "{archive}");
        assert!(platform.files.iter().all(|file| file.to == "."), "{archive}");
        assert!(content.contains(platform.bin.as_str()), "{}", platform.bin);
        assert!(listed.insert(format!("{os}-{arch}")), "{archive} twice");
    }
    assert_eq!(listed, built);
}

#[test]
fn without_an_archive_there_is_no_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let output = krew_manifest(dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("has no kubectl-sancho-OS-ARCH.tar.gz"), "{told}");
}

/// Packs a program of no use for each platform into `dir` by the release workflow's own command. Gives the platforms.
fn packed(dir: &Path) -> BTreeSet<String> {
    let workflow = fs::read_to_string(repository().join(".github/workflows/release.yml")).unwrap();
    let workflow: Value = serde_yaml::from_str(&workflow).unwrap();
    let job = &workflow["jobs"]["plugin"];
    let steps = job["steps"].as_array().unwrap();
    let mut commands = steps.iter().filter_map(|step| step["run"].as_str());
    let pack = commands.find(|command| command.starts_with("tar ")).unwrap();
    let program = dir.join("target/release/kubectl-sancho");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(repository().join("LICENSE"), dir.join("LICENSE")).unwrap();
    let builds = job["strategy"]["matrix"]["include"].as_array().unwrap();
    let platforms = builds.iter().map(|build| {
        let platform = build["platform"].as_str().unwrap();
        fs::write(&program, platform).unwrap();
        run(dir, &pack.replace("${{ matrix.platform }}", platform));
        platform.to_owned()
    });
    platforms.collect()
}

/// What a command of the shell prints.
fn run(dir: &Path, command: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn krew_manifest(archives: &Path) -> Output {
    Command::new(repository().join("operator/cli/krew-manifest"))
        .arg(TAG)
        .arg(archives)
        .output()
        .unwrap()
}

fn sha256(file: &Path) -> String {
    let hash = Sha256::digest(fs::read(file).unwrap());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
