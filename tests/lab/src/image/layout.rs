//! The OCI image layout (opencontainers/image-spec, image-layout.md) as one tar file: one layer, its configuration, a manifest, an index.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::Oci;
use crate::digest::sha256;
use crate::error::{Context, Result};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes an image of those files; executable bits are set on all of them, for the loader is one too.
pub(super) fn write(name: &str, entrypoint: &[String], user: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Oci> {
    let layer = layer(files).during(|| format!("writing the layer of {name}"))?;
    // Names in alphabetical order: serde_json keeps either that or this order, by a feature that other crates may turn on.
    let config = text(&json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "config": {"Entrypoint": entrypoint, "User": user, "WorkingDir": "/"},
        "os": "linux",
        "rootfs": {"diff_ids": [digest(&layer)], "type": "layers"},
    }));
    let manifest = text(&json!({
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
        "mediaType": MANIFEST,
        "schemaVersion": 2,
    }));
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag(name)});
    let index = text(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}));
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", digest(bytes).trim_start_matches("sha256:"));
    let parts = [
        ("oci-layout".to_owned(), text(&json!({"imageLayoutVersion": "1.0.0"}))),
        ("index.json".to_owned(), index),
        (blob(&manifest), manifest.clone()),
        (blob(&config), config),
        (blob(&layer), layer),
    ];
    let tar = archive(&parts).during(|| format!("writing the image {name}"))?;
    Ok(Oci { name: name.to_owned(), digest: digest(&manifest), tar })
}

fn layer(files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let folders: BTreeSet<&str> = files.keys().flat_map(|path| parents(path)).collect();
    for folder in folders {
        append(&mut builder, EntryType::Directory, &format!("{folder}/"), 0o755, &[])?;
    }
    // A place that any user may write to, on images whose root is not read-only.
    append(&mut builder, EntryType::Directory, "tmp/", 0o1777, &[])?;
    for (path, content) in files {
        append(&mut builder, EntryType::Regular, path.trim_start_matches('/'), 0o755, content)?;
    }
    builder.into_inner()
}

/// The folders above a file, without the leading slash: `a`, `a/b` for `/a/b/c`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_start_matches('/');
    path.match_indices('/').map(move |(end, _)| &path[..end])
}

fn archive(parts: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in parts {
        append(&mut builder, EntryType::Regular, path, 0o644, content)?;
    }
    builder.into_inner()
}

/// Time, user and group are zero: the bytes depend on the content alone.
fn append(
    builder: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content)
}

fn descriptor(kind: &str, content: &[u8]) -> Value {
    json!({"digest": digest(content), "mediaType": kind, "size": content.len()})
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

fn tag(name: &str) -> &str {
    name.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn entries(tar: &[u8]) -> Vec<(String, u32, u64, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let (mode, time) = (entry.header().mode().unwrap(), entry.header().mtime().unwrap());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, mode, time, content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    fn sample() -> Oci {
        let files = BTreeMap::from([("/a/b/run".to_owned(), b"program".to_vec())]);
        write("x.example/y:7", &["/a/b/run".to_owned()], "65532:65532", &files).unwrap()
    }

    #[test]
    fn every_digest_leads_to_the_bytes_it_names() {
        let parts: BTreeMap<String, Vec<u8>> =
            entries(&sample().tar).into_iter().map(|(path, _, _, bytes)| (path, bytes)).collect();
        let follow = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let bytes = &parts[&format!("blobs/sha256/{}", name.trim_start_matches("sha256:"))];
            assert_eq!(digest(bytes), name);
            assert_eq!(descriptor["size"], bytes.len());
            bytes.clone()
        };
        let index: Value = serde_json::from_slice(&parts["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "x.example/y:7");
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(config["config"]["User"], "65532:65532");
    }

    #[test]
    fn a_layer_has_folders_before_files_and_no_time() {
        let layer = layer(&BTreeMap::from([("/a/b/run".to_owned(), b"program".to_vec())])).unwrap();
        let found: Vec<(String, u32, u64)> =
            entries(&layer).into_iter().map(|(path, mode, time, _)| (path, mode, time)).collect();
        let expected = [("a/", 0o755), ("a/b/", 0o755), ("tmp/", 0o1777), ("a/b/run", 0o755)];
        assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode, 0)));
    }

    #[test]
    fn an_image_is_reproducible_to_the_byte() {
        assert_eq!(sample().digest, "sha256:74b6ed41b8d5d0145002619b044209992490f9739ee9ef79e2d5b6bf024f0d67");
        assert_eq!(sample(), sample());
    }
}
