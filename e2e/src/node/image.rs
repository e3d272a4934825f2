//! Container images, made without any tool: one layer of a few files, in the form that `docker save` writes and
//! `ctr images import` reads.
//!
//! # Caveats
//!
//! The project's own image has a static binary. Here it is any `sancho` that was built: with a dynamic one, as the tests
//! build it, the files of the C library that it is linked with go into the image; all else is as `Containerfile` says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest;
use serde_json::json;
use tar::{Builder, Header};

use crate::programs;

/// Where Debian has the roots of the public CAs.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is in an image.
#[derive(Debug, Clone)]
pub struct Image {
    /// With its registry and tag: `docker.io/library/sancho:dev`.
    pub name: String,
    /// `UID:GID`.
    pub user: &'static str,
    /// The program, by its path in the image.
    pub entrypoint: &'static str,
    /// Whether the program needs no libraries.
    pub is_static: bool,
    /// Paths in the image, and the files that are to be there.
    pub files: Vec<(PathBuf, PathBuf)>,
}

impl Image {
    /// Sancho's, of a `sancho` that was built here, as `Containerfile` lays it out.
    ///
    /// # Errors
    ///
    /// When a library of it cannot be found.
    pub fn of_sancho(name: &str, program: &Path) -> Result<Self> {
        let mut files = vec![(PathBuf::from("/sancho"), program.to_owned())];
        let libraries = libraries_of(program)?;
        let is_static = libraries.is_empty();
        files.extend(libraries.into_iter().map(|library| (library.clone(), library)));
        let roots = PathBuf::from(ROOTS);
        if roots.is_file() {
            files.push((roots.clone(), roots));
        }
        Ok(Image {
            name: name.to_owned(),
            user: "65532:65532",
            entrypoint: "/sancho",
            is_static,
            files,
        })
    }

    /// One of nothing but a static program, at this path.
    pub fn of_static(name: &str, entrypoint: &'static str, program: &Path) -> Self {
        Image {
            name: name.to_owned(),
            user: "65535:65535",
            entrypoint,
            is_static: true,
            files: vec![(entrypoint.into(), program.to_owned())],
        }
    }

    /// What its files have, which is what its layer has, bar a little.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        let sizes = self.files.iter().map(|(_, source)| {
            let file = fs::metadata(source).with_context(|| source.display().to_string())?;
            Ok(file.len())
        });
        sizes.sum()
    }

    /// Writes it to the file `archive`.
    ///
    /// # Errors
    ///
    /// When one of its files cannot be read, or the archive not be written.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let layer = archive.with_extension("layer");
        self.write_layer(&layer)
            .with_context(|| format!("a layer for {}", self.name))?;
        let hash = sha256(&layer)?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "User": self.user, "Entrypoint": [self.entrypoint] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{hash}")] },
        });
        let manifest = json!([{
            "Config": "config.json",
            "RepoTags": [self.name],
            "Layers": ["layer.tar"],
        }]);
        let mut tar = Builder::new(File::create(archive)?);
        for (name, content) in [("config.json", config), ("manifest.json", manifest)] {
            let content = content.to_string();
            tar.append_data(&mut header(content.len() as u64, 0o644), name, content.as_bytes())?;
        }
        let size = fs::metadata(&layer)?.len();
        tar.append_data(&mut header(size, 0o644), "layer.tar", File::open(&layer)?)?;
        tar.into_inner()?.flush()?;
        Ok(fs::remove_file(&layer)?)
    }

    fn write_layer(&self, layer: &Path) -> Result<()> {
        let mut tar = Builder::new(File::create(layer)?);
        for (path, source) in &self.files {
            // Through links: in the image each is a file of its own.
            let file = File::open(source).with_context(|| source.display().to_string())?;
            let path = path.strip_prefix("/").unwrap_or(path);
            tar.append_data(&mut header(file.metadata()?.len(), 0o755), path, file)?;
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }
}

fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn sha256(path: &Path) -> Result<String> {
    struct Hash(digest::Context);
    impl Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(digest::Context::new(&digest::SHA256));
    io::copy(&mut File::open(path)?, &mut hash)?;
    let hash = hash.0.finish();
    Ok(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files that a program is linked with, its loader included; none for a static one.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let ldd = programs::find("ldd", "libc-bin")?;
    let output = Command::new(ldd).arg(program).output().context("ldd")?;
    libraries(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("what {} is linked with", program.display()))
}

/// The same, of what ldd(1) says.
fn libraries(said: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, "=>", "not", "found"] => bail!("{name} is not found"),
            [_, "=>", path, _] => found.push(path.into()),
            [path, address] if path.starts_with('/') && address.starts_with("(0x") => found.push(path.into()),
            // The kernel's own, or a static program.
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007f90fa194000)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f90f6700000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f90fa196000)\n";
        assert_eq!(
            libraries(said).unwrap(),
            [
                Path::new("/lib/x86_64-linux-gnu/libm.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        assert!(libraries("\tlibz.so.1 => not found\n").is_err());
    }

    #[test]
    fn an_image_is_what_its_manifest_says() {
        let dir = tempfile::tempdir().unwrap();
        let (program, archive) = (dir.path().join("pause"), dir.path().join("pause.tar"));
        fs::write(&program, "a program").unwrap();
        let image = Image::of_static("docker.io/library/pause:dev", "/pause", &program);
        assert_eq!(image.bytes().unwrap(), 9);
        image.write(&archive).unwrap();

        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            io::copy(&mut entry, &mut content).unwrap();
            files.insert(name, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "docker.io/library/pause:dev");
        let config: serde_json::Value =
            serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        let layer = &files[manifest[0]["Layers"][0].as_str().unwrap()];
        fs::write(dir.path().join("layer"), layer).unwrap();
        let hash = sha256(&dir.path().join("layer")).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{hash}"));
        let mut layer = tar::Archive::new(layer.as_slice());
        let entry = layer.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap(), Path::new("pause"));
        assert_eq!(entry.header().mode().unwrap(), 0o755);
    }
}
