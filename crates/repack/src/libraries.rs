//! Which package of the channel holds which shared library, so that what an ELF file needs becomes
//! what its package needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::Elf;

/// The libraries of one platform.
#[derive(Debug, Clone, Default)]
pub(crate) struct Libraries {
    /// By soname: the package and how others depend on it.
    packages: BTreeMap<String, (String, String)>,
    /// The sonames that the target's own system holds.
    system: BTreeSet<String>,
    /// The C library's version.
    glibc: String,
}

impl Libraries {
    /// Libraries of a system with this C library.
    pub(crate) fn new(system: &[String], glibc: &str) -> Libraries {
        Libraries {
            packages: BTreeMap::new(),
            system: system.iter().cloned().collect(),
            glibc: glibc.to_owned(),
        }
    }

    /// Adds a library in `lib/` of a package, which others need as `depend` says.
    pub(crate) fn add(&mut self, soname: &str, package: &str, depend: &str) {
        let entry = (package.to_owned(), depend.to_owned());
        self.packages.entry(soname.to_owned()).or_insert(entry);
    }

    /// The package that holds a library.
    pub(crate) fn package(&self, soname: &str) -> Option<&str> {
        self.packages
            .get(soname)
            .map(|(package, _)| package.as_str())
    }

    /// Adds what a file of `package` needs to its dependencies. A library that nobody holds
    /// is the error.
    pub(crate) fn need(
        &self,
        package: &str,
        elf: &Elf,
        depends: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        for soname in &elf.needed {
            match self.packages.get(soname) {
                Some((holder, _)) if holder == package => {}
                Some((_, depend)) => {
                    depends.insert(depend.clone());
                }
                None if self.system.contains(soname) => {
                    depends.insert(format!("__glibc >={}", self.glibc));
                }
                None => return Err(soname.clone()),
            }
        }
        Ok(())
    }
}
