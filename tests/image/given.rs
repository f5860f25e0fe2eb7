//! Images that are there already, written by the test itself: what an engine or another tool would have
//! left, whole or wrong.

use std::io::Write as _;
use std::path::PathBuf;

use archive::digest::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::support::run::Place;

/// An image in the making.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) architecture: &'static str,
    /// The tar stream of each layer.
    pub(super) layers: Vec<Vec<u8>>,
    /// Further keys of the configuration.
    pub(super) config: Value,
}

/// Something in a layer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Put<'a> {
    Folder(&'a str),
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Device(&'a str),
}

/// The tar stream of a layer, names as they are.
pub(super) fn layer(entries: &[Put<'_>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for entry in entries {
        let (kind, path, link, content) = match *entry {
            Put::Folder(path) => (EntryType::Directory, path, "", ""),
            Put::File(path, content) => (EntryType::Regular, path, "", content),
            Put::Link(path, target) => (EntryType::Symlink, path, target, ""),
            Put::HardLink(path, target) => (EntryType::Link, path, target, ""),
            Put::Device(path) => (EntryType::Char, path, "", ""),
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        let fields = header.as_ustar_mut().expect("a header");
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        stream.extend_from_slice(header.as_bytes());
        stream.extend_from_slice(content.as_bytes());
        stream.resize(stream.len().next_multiple_of(512), 0);
    }
    stream.resize(stream.len() + 1024, 0);
    stream
}

/// What most bases have: folders, merged `/usr`, two accounts, and the loaders of both platforms.
pub(super) fn debian() -> Vec<u8> {
    layer(&[
        Put::Folder("./"),
        Put::Folder("./usr/"),
        Put::Folder("./usr/lib/"),
        Put::Folder("./usr/bin/"),
        Put::Link("./lib", "usr/lib"),
        Put::Link("./lib64", "usr/lib"),
        Put::Link("./bin", "usr/bin"),
        Put::File("./usr/lib/ld-linux-aarch64.so.1", "loader"),
        Put::File("./usr/lib/ld-linux-x86-64.so.2", "loader"),
        Put::Folder("./etc/"),
        Put::File(
            "./etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/:/bin/false",
        ),
        Put::File("./etc/group", "root:x:0:\nwww:x:33:\n"),
        Put::Folder("./dev/"),
        Put::Device("./dev/null"),
        Put::Folder("./var/"),
        Put::Folder("./var/opt/"),
        Put::Link("./opt", "/var/opt"),
        Put::File("./usr/bin/old", "old"),
    ])
}

impl Given {
    /// An image of these layers.
    pub(super) fn new(architecture: &'static str, layers: Vec<Vec<u8>>) -> Given {
        Given {
            architecture,
            layers,
            config: json!({ "Env": ["PATH=/usr/bin:/bin", "A=b"], "Cmd": ["bash"] }),
        }
    }

    pub(super) fn config(&self) -> Vec<u8> {
        let ids: Vec<String> = self.layers.iter().map(|layer| digest(layer)).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": ids },
            "history": [{ "created_by": "the test" }],
        })
        .to_string()
        .into_bytes()
    }
}

/// Writes an OCI layout of these images, gzipped, each under a name.
pub(super) fn layout(place: &Place, folder: &str, images: &[(&str, &Given)]) -> PathBuf {
    let mut manifests = Vec::new();
    for (name, image) in images {
        let layers: Vec<Value> = image
            .layers
            .iter()
            .map(|layer| {
                let packed = gzip(layer);
                let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
                blob(place, folder, &packed, media_type)
            })
            .collect();
        let config = image.config();
        let config = blob(
            place,
            folder,
            &config,
            "application/vnd.oci.image.config.v1+json",
        );
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let mut descriptor = blob(place, folder, manifest.to_string().as_bytes(), media_type);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    place.write(&format!("{folder}/index.json"), index.to_string());
    place.write(
        &format!("{folder}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    place.join(folder)
}

/// Writes what `docker save` writes: layers that are not compressed.
pub(super) fn docker_archive(place: &Place, file: &str, names: &[&str], image: &Given) -> PathBuf {
    let config = image.config();
    let mut members = Vec::new();
    let mut layers = Vec::new();
    for layer in &image.layers {
        let member = format!("{}/layer.tar", Sha256::of(layer));
        layers.push(member.clone());
        members.push((member, layer.clone()));
    }
    let config_name = format!("{}.json", Sha256::of(&config));
    let list = json!([{ "Config": config_name, "RepoTags": names, "Layers": layers }]);
    members.push((config_name, config));
    members.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, &content[..])
            .expect("a member");
    }
    place.write(file, builder.into_inner().expect("an archive"))
}

/// Writes a blob; returns what describes it.
fn blob(place: &Place, folder: &str, bytes: &[u8], media_type: &str) -> Value {
    let sha256 = Sha256::of(bytes);
    place.write(&format!("{folder}/blobs/sha256/{sha256}"), bytes);
    json!({ "mediaType": media_type, "digest": format!("sha256:{sha256}"), "size": bytes.len() })
}

pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::of(bytes))
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}
