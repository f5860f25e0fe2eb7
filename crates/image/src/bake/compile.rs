//! Bytecode: which Python compiles the modules of which environment, one of this machine (`pyc = "host-python"`) or the
//! image's own ([`super::emulation`]).

use std::collections::BTreeMap;

use conda::RepoDataRecord;
use spec::Pyc;

use super::packages::Packages;
use super::platform::{Job, dist};
use crate::error::Error;
use crate::python::Interpreter;

/// What compiles the modules of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compiler {
    /// A Python of this machine.
    Host(Interpreter),
    /// The environment's own, which is this package.
    Own(String),
}

impl Compiler {
    /// What the bytecode follows from.
    pub(super) fn version(&self) -> &str {
        match self {
            Compiler::Host(interpreter) => &interpreter.version,
            Compiler::Own(dist) => dist,
        }
    }
}

/// By the names of environments; the base environment has none.
pub(super) type Compilers = BTreeMap<Option<String>, Compiler>;

impl Job<'_> {
    /// A Python for each environment that has modules to compile. Said before anything is fetched if there is none.
    pub(super) fn compilers(&self, packages: &Packages) -> Result<Compilers, Error> {
        let mut found = Compilers::new();
        let pyc = self.recipe.definition.pyc;
        if pyc == Pyc::Skip {
            return Ok(found);
        }
        let mut known: BTreeMap<String, Interpreter> = BTreeMap::new();
        let base = (None, packages.installed.records());
        let envs = packages.envs.iter();
        let envs = envs.map(|(name, one)| (Some(name.clone()), one.records.as_slice()));
        for (name, records) in [base].into_iter().chain(envs) {
            let Some(python) = python(records) else {
                continue;
            };
            if pyc == Pyc::Emulate {
                found.insert(name, Compiler::Own(dist(python)));
                continue;
            }
            let (minor, usable) = wanted(python);
            let interpreter = known.get(&minor).cloned();
            let interpreter = interpreter.or_else(|| Interpreter::find(&minor));
            let interpreter = interpreter.filter(|_| usable);
            let Some(interpreter) = interpreter else {
                return Err(Error::NoPython {
                    platform: self.platform,
                    version: minor,
                    packages: with_modules(records).map(dist).collect(),
                });
            };
            known.insert(minor, interpreter.clone());
            found.insert(name, Compiler::Host(interpreter));
        }
        Ok(found)
    }
}

/// The packages whose modules are compiled when they are installed.
fn with_modules(records: &[RepoDataRecord]) -> impl Iterator<Item = &RepoDataRecord> {
    let records = records.iter();
    records.filter(|record| record.package_record.noarch.is_python())
}

/// The Python that modules are for. None if there are no modules.
fn python(records: &[RepoDataRecord]) -> Option<&RepoDataRecord> {
    with_modules(records).next()?;
    let mut records = records.iter();
    records.find(|record| record.package_record.name.as_normalized() == "python")
}

/// The minor version of a Python, and whether it has that version's bytecode: pre-releases and other implementations
/// have not.
fn wanted(python: &RepoDataRecord) -> (String, bool) {
    let package = &python.package_record;
    let version = package.version.to_string();
    let mut numbers = version.splitn(3, '.');
    let mut number = || numbers.next().unwrap_or("0");
    let minor = format!("{}.{}", number(), number());
    let usable = !version.contains(|letter: char| letter.is_ascii_alphabetic())
        && !package.build.to_string().contains("pypy");
    (minor, usable)
}
