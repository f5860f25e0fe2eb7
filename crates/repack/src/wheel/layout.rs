//! Where a wheel's files go in a package (the binary distribution format, "Spread"; conda's places
//! are those of `conda.common.path` and CEP 20 for `noarch: python`).

use super::archive::Opened;
use super::{Error, archive};

/// Places of one kind of package.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Where modules go.
    pub(super) site: String,
    /// Where scripts go.
    pub(super) scripts: &'static str,
    /// Where headers go.
    pub(super) headers: String,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// To this path of the package.
    At(String),
    /// To this path, and its first line may name Python.
    Script(String),
    /// Nowhere: it is made anew, or made at installation.
    Nowhere,
}

/// What belongs to conda, or tells how a wheel came here, which conda's own records tell.
const MADE_ANEW: &[&str] = &[
    "RECORD",
    "RECORD.jws",
    "RECORD.p7s",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
];

impl Layout {
    /// Of a package that fits any Python: installers know where modules and scripts go.
    pub(super) fn noarch(minor: &str, project: &str) -> Layout {
        Layout {
            site: "site-packages".to_owned(),
            scripts: "python-scripts",
            headers: format!("include/python{minor}/{project}"),
        }
    }

    /// Of a package for one Python.
    pub(super) fn platform(minor: &str, project: &str) -> Layout {
        Layout {
            site: format!("lib/python{minor}/site-packages"),
            scripts: "bin",
            headers: format!("include/python{minor}/{project}"),
        }
    }

    /// Where a file of the wheel goes.
    pub(super) fn place(&self, wheel: &Opened, file: &str) -> Result<Place, Error> {
        let wrong = |problem| Error::File {
            wheel: wheel.name.text.clone(),
            file: file.to_owned(),
            problem,
        };
        let (top, rest) = file.split_once('/').unwrap_or(("", file));
        if top == wheel.dist_info && MADE_ANEW.contains(&rest) {
            return Ok(Place::Nowhere);
        }
        if is_compiled(wheel, file) {
            return Ok(Place::Nowhere);
        }
        if top != wheel.data {
            return Ok(Place::At(format!("{}/{file}", self.site)));
        }
        let (kind, rest) = rest
            .split_once('/')
            .ok_or_else(|| wrong("lies beside the kinds of data"))?;
        match kind {
            "purelib" | "platlib" => Ok(Place::At(format!("{}/{rest}", self.site))),
            "headers" => Ok(Place::At(format!("{}/{rest}", self.headers))),
            "scripts" if rest.contains('/') => Err(wrong("is a script in a folder")),
            "scripts" => Ok(Place::Script(format!("{}/{rest}", self.scripts))),
            "data" => {
                archive::check_path(rest).map_err(wrong)?;
                let first = rest.split('/').next().unwrap_or_default();
                if matches!(
                    first,
                    "info" | "conda-meta" | "pkgs" | "site-packages" | "python-scripts"
                ) {
                    return Err(wrong("lies where conda keeps its own files"));
                }
                Ok(Place::At(rest.to_owned()))
            }
            _ => Err(wrong("is of a kind of data that wheels do not have")),
        }
    }

    /// A path of the package as RECORD has it: relative to the modules' folder once installed.
    pub(super) fn recorded(&self, path: &str) -> String {
        if let Some(inside) = path
            .strip_prefix(&self.site)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            return inside.to_owned();
        }
        // lib/pythonX.Y/site-packages lies three folders below the prefix.
        match path.strip_prefix("python-scripts/") {
            Some(script) => format!("../../../bin/{script}"),
            None => format!("../../../{path}"),
        }
    }
}

/// Byte code of a module that is there as source too: installers compile.
fn is_compiled(wheel: &Opened, file: &str) -> bool {
    let Some(stem) = file.strip_suffix(".pyc") else {
        return false;
    };
    match stem.rsplit_once("__pycache__/") {
        Some((folder, name)) => {
            let module = name.split('.').next().unwrap_or_default();
            wheel.files.contains_key(&format!("{folder}{module}.py"))
        }
        None => wheel.files.contains_key(&format!("{stem}.py")),
    }
}
