//! Small installers for the tests of this crate.

use std::collections::BTreeMap;
use std::fs::File as Disk;
use std::path::Path;

use archive::digest::Sha256;
use archive::payload::{BLOCK, Payload, Writer};

use crate::plan::{
    Dialogue, Entry, File, Kind, Need, Package, PackageHead, Placeholder, Plan, PrefixRules,
    Python, Requirements, Scripts, Work,
};

/// The prefix that the packages "were built with".
pub(crate) const BUILD: &str = "/build/placehold_placehold_placehold_placehold_placehold";

/// An installer in the making; every field may be changed.
pub(crate) struct Fixture {
    pub(crate) plan: Plan,
    pub(crate) packages: Vec<Package>,
    frames: Vec<Vec<u8>>,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let plan = Plan {
            name: "Fixture3".into(),
            version: "1.2".into(),
            platform: "linux-aarch64".into(),
            requires: Requirements::default(),
            prefix: PrefixRules {
                default: "$HOME/fixture3".into(),
                check_spaces: true,
                longest: None,
            },
            dialogue: Dialogue::default(),
            packages: Vec::new(),
            work: Vec::new(),
            extra: Vec::new(),
            texts: Vec::new(),
            update_specs: vec!["alpha".into()],
            scripts: Scripts {
                environment: BTreeMap::new(),
                ..Scripts::default()
            },
            python: Some(Python {
                version: "3.10".into(),
                executable: "bin/python3.10".into(),
                site_packages: "lib/python3.10/site-packages".into(),
            }),
            keep_packages: false,
            need: Need::default(),
            need_kept: Need::default(),
            menus: Vec::new(),
            environments: Vec::new(),
            signatures: Vec::new(),
        };
        Fixture {
            plan,
            packages: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Adds a package with two frames, the second for `info/`, and returns its position.
    pub(crate) fn package(&mut self, name: &str, version: &str) -> usize {
        let position = self.packages.len();
        let frame = self.frames.len();
        self.frames.extend([Vec::new(), Vec::new()]);
        let url = format!("https://example.org/c/noarch/{name}-{version}-0.conda");
        self.plan.packages.push(PackageHead {
            name: name.into(),
            version: version.into(),
            build: "0".into(),
            subdir: "noarch".into(),
            channel: "c".into(),
            url: url.clone(),
            entries: 0,
            size: 0,
            plan: 0,
        });
        let record = serde_json::json!({
            "name": name, "version": version, "build": "0", "build_number": 7, "md5": "abc",
            "fn": format!("{name}-{version}-0.conda"), "url": url, "channel": "https://example.org/c",
        });
        self.packages.push(Package {
            dist: format!("{name}-{version}-0"),
            record: record.as_object().unwrap().clone(),
            ..Package::default()
        });
        self.plan.work.push(Work {
            frame,
            packages: vec![position],
            info: false,
        });
        self.plan.work.push(Work {
            frame: frame + 1,
            packages: vec![position],
            info: true,
        });
        position
    }

    /// A further frame for a package.
    pub(crate) fn frame(&mut self, packages: &[usize]) -> usize {
        self.frames.push(Vec::new());
        let frame = self.frames.len() - 1;
        self.plan.work.push(Work {
            frame,
            packages: packages.to_vec(),
            info: false,
        });
        frame
    }

    /// Puts bytes into a frame.
    pub(crate) fn bytes(&mut self, frame: usize, bytes: &[u8], mode: u32) -> File {
        let content = &mut self.frames[frame];
        // A gap, as tar headers leave one.
        content.extend([b'-'; 100]);
        let offset = content.len() as u64;
        content.extend(bytes);
        File {
            frame,
            offset,
            size: bytes.len() as u64,
            mode,
            modified: 1_500_000_000,
            sha256: Sha256::of(bytes),
            placeholder: None,
        }
    }

    /// Adds a file to a package's first frame.
    pub(crate) fn file(&mut self, package: usize, path: &str, bytes: &[u8]) -> &mut Entry {
        let mode = if path.starts_with("bin/") {
            0o775
        } else {
            0o664
        };
        let frame = self
            .plan
            .work
            .iter()
            .find(|work| work.packages == [package])
            .unwrap()
            .frame;
        let file = self.bytes(frame, bytes, mode);
        self.entry(package, path, Kind::File(file))
    }

    /// Adds a file whose placeholder is to be replaced.
    pub(crate) fn relocated(
        &mut self,
        package: usize,
        path: &str,
        bytes: &[u8],
        places: crate::plan::Places,
    ) -> &mut Entry {
        let entry = self.file(package, path, bytes);
        if let Kind::File(file) = &mut entry.kind {
            file.placeholder = Some(Placeholder {
                prefix: BUILD.into(),
                places,
            });
        }
        entry
    }

    /// Adds a file to a package's `info/`.
    pub(crate) fn info(&mut self, package: usize, path: &str, bytes: &[u8]) {
        let mut info = self
            .plan
            .work
            .iter()
            .filter(|work| work.packages == [package] && work.info);
        let frame = info.next().unwrap().frame;
        let kind = Kind::File(self.bytes(frame, bytes, 0o644));
        self.packages[package].info.push(entry(path, kind));
    }

    /// Adds an entry to a package.
    pub(crate) fn entry(&mut self, package: usize, path: &str, kind: Kind) -> &mut Entry {
        let entries = &mut self.packages[package].entries;
        entries.push(entry(path, kind));
        entries.last_mut().unwrap()
    }

    /// Adds a file of `extra_files`.
    pub(crate) fn extra(&mut self, path: &str, bytes: &[u8]) {
        let frame = self.frame(&[]);
        let kind = Kind::File(self.bytes(frame, bytes, 0o644));
        self.plan.extra.push(entry(path, kind));
    }

    /// Writes the installer into `folder`, opens it and hands payload and plan over.
    pub(crate) fn with<R>(
        mut self,
        folder: &Path,
        use_it: impl FnOnce(&Payload<'_, Disk>, &Plan) -> R,
    ) -> R {
        let path = folder.join("installer.sh");
        let sink = Disk::create(&path).unwrap();
        let mut writer = Writer::new(sink, &[b'#'; BLOCK], b"").unwrap();
        for content in &self.frames {
            let stream = zstd::bulk::compress(content, 3).unwrap();
            let (length, size) = (stream.len() as u64, content.len() as u64);
            writer.frame(&mut &stream[..], length, size, None).unwrap();
        }
        for (head, package) in self.plan.packages.iter_mut().zip(&mut self.packages) {
            package.entries.sort_by(|a, b| a.path.cmp(&b.path));
            head.plan = writer.json(package).unwrap();
        }
        let plan = writer.json(&self.plan).unwrap();
        writer.finish(plan).unwrap();
        let file = Disk::open(&path).unwrap();
        let payload = Payload::open(&file, file.metadata().unwrap().len()).unwrap();
        let plan: Plan = payload.json(payload.index.plan).unwrap();
        use_it(&payload, &plan)
    }
}

pub(crate) fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        source: None,
        kind,
        clobbered_by: None,
        no_link: false,
    }
}

/// Everything below a folder: `path/`, `path -> target` or `path MODE content`, sorted.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, name: &str, lines: &mut Vec<String>) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{name}{}", entry.file_name().to_str().unwrap());
            let data = entry.path().symlink_metadata().unwrap();
            if data.is_symlink() {
                let target = entry.path().read_link().unwrap();
                lines.push(format!("{path} -> {}", target.display()));
            } else if data.is_dir() {
                lines.push(format!("{path}/"));
                walk(&entry.path(), &format!("{path}/"), lines);
            } else {
                let mode = data.permissions().mode() & 0o7777;
                let content = std::fs::read(entry.path()).unwrap();
                lines.push(format!("{path} {mode:o} {}", content.escape_ascii()));
            }
        }
    }
    let mut lines = Vec::new();
    walk(folder, "", &mut lines);
    lines.sort();
    lines
}
