//! Packages that no honest tool writes: tar entries as they are told, with nothing checked, in a
//! container that is otherwise sound.

use std::io::Write as _;

use archive::package::Kind;

use super::package::Package;

/// A tar entry.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    /// A byte of the tar format: `b'0'` a file, `b'1'` a hard link, `b'2'` a symbolic link,
    /// `b'3'` a device, `b'5'` a folder, `b'6'` a pipe.
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
    /// What the header says, where that is not the content's length.
    pub(crate) size: Option<u64>,
}

/// A file.
pub(crate) fn file(name: &str, content: &str) -> Raw {
    Raw {
        content: content.as_bytes().to_vec(),
        ..node(b'0', name)
    }
}

/// A symbolic or hard link.
pub(crate) fn link(kind: u8, name: &str, target: &str) -> Raw {
    Raw {
        target: target.to_owned(),
        ..node(kind, name)
    }
}

/// Anything without content.
pub(crate) fn node(kind: u8, name: &str) -> Raw {
    Raw {
        kind,
        name: name.to_owned(),
        target: String::new(),
        mode: 0o644,
        content: Vec::new(),
        size: None,
    }
}

/// A package with its own metadata, and `content` in place of its files.
pub(crate) fn package(package: &Package, content: &[Raw]) -> Vec<u8> {
    let info: Vec<Raw> = package
        .info_files()
        .iter()
        .map(|(path, text)| file(path, text))
        .collect();
    archive(package, &info, content)
}

/// A package made of these entries alone.
pub(crate) fn archive(package: &Package, info: &[Raw], content: &[Raw]) -> Vec<u8> {
    match package.kind {
        Kind::Conda => conda(&package.stem(), &tar(info), &tar(content)),
        Kind::TarBz2 => {
            let all: Vec<Raw> = info.iter().chain(content).cloned().collect();
            bzip2(&tar(&all))
        }
    }
}

/// A `.conda` of two tar archives.
pub(crate) fn conda(stem: &str, info: &[u8], content: &[u8]) -> Vec<u8> {
    let compress = |tar: &[u8]| zstd::encode_all(tar, 3).expect("a stream");
    zip(&[
        ("metadata.json", br#"{"conda_pkg_format_version": 2}"#),
        (&format!("pkg-{stem}.tar.zst"), &compress(content)),
        (&format!("info-{stem}.tar.zst"), &compress(info)),
    ])
}

/// A zip archive of stored members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, bytes) in members {
        let (mut entry, config) = archive.new_file(*name).start().expect("a member");
        let mut writer = config.wrap(&mut entry);
        writer.write_all(bytes).expect("a member");
        let (_, descriptor) = writer.finish().expect("a member");
        entry.finish(descriptor).expect("a member");
    }
    archive.finish().expect("an archive")
}

/// A tar archive, whole and well-formed except for what its entries say.
pub(crate) fn tar(entries: &[Raw]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_gnu_mut().expect("a GNU header");
        fields.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        fields.linkname[..entry.target.len()].copy_from_slice(entry.target.as_bytes());
        fields.typeflag = [entry.kind];
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(super::package::MODIFIED);
        header.set_size(entry.size.unwrap_or(entry.content.len() as u64));
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&entry.content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend_from_slice(&[0; 1024]);
    archive
}

/// A bzip2 stream.
pub(crate) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(bytes).expect("a stream");
    encoder.finish().expect("a stream")
}
