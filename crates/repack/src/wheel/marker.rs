//! What environment markers see on the target (the dependency specifiers specification, formerly
//! PEP 508). Nothing of the machine that this runs on is asked.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use super::Error;
use super::tags::Machine;

/// Everything that markers may ask of a machine.
pub(super) fn environment(machine: &Machine) -> Result<MarkerEnvironment, Error> {
    with(machine, machine.target.machine, &machine.python)
}

/// The same machine with other processors, and with the next Python: what a marker says on these is
/// what tells whether a package is for all platforms and all versions of Python.
pub(super) fn others(
    machine: &Machine,
) -> Result<(MarkerEnvironment, Vec<MarkerEnvironment>), Error> {
    let processor = if machine.target.machine == "x86_64" {
        "aarch64"
    } else {
        "x86_64"
    };
    let platform = with(machine, processor, &machine.python)?;
    let mut pythons = Vec::new();
    for minor in FIRST_MINOR..=LAST_MINOR {
        if minor != machine.minor.1 {
            let python = format!("{}.{minor}", machine.minor.0);
            pythons.push(with(machine, machine.target.machine, &python)?);
        }
    }
    Ok((platform, pythons))
}

/// The versions of Python 3 that a `noarch: python` package may find itself in.
const FIRST_MINOR: u32 = 6;
const LAST_MINOR: u32 = 20;

fn with(machine: &Machine, processor: &str, python: &str) -> Result<MarkerEnvironment, Error> {
    let full = if python.matches('.').count() == 1 {
        format!("{python}.0")
    } else {
        python.to_owned()
    };
    let minor: Vec<&str> = python.split('.').take(2).collect();
    let builder = MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: processor,
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: &full,
        python_version: &minor.join("."),
        sys_platform: "linux",
    };
    MarkerEnvironment::try_from(builder).map_err(|_| Error::Python {
        version: machine.python.clone(),
    })
}
