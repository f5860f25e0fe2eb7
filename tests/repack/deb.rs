//! Debian packages made from text.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// A Debian package.
#[derive(Clone)]
pub(super) struct Deb {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) architecture: &'static str,
    /// Path, mode and content.
    pub(super) files: Vec<(String, u32, Vec<u8>)>,
    /// Path and target.
    pub(super) links: Vec<(&'static str, &'static str)>,
}

/// A package with nothing but its licence.
pub(super) fn deb(name: &'static str, version: &'static str, architecture: &'static str) -> Deb {
    Deb {
        name,
        version,
        architecture,
        files: Vec::new(),
        links: Vec::new(),
    }
    .file(
        &format!("usr/share/doc/{name}/copyright"),
        "Do as you like.\n",
    )
}

impl Deb {
    pub(super) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Deb {
        self.files
            .push((path.to_owned(), 0o644, content.as_ref().to_vec()));
        self
    }

    pub(super) fn program(mut self, path: &str, content: impl AsRef<[u8]>) -> Deb {
        self.files
            .push((path.to_owned(), 0o755, content.as_ref().to_vec()));
        self
    }

    pub(super) fn link(mut self, path: &'static str, target: &'static str) -> Deb {
        self.links.push((path, target));
        self
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.architecture)
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let control = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: nobody\nDescription: test\n",
            self.name, self.version, self.architecture
        );
        let control = tar(
            &[("./control".to_owned(), 0o644, control.into_bytes())],
            &[],
        );
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, mode, content)| (format!("./{path}"), *mode, content.clone()))
            .collect();
        let data = tar(&files, &self.links);
        let compress = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("compressed");
        ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.zst", &compress(&control)),
            ("data.tar.zst", &compress(&data)),
        ])
    }

    /// Writes the file into a folder.
    pub(super) fn write_to(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder");
        let path = folder.join(self.file_name());
        fs::write(&path, self.bytes()).expect("a file");
        path
    }
}

/// An ar archive.
pub(super) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let size = content.len();
        bytes.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
                0, 0, 0, 100_644
            )
            .as_bytes(),
        );
        bytes.extend(*content);
        bytes.extend(vec![b'\n'; size % 2]);
    }
    bytes
}

fn tar(files: &[(String, u32, Vec<u8>)], links: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, path, &content[..])
            .expect("an entry");
    }
    for (path, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_mtime(1_600_000_000);
        header.set_size(0);
        builder
            .append_link(&mut header, format!("./{path}"), target)
            .expect("an entry");
    }
    builder.into_inner().expect("an archive")
}
