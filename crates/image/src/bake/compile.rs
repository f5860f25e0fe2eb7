//! `pyc = "host-python"`: which Python of this machine compiles the modules of which environment.

use std::collections::BTreeMap;

use conda::RepoDataRecord;
use spec::Pyc;

use super::packages::Packages;
use super::platform::{Job, dist};
use crate::error::Error;
use crate::python::Interpreter;

/// By the names of environments; the base environment has none.
pub(super) type Interpreters = BTreeMap<Option<String>, Interpreter>;

impl Job<'_> {
    /// A Python for each environment that has modules to compile. Said before anything is fetched if there is none.
    pub(super) fn interpreters(&self, packages: &Packages) -> Result<Interpreters, Error> {
        let mut found = Interpreters::new();
        if self.recipe.definition.pyc != Pyc::HostPython {
            return Ok(found);
        }
        let mut known: BTreeMap<String, Interpreter> = BTreeMap::new();
        let base = (None, packages.installed.records());
        let envs = packages.envs.iter();
        let envs = envs.map(|(name, one)| (Some(name.clone()), one.records.as_slice()));
        for (name, records) in [base].into_iter().chain(envs) {
            let Some((minor, usable)) = wanted(records) else {
                continue;
            };
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
            found.insert(name, interpreter);
        }
        Ok(found)
    }
}

/// The packages whose modules are compiled when they are installed.
fn with_modules(records: &[RepoDataRecord]) -> impl Iterator<Item = &RepoDataRecord> {
    let records = records.iter();
    records.filter(|record| record.package_record.noarch.is_python())
}

/// The minor version of the Python that modules are for, and whether it has that version's bytecode: pre-releases and
/// other implementations have not. None if there are no modules.
fn wanted(records: &[RepoDataRecord]) -> Option<(String, bool)> {
    with_modules(records).next()?;
    let python = records
        .iter()
        .find(|record| record.package_record.name.as_normalized() == "python")?;
    let package = &python.package_record;
    let version = package.version.to_string();
    let mut numbers = version.splitn(3, '.');
    let minor = format!("{}.{}", numbers.next()?, numbers.next().unwrap_or("0"));
    let usable = !version.contains(|letter: char| letter.is_ascii_alphabetic())
        && !package.build.to_string().contains("pypy");
    Some((minor, usable))
}
