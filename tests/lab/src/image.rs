//! Container images without a container engine: a few files, and the shared libraries they need, as an OCI image layout.

mod elf;
mod layout;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::run;
use crate::error::{Context, Error, Result};
use crate::lab::Lab;

/// The user that distroless images call nonroot.
const NONROOT: &str = "65532:65532";

/// Without this file some C libraries ask DNS before /etc/hosts, and a call to localhost would leave the pod.
const NSSWITCH: &[u8] = b"hosts: files dns\n";

/// Whom the machine trusts, where a TLS library in the image looks for it: rustls refuses to make a client without any, and a Kafka in
/// the cloud has a certificate from one of them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What an image is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Full or short name; `worker` means `docker.io/library/worker:latest`, as everywhere.
    pub name: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `uid:gid`.
    pub user: String,
    /// Files by their absolute path in the image, and where they come from.
    pub files: BTreeMap<String, PathBuf>,
}

impl Image {
    /// An image without files that runs as nonroot.
    pub fn new(name: impl Into<String>, entrypoint: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entrypoint: vec![entrypoint.into()],
            user: NONROOT.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// Adds a file under an absolute path. An executable brings the shared libraries it names with it.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, source: impl AsRef<Path>) -> Self {
        self.files.insert(path.into(), source.as_ref().to_owned());
        self
    }

    /// The image as one tar file in OCI image layout, and the digest of its manifest. The same files give the same bytes.
    pub fn to_oci(&self) -> Result<Oci> {
        let mut content = BTreeMap::from([("/etc/nsswitch.conf".to_owned(), NSSWITCH.to_vec())]);
        if Path::new(AUTHORITIES).exists() {
            content.insert(AUTHORITIES.to_owned(), read(Path::new(AUTHORITIES))?);
        }
        for (path, source) in &self.files {
            if !path.starts_with('/') {
                return Err(Error::Image { path: path.into(), why: "a path in an image is absolute".to_owned() });
            }
            for (library, found) in elf::libraries(source)? {
                content.insert(library, read(&found)?);
            }
            content.insert(path.clone(), read(source)?);
        }
        layout::write(&full_name(&self.name), &self.entrypoint, &self.user, &content)
    }
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oci {
    /// The name with registry and tag.
    pub name: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// The tar file.
    pub tar: Vec<u8>,
}

impl Lab {
    /// Puts an image into the lab's containerd, where pods with `imagePullPolicy: Never` or `IfNotPresent` find it. False if that
    /// very image was there already.
    pub fn load_image(&self, image: &Image) -> Result<bool> {
        let oci = image.to_oci()?;
        let listed = run(self.ctr().args(["images", "list", &format!("name=={}", oci.name)]))?;
        if listed.contains(&oci.digest) {
            return Ok(false);
        }
        let file = self.dir.join(format!("tmp/image-{}.tar", oci.digest.trim_start_matches("sha256:")));
        fs::write(&file, &oci.tar).during(|| format!("writing {}", file.display()))?;
        let imported = run(self.ctr().args(["images", "import"]).arg(&file));
        crate::dir::remove_tree(&file)?;
        imported.map(|_| true)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).during(|| format!("reading {} for an image", path.display()))
}

/// The name as containerd and kubelet write it out.
fn full_name(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let path = match (first, is_registry) {
        ("", _) => format!("docker.io/library/{rest}"),
        (_, true) => name.to_owned(),
        (_, false) => format!("docker.io/{name}"),
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { path } else { format!("{path}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out_as_containerd_does() {
        for (short, full) in [
            ("worker", "docker.io/library/worker:latest"),
            ("penstock/worker:0.1.0", "docker.io/penstock/worker:0.1.0"),
            ("lab.local/pause:1", "lab.local/pause:1"),
            ("localhost/x", "localhost/x:latest"),
            ("registry:5000/x/y", "registry:5000/x/y:latest"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn a_dynamic_program_brings_its_loader_and_libraries() {
        let oci = Image::new("shell", "/sh").file("/sh", "/bin/sh").to_oci().unwrap();
        let text = String::from_utf8_lossy(&oci.tar);
        assert!(text.contains("libc.so.6") && text.contains("ld-linux"), "no C library in the layer");
    }

    #[test]
    fn the_same_files_give_the_same_bytes_under_any_name() {
        let image = |name: &str| Image::new(name, "/sh").file("/sh", "/bin/sh").to_oci().unwrap();
        assert_eq!(image("a"), image("a"));
        assert_eq!(image("a").digest, image("b").digest, "the name is not part of what is run");
    }

    #[test]
    fn a_relative_path_is_refused() {
        assert!(Image::new("x", "sh").file("sh", "/bin/sh").to_oci().is_err());
    }
}
