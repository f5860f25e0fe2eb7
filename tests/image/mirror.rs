//! A small Debian archive made by the test itself: packages, index, release, signed by a key that gpg makes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use archive::digest::Sha256;
use fs_err as fs;
use tar::{EntryType, Header};

use crate::support::requirements::program;
use crate::support::run::{Place, run};

/// A package in the making.
#[derive(Debug, Clone)]
pub(super) struct Deb {
    /// Its control file, but for name, version and architecture.
    fields: String,
    name: String,
    version: String,
    architecture: &'static str,
    scripts: Vec<(&'static str, String)>,
    files: Vec<(String, Put)>,
}

/// Something in a package.
#[derive(Debug, Clone)]
pub(super) enum Put {
    /// With permission bits and group.
    File(&'static str, u32, u64),
    Link(&'static str),
    HardLink(&'static str),
    Device,
    /// Its path ends in a slash.
    Folder,
}

/// What is odd about a release.
#[derive(Debug, Clone, Default)]
pub(super) struct Release {
    /// Further fields.
    pub(super) fields: String,
    /// The suite that it says to be.
    pub(super) suite: Option<&'static str>,
    /// Whether the signature lies beside it.
    pub(super) detached: bool,
}

/// An archive in the folder `mirror` of a place.
pub(super) struct Mirror<'p> {
    place: &'p Place,
    gpg: PathBuf,
    pub(super) release: Release,
}

impl Deb {
    /// `NAME VERSION`, and further fields a line each.
    pub(super) fn new(title: &str, fields: &str) -> Deb {
        let (name, version) = title.split_once(' ').expect("a name and a version");
        let mut fields = fields.to_owned();
        if !fields.is_empty() && !fields.ends_with('\n') {
            fields.push('\n');
        }
        Deb {
            fields,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64",
            scripts: Vec::new(),
            files: Vec::new(),
        }
    }

    /// For every architecture.
    pub(super) fn for_all(mut self) -> Deb {
        self.architecture = "all";
        self
    }

    pub(super) fn file(self, path: &str, content: &'static str) -> Deb {
        self.put(path, Put::File(content, 0o644, 0))
    }

    pub(super) fn put(mut self, path: &str, put: Put) -> Deb {
        self.files.push((path.to_owned(), put));
        self
    }

    /// A file beside the control file.
    pub(super) fn beside(mut self, name: &'static str, content: &str) -> Deb {
        self.scripts.push((name, content.to_owned()));
        self
    }

    pub(super) fn control(&self) -> String {
        let Deb {
            name,
            version,
            architecture,
            fields,
            ..
        } = self;
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: nobody\n{fields}\
             Description: a package\n of the test\n"
        )
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let control = self.control();
        let mut entries = vec![(
            "./control",
            EntryType::Regular,
            "",
            control.as_str(),
            0o644,
            0,
        )];
        for (name, content) in &self.scripts {
            entries.push((name, EntryType::Regular, "", content, 0o755, 0));
        }
        let control = tar(&entries);
        let mut entries = vec![("./", EntryType::Directory, "", "", 0o755, 0)];
        let mut folders: Vec<String> = Vec::new();
        for (path, _) in &self.files {
            for (slash, _) in path.match_indices('/') {
                let folder = format!("./{}", &path[..=slash]);
                if !folders.contains(&folder) && !path.starts_with('/') {
                    folders.push(folder);
                }
            }
        }
        for folder in &folders {
            entries.push((folder, EntryType::Directory, "", "", 0o755, 0));
        }
        for (path, put) in &self.files {
            entries.push(match put {
                Put::Folder => continue,
                Put::File(content, mode, group) => {
                    (path, EntryType::Regular, "", content, *mode, *group)
                }
                Put::Link(target) => (path, EntryType::Symlink, target, "", 0o777, 0),
                Put::HardLink(target) => (path, EntryType::Link, target, "", 0o644, 0),
                Put::Device => (path, EntryType::Char, "", "", 0o644, 0),
            });
        }
        let data = tar(&entries);
        let data = zstd::encode_all(&*data, 3).expect("compressed");
        let mut bytes = b"!<arch>\n".to_vec();
        let members: [(&str, &[u8]); 3] = [
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control),
            ("data.tar.zst", &data),
        ];
        for (name, content) in members {
            let (zero, size) = (0, content.len());
            let header = format!(
                "{name:<16}{zero:<12}{zero:<6}{zero:<6}{:<8}{size:<10}`\n",
                100_644
            );
            bytes.extend(header.as_bytes());
            bytes.extend(content);
            bytes.extend(vec![b'\n'; size % 2]);
        }
        bytes
    }
}

/// A tar stream, names as they are.
fn tar(entries: &[(&str, EntryType, &str, &str, u32, u64)]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (path, kind, link, content, mode, group) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(*group);
        header.set_mtime(1_700_000_000);
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

/// A keyring as gpg itself keeps it: a trust packet follows each of the others (RFC 9580, sections 4.2.2 and 5.10).
fn with_trust(mut keyring: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let [tag, length, rest @ ..] = keyring {
        let (header, length) = match (tag & 3, rest) {
            (0, _) => (2, usize::from(*length)),
            (1, [low, ..]) => (3, usize::from(u16::from_be_bytes([*length, *low]))),
            _ => panic!("a packet of another form"),
        };
        let (packet, others) = keyring.split_at(header + length);
        all.extend_from_slice(packet);
        all.extend_from_slice(&[0xb0, 2, 0, 3]);
        keyring = others;
    }
    all
}

impl<'p> Mirror<'p> {
    /// An archive with a key, which lies in `key.gpg`.
    pub(super) fn new(place: &'p Place) -> Option<Mirror<'p>> {
        let mirror = Mirror {
            place,
            gpg: program("gpg")?,
            release: Release::default(),
        };
        mirror.key("key", "key.gpg");
        Some(mirror)
    }

    fn gpg(&self, home: &str) -> Command {
        let mut command = self.place.command(&self.gpg);
        let home = self.place.join(home);
        fs::create_dir_all(&home).expect("a folder");
        command.arg("--homedir").arg(home);
        command.args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]);
        command.args(["--passphrase", "", "--no-permission-warning"]);
        command
    }

    /// Makes a key in a home of its own, and writes its public half into a file.
    pub(super) fn key(&self, home: &str, file: &str) {
        let mut make = self.gpg(home);
        make.args([
            "--quick-generate-key",
            "archive@example.org",
            "ed25519",
            "sign",
            "never",
        ]);
        run(&mut make).succeeds();
        let mut export = self.gpg(home);
        export.args(["--export", "--output", file]);
        run(&mut export).succeeds();
        let keyring = self.place.join(file);
        let bytes = fs::read(&keyring).expect("a keyring");
        fs::write(keyring, with_trust(&bytes)).expect("written");
        // Its agent would stay.
        let mut stop = self.place.command("gpgconf");
        stop.arg("--homedir").arg(self.place.join(home));
        run(stop.args(["--kill", "all"])).succeeds();
    }

    /// Writes packages, index and release, and signs that.
    pub(super) fn publish(&self, debs: &[Deb]) {
        let mut index = String::new();
        for deb in debs {
            let bytes = deb.bytes();
            let path = format!(
                "pool/{}_{}_amd64.deb",
                deb.name,
                deb.version.replace(':', "%3a")
            );
            let (size, digest) = (bytes.len(), Sha256::of(&bytes));
            self.place.write(&format!("mirror/{path}"), bytes);
            let _ = write!(
                index,
                "{}Filename: {path}\nSize: {size}\nSHA256: {digest}\n\n",
                deb.control()
            );
        }
        self.sign("key", &index);
    }

    /// Writes the index and a release of it, signed by the key of a home.
    pub(super) fn sign(&self, home: &str, index: &str) {
        let place = "mirror/dists/tiny/main/binary-amd64/Packages";
        self.place.write(place, index);
        let suite = self.release.suite.unwrap_or("tiny");
        let text = format!(
            "Origin: test\nSuite: {suite}\nCodename: {suite}\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n{}\
             Components: main\nArchitectures: amd64\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            self.release.fields,
            Sha256::of(index.as_bytes()),
            index.len(),
        );
        self.place.write("mirror/dists/tiny/Release", text);
        let folder = self.place.join("mirror/dists/tiny");
        let _ = fs::remove_file(folder.join("InRelease"));
        let _ = fs::remove_file(folder.join("Release.gpg"));
        let mut sign = self.gpg(home);
        if self.release.detached {
            sign.args(["--armor", "--detach-sign", "--output"]);
            sign.arg(folder.join("Release.gpg"));
        } else {
            sign.args(["--clearsign", "--output"])
                .arg(folder.join("InRelease"));
        }
        run(sign.arg(folder.join("Release"))).succeeds();
        let mut stop = self.place.command("gpgconf");
        stop.arg("--homedir").arg(self.place.join(home));
        run(stop.args(["--kill", "all"])).succeeds();
    }

    /// What `base` says of it: `{ debian = { … } }` with these keys.
    pub(super) fn base(&self, keys: &str) -> String {
        format!("base = {{ debian = {{ {}{keys} }} }}", self.keys())
    }

    /// The keys that name it.
    pub(super) fn keys(&self) -> String {
        let folder = self.place.join("mirror");
        format!(
            "suite = \"tiny\", mirror = \"file://{}\", keyring = \"key.gpg\"",
            folder.display()
        )
    }
}
