//! Whole installations, and what is left when they fail.

mod existing;
mod failure;
mod fresh;
mod killed;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::{Installed, Options, install};
use crate::fixture::{BUILD, Fixture, listing};
use crate::plan::{CString, Encoding, Kind, Occurrence, Places};
use crate::{Error, Event};

static NEVER: AtomicBool = AtomicBool::new(false);

/// A folder of the test with a place for a prefix.
struct Room {
    folder: tempfile::TempDir,
    prefix: PathBuf,
}

impl Room {
    fn new() -> Room {
        rustix::process::umask(rustix::fs::Mode::from(0o022));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        let prefix = folder.path().join("target/prefix");
        Room { folder, prefix }
    }

    fn options(&self) -> Options<'static> {
        Options {
            prefix: self.prefix.clone(),
            force: false,
            keep_packages: false,
            skip_scripts: false,
            compile: false,
            threads: 2,
            unattended: true,
            installer: "/somewhere/fixture.sh".into(),
            command_line: "fixture.sh -b".into(),
            now: 0,
            cancelled: &NEVER,
        }
    }

    fn install(&self, fixture: Fixture) -> Result<Installed, Error> {
        self.install_with(fixture, &self.options()).0
    }

    /// Installs, and returns the events as text, too.
    fn install_with(
        &self,
        fixture: Fixture,
        options: &Options<'_>,
    ) -> (Result<Installed, Error>, Vec<String>) {
        let events = Mutex::new(Vec::new());
        let report = |event: Event<'_>| events.lock().unwrap().push(format!("{event:?}"));
        let result = fixture.with(self.folder.path(), |payload, plan| {
            install(payload, plan, options, &report)
        });
        (result, events.into_inner().unwrap())
    }

    /// All that is below the folder that has the prefix.
    fn listing(&self) -> Vec<String> {
        listing(&self.folder.path().join("target"))
    }

    fn read(&self, path: &str) -> String {
        String::from_utf8(fs::read(self.prefix.join(path)).unwrap()).unwrap()
    }

    fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(path)).unwrap()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.prefix.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The error and its causes, as the command line shows them.
fn chain(error: &Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        parts.push(cause.to_string());
        source = cause.source();
    }
    parts.join(": ")
}

/// Two packages with one of everything.
fn two_packages() -> Fixture {
    let mut made = Fixture::new();
    let alpha = made.package("alpha", "1.0");
    made.file(alpha, "bin/tool", b"#!/bin/sh\necho tool\n");
    made.file(alpha, "share/alpha/empty", b"");
    made.entry(
        alpha,
        "lib/liba.so",
        Kind::SymbolicLink {
            target: "liba.so.1".into(),
            listed: None,
        },
    );
    let string = CString {
        offsets: vec![3],
        end: 7 + BUILD.len() as u64,
        encoding: Encoding::Utf8,
    };
    let binary = format!("ELF{BUILD}/lib\0!");
    made.relocated(
        alpha,
        "lib/liba.so.1",
        binary.as_bytes(),
        Places::Binary {
            strings: vec![string],
        },
    );
    made.entry(
        alpha,
        "lib/liba-same.so.1",
        Kind::HardLink {
            to: "share/alpha/data".into(),
        },
    );
    made.file(alpha, "share/alpha/data", b"data");
    made.entry(alpha, "var/empty", Kind::Directory);
    made.info(alpha, "info/index.json", b"{}");

    let beta = made.package("beta", "2.0");
    let first = format!("#!{BUILD}/bin/python\n");
    let script = format!("{first}home = '{BUILD}'\n");
    let offset = (first.len() + 8) as u64;
    let occurrences = vec![Occurrence {
        offset,
        encoding: Encoding::Utf8,
    }];
    let places = Places::Text {
        shebang: first.len() as u64,
        occurrences,
    };
    made.relocated(beta, "bin/script", script.as_bytes(), places);
    let module = made.file(beta, "lib/python3.10/site-packages/beta.py", b"x = 1\n");
    module.source = Some("site-packages/beta.py".into());
    made.entry(
        beta,
        "bin/beta",
        Kind::EntryPoint {
            body: "import beta\n".into(),
        },
    );
    made.file(beta, "share/alpha/data", b"other data")
        .clobbered_by = Some("alpha-1.0-0".into());
    made.packages[beta].requested_specs = vec!["beta >=2".into()];
    made.packages[beta].compile = true;
    made
}
