//! `.pyc` files of noarch Python packages, made by the installed Python before the prefix is at
//! its final path, which they name. conda does the same with `compileall` after linking
//! (`compile_multiple_pyc` in conda/gateways/disk/create.py).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::event::Event;
use crate::lay::{Laid, installed};
use crate::plan::{Entry, Kind, Python};
use crate::{process, record};

/// Compiles the modules that are named on standard input, and names each result on standard
/// output at once. The first argument is the prefix that the results name. Runs in every Python since 2.6.
pub const PROGRAM: &str = "
import os, py_compile, sys
decode, encode = getattr(os, 'fsdecode', str), getattr(os, 'fsencode', str)
for line in getattr(sys.stdin, 'buffer', sys.stdin).read().splitlines():
    module = decode(line)
    try:
        result = py_compile.compile(module, dfile=sys.argv[1] + '/' + module, doraise=True)
        os.write(1, encode(result or module + 'c') + b'\\n')
    except Exception:
        pass
";

/// What is compiled, and where.
pub(crate) struct Run<'a> {
    /// The folder that becomes the prefix.
    pub(crate) root: &'a Path,
    /// A folder for lists.
    pub(crate) scratch: &'a Path,
    /// The final prefix.
    pub(crate) prefix: &'a str,
    pub(crate) python: &'a Python,
    pub(crate) laid: &'a [Laid],
    /// How many processes work at once.
    pub(crate) processes: usize,
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) report: &'a (dyn Fn(Event<'_>) + Sync),
}

/// The modules of a package to compile: its `.py` files below `site-packages`, but for those whose
/// compiled form is in the package.
pub(crate) fn modules(entries: &[Entry], python: &Python) -> Vec<String> {
    let entries = || entries.iter().filter(|entry| installed(entry));
    let paths: HashSet<&str> = entries().map(|entry| entry.path.as_str()).collect();
    let module = |entry: &&Entry| {
        matches!(entry.kind, Kind::File(_) | Kind::HardLink { .. })
            && is_module(&entry.path, python)
            && !paths.contains(compiled_path(&entry.path, python).as_str())
    };
    entries()
        .filter(module)
        .map(|entry| entry.path.clone())
        .collect()
}

/// Compiles, notes the results in the packages' records, and returns how many there are. A module
/// that does not compile, and a Python that does not run, are no failures.
pub(crate) fn run(run: &Run<'_>) -> Result<usize, Error> {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let mut modules: Vec<(u64, &str)> = Vec::new();
    for (package, laid) in run.laid.iter().enumerate() {
        for module in laid.modules.iter().filter(|module| run.is_inside(module)) {
            owners.insert(module, package);
            let size = fs::metadata(run.root.join(module)).map_or(0, |data| data.len());
            modules.push((size, module));
        }
    }
    if modules.is_empty() {
        return Ok(0);
    }
    (run.report)(Event::Compiling {
        files: modules.len(),
    });
    // Dealt out like cards, largest first, so that all processes end at about the same time.
    modules.sort_by(|a, b| b.cmp(a));
    let count = run.processes.clamp(1, modules.len());
    let mut started = Vec::new();
    let mut trouble = None;
    for process in 0..count {
        let share = modules
            .iter()
            .skip(process)
            .step_by(count)
            .map(|(_, module)| *module);
        match run.start(process, share) {
            Ok(child) => started.push(child),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    let results = wait(run, started, &mut trouble)?;
    if let Some(reason) = trouble {
        (run.report)(Event::NotCompiled { reason: &reason });
    }

    let expected: HashMap<String, usize> = owners
        .iter()
        .map(|(module, package)| (compiled_path(module, run.python), *package))
        .collect();
    let mut compiled: HashMap<usize, Vec<String>> = HashMap::new();
    let mut total = 0;
    for result in results {
        if let Some(package) = expected.get(&result) {
            compiled.entry(*package).or_default().push(result);
            total += 1;
        }
    }
    for (package, paths) in compiled {
        if let Some(laid) = run.laid.get(package) {
            let path = run.root.join(format!("conda-meta/{}.json", laid.dist));
            record::add_compiled(&path, &paths)?;
        }
    }
    Ok(total)
}

impl Run<'_> {
    /// Whether the compiled module cannot end up elsewhere through a link.
    fn is_inside(&self, module: &str) -> bool {
        let folder = self.root.join(module).with_file_name("__pycache__");
        fs::symlink_metadata(folder).map_or(true, |data| data.is_dir())
    }

    fn start<'m>(
        &self,
        process: usize,
        modules: impl Iterator<Item = &'m str>,
    ) -> io::Result<Work> {
        let list = self.scratch.join(format!("compile.{process}.list"));
        let mut text = String::new();
        for module in modules {
            text.push_str(module);
            text.push('\n');
        }
        File::create(&list)?.write_all(text.as_bytes())?;
        let output = self.scratch.join(format!("compile.{process}.done"));
        let mut command = Command::new(self.root.join(&self.python.executable));
        // No user's settings, no site-packages: only the compiler is needed.
        let child = process::clean(&mut command)
            .args(["-E", "-s", "-S", "-B", "-Wi", "-c", PROGRAM, self.prefix])
            // Would make `.pyc` files that are compared with their source by its content.
            .env_remove("SOURCE_DATE_EPOCH")
            .current_dir(self.root)
            .stdin(File::open(&list)?)
            .stdout(File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Work { child, output })
    }
}

/// A process that compiles.
struct Work {
    child: Child,
    output: PathBuf,
}

/// Waits for all and returns what they compiled, relative to the prefix.
fn wait(
    run: &Run<'_>,
    started: Vec<Work>,
    trouble: &mut Option<String>,
) -> Result<Vec<String>, Error> {
    let mut results = Vec::new();
    let mut cancelled = false;
    for Work { mut child, output } in started {
        match process::wait(&mut child, run.cancelled, &mut || {}) {
            Ok(None) => cancelled = true,
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => *trouble = Some(format!("the installed Python failed: {status}")),
            Err(error) => *trouble = Some(error.to_string()),
        }
        let text = fs::read(&output).unwrap_or_default();
        results.extend(String::from_utf8_lossy(&text).lines().map(str::to_owned));
    }
    if cancelled {
        Err(Error::Cancelled)
    } else {
        Ok(results)
    }
}

fn is_module(path: &str, python: &Python) -> bool {
    let below = path
        .strip_prefix(&python.site_packages)
        .and_then(|rest| rest.strip_prefix('/'));
    let is_python = |name: &str| name.strip_suffix(".py").is_some() && !name.contains(['\n', '\r']);
    below.is_some_and(is_python)
}

/// Where Python puts the compiled form of a module (PEP 3147; beside it before 3.2). Both paths are relative to the
/// prefix.
pub fn compiled_path(path: &str, python: &Python) -> String {
    if python.version.starts_with("2.") {
        return format!("{path}c");
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".py").unwrap_or(name);
    let version = python.version.replace('.', "");
    format!("{folder}/__pycache__/{stem}.cpython-{version}.pyc")
}
