//! `"emulate"`: programs of the target that run while the image is baked. Python compiles modules in a userland of the
//! base and the packages that Python needs; scripts run in one of the whole image, and what they change becomes a layer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conda::RepoDataRecord;
use fs_err as fs;
use runtime::lay::{self, Extent, Settings};
use runtime::plan::Python as Plan;
use runtime::tree::Disk;
use spec::{LinkScripts, Pyc};

use super::environments::Environment;
use super::platform::Job;
use super::scripts::{Outcome, RUNNER, TaskFile};
use crate::config;
use crate::error::Error;
use crate::layer::{Archive, Packed, Packer};
use crate::oci::{Descriptor, Object};
use crate::output::Staging;
use crate::python::{self, Python};
use crate::scratch::Scratch;
use crate::userland::{self, Call, OURS, Userland};

/// How long scripts may run in all: under emulation all takes ten times as long.
const TO_RUN: Duration = Duration::from_hours(1);

/// Sets the variables that come before `--`, and becomes what comes after it.
const WITH_VARIABLES: &str = r#"
while [ "$1" != -- ]; do
    export "$1"
    shift
done
shift
exec "$@"
"#;

impl Job<'_> {
    /// Programs of the target must run here where the definition wants it. Said before anything is fetched.
    pub(super) fn check_emulation(&self) -> Result<(), Error> {
        let definition = self.recipe.definition;
        let key = if definition.pyc == Pyc::Emulate {
            "pyc"
        } else if definition.link_scripts == LinkScripts::Emulate {
            "link_scripts"
        } else {
            return Ok(());
        };
        userland::can_run(self.platform).map_err(|reason| Error::CannotRun {
            platform: self.platform,
            key,
            reason,
        })
    }

    /// Runs the scripts in the image of these layers. Returns the layer of what they changed, if they did.
    pub(super) fn run_scripts(
        &self,
        staging: &Staging,
        layers: &[Descriptor],
        base: Option<&Object>,
        scripts: &Outcome,
        created: u64,
    ) -> Result<Option<Packed>, Error> {
        let cannot = |source| Error::Emulate {
            platform: self.platform,
            what: "the image".to_owned(),
            source,
        };
        let failed = |source| Error::Emulate {
            platform: self.platform,
            what: "the scripts".to_owned(),
            source,
        };
        let userland = unpacked(staging, layers).map_err(cannot)?;
        let ours = Scratch::new("scripts-", staging.scratch()).map_err(cannot)?;
        for file in &scripts.files {
            write_below(ours.path(), file).map_err(cannot)?;
        }
        let before = userland.snapshot().map_err(cannot)?;
        let mut variables = config::variables(base, &self.target);
        variables.push(("SOURCE_DATE_EPOCH".to_owned(), created.to_string()));
        let variables = variables.iter().filter(|(name, _)| is_name(name));
        let variables: Vec<String> = variables
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let runner = format!("/{OURS}/{RUNNER}");
        let mut words = vec!["/bin/sh", "-c", WITH_VARIABLES, "sh"];
        words.extend(variables.iter().map(String::as_str));
        words.extend(["--", &runner]);
        let call = Call {
            work: ours.path(),
            words: &words,
            environment: &[],
            input: "",
            limit: TO_RUN,
        };
        userland::run(&userland, &call).map_err(failed)?;
        let blob = staging.blob(&format!("{}-scripts", self.platform))?;
        let compression = self.recipe.definition.compression;
        let write = |blob| -> io::Result<(Packer, bool)> {
            let mut archive = Archive::new(Packer::new(blob, compression)?);
            let changed = userland.write_changes(&before, created, &mut archive)?;
            Ok((archive.finish()?, !changed.is_empty()))
        };
        let (packer, changed) = write(blob).map_err(|source| Error::Write {
            path: staging.scratch().to_owned(),
            source,
        })?;
        userland.close().map_err(cannot)?;
        // Nothing of a layer stays that is not finished.
        changed.then(|| packer.finish(staging)).transpose()
    }
}

/// Whether a shell can set a variable of this name.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    letters.next().is_some_and(is_letter)
        && letters.all(|letter| is_letter(letter) || letter.is_ascii_digit())
}

fn write_below(folder: &Path, file: &TaskFile) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, &file.text)?;
    fs::set_permissions(&path, std::fs::Permissions::from_mode(file.mode()))
}

/// A userland of layers that are in the image.
fn unpacked(staging: &Staging, layers: &[Descriptor]) -> io::Result<Userland> {
    let mut userland = Userland::new(staging.scratch())?;
    for layer in layers {
        userland.add_layer(&staging.place(layer.digest), &layer.media_type)?;
    }
    userland.add_devices()?;
    Ok(userland)
}

/// The Pythons of one image's environments, in userlands that are made when the first module wants to be compiled: layers
/// that are there already want none.
pub(super) struct Pythons<'a> {
    staging: &'a Staging,
    /// The layers that lie below conda's packages.
    ground: &'a [Descriptor],
    made: Mutex<HashMap<Option<String>, Arc<Userland>>>,
}

impl<'a> Pythons<'a> {
    pub(super) fn new(staging: &'a Staging, ground: &'a [Descriptor]) -> Pythons<'a> {
        Pythons {
            staging,
            ground,
            made: Mutex::default(),
        }
    }

    /// The Python of an environment. `plan` says where it is in the prefix.
    pub(super) fn of(&self, environment: &Environment, plan: &Plan) -> io::Result<OwnPython> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let userland = if let Some(userland) = made.get(&environment.name) {
            Arc::clone(userland)
        } else {
            let userland = unpacked(self.staging, self.ground)?;
            lay_python(&userland, environment)?;
            let userland = Arc::new(userland);
            made.insert(environment.name.clone(), Arc::clone(&userland));
            userland
        };
        let program = format!("{}/{}", environment.prefix, plan.executable);
        Ok(OwnPython { userland, program })
    }
}

/// The Python of an environment, which runs in a userland.
pub(super) struct OwnPython {
    userland: Arc<Userland>,
    program: String,
}

impl Python for OwnPython {
    fn compile(&self, root: &Path, prefix: &str, modules: &[String]) -> io::Result<Vec<String>> {
        let place = format!("/{OURS}");
        let program = python::compiling();
        let mut words = vec![self.program.as_str()];
        words.extend(python::CLEAN);
        words.extend(["-Wi", "-c", &program, prefix, &place]);
        let call = Call {
            work: root,
            words: &words,
            environment: &python::VARIABLES,
            input: &python::listed(modules),
            limit: TO_RUN,
        };
        let answer = userland::run(&self.userland, &call)?;
        Ok(answer.lines().map(str::to_owned).collect())
    }
}

/// Installs Python, with what it needs.
fn lay_python(userland: &Userland, environment: &Environment) -> io::Result<()> {
    let prepared = &environment.prepared;
    let plan = &prepared.planned.plan;
    let needed = needed(&prepared.records, "python");
    let place = userland.folder(&environment.place)?;
    let tree = Disk::open(&place)?;
    let payload = environment.frames.payload();
    let settings = Settings {
        prefix: &environment.prefix,
        extent: Extent::Prefix,
        threads: 1,
        cancelled: &AtomicBool::new(false),
    };
    for (head, package) in plan.packages.iter().zip(environment.packages()) {
        if needed.contains(head.name.as_str()) {
            let python = plan.python.as_ref();
            lay::lay_package(&payload, package.clone(), python, &tree, settings, &|_| {})
                .map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// The names of the packages that one needs, itself included.
fn needed<'r>(records: &'r [RepoDataRecord], name: &'r str) -> HashSet<&'r str> {
    let by_name: BTreeMap<&str, &RepoDataRecord> = records
        .iter()
        .map(|record| (record.package_record.name.as_normalized(), record))
        .collect();
    let mut needed = HashSet::new();
    let mut todo = vec![name];
    while let Some(name) = todo.pop() {
        let Some(record) = by_name.get(name).filter(|_| needed.insert(name)) else {
            continue;
        };
        let depends = record.package_record.depends.iter();
        todo.extend(depends.filter_map(|spec| spec.split_whitespace().next()));
    }
    needed
}
