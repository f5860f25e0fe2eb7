//! Bytecode of Python sources that come without. It does not depend on the CPU, so that an
//! interpreter of this machine makes it for all platforms: the very one that is packaged where it
//! runs here, so that the same lock gives the same bytes, or else one of the same minor version.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::draft::{Draft, DraftFile};
use crate::repack::{Event, Report};
use crate::{Error, error, program};

/// An interpreter that runs on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Interpreter {
    program: PathBuf,
    minor: String,
}

impl Interpreter {
    /// The packaged interpreter, laid into `folder` out of the drafts for this machine, or one of
    /// the machine's own.
    pub(crate) fn find(
        drafts: Option<&[Draft]>,
        minor: &str,
        folder: &Path,
        report: Report<'_>,
    ) -> Result<Interpreter, Error> {
        if let Some(drafts) = drafts {
            lay(drafts, folder)?;
            let packaged = Interpreter {
                program: folder.join(format!("bin/python{minor}")),
                minor: minor.to_owned(),
            };
            if packaged.works() {
                return Ok(packaged);
            }
        }
        let names = [format!("python{minor}"), "python3".to_owned()];
        let found = names.into_iter().find_map(|name| {
            let host = Interpreter {
                program: PathBuf::from(name),
                minor: minor.to_owned(),
            };
            host.works().then_some(host)
        });
        let found = found.ok_or_else(|| Error::NoProgram {
            program: format!("python{minor}"),
            hint: format!("apt install python{minor}"),
        })?;
        report(Event::Warning(
            "the packaged Python does not run on this machine: bytecode comes from the machine's own, and may differ from that of other machines",
        ));
        Ok(found)
    }

    fn works(&self) -> bool {
        let asked = "import sys; print('%d.%d' % sys.version_info[:2])";
        let output = self.command().args(["-c", asked]).output();
        output.is_ok_and(|output| {
            output.status.success() && output.stdout.trim_ascii() == self.minor.as_bytes()
        })
    }

    /// The interpreter, with nothing of the user's.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Without the site's packages. The order of sets, which bytecode holds, depends on hashes.
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONHASHSEED", "0")
            .args(["-B", "-s", "-S"])
            .stdin(std::process::Stdio::null());
        command.args(["-X", "utf8"]);
        command
    }

    /// The bytecode of sources: their paths in a package, the files; the answer has both of the
    /// bytecode, which is written below `folder`. It is never checked against the sources
    /// (PEP 552), since installers give those any time.
    pub(crate) fn compile(
        &self,
        sources: &BTreeMap<String, PathBuf>,
        folder: &Path,
    ) -> Result<BTreeMap<String, PathBuf>, Error> {
        const SCRIPT: &str = "
import py_compile, sys
for line in sys.stdin:
    source, target, shown = line.rstrip('\\n').split('\\t')
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, target, shown, doraise=True, invalidation_mode=mode)
";
        let tag = format!("cpython-{}", self.minor.replace('.', ""));
        let mut list = String::new();
        let mut made = BTreeMap::new();
        for (index, (path, source)) in sources.iter().enumerate() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let stem = name.strip_suffix(".py").unwrap_or(name);
            let place = format!("{parent}/__pycache__/{stem}.{tag}.pyc");
            let target = folder.join(format!("{index}.pyc"));
            // Writing into a string cannot fail.
            let (source, shown) = (source.display(), target.display());
            let _ = writeln!(list, "{source}\t{shown}\t{path}");
            made.insert(place, target);
        }
        fs::create_dir_all(folder).map_err(error::file("make", folder))?;
        let input = folder.join("list");
        fs::write(&input, list).map_err(error::file("write", &input))?;
        let input = fs::File::open(&input).map_err(error::file("read", &input))?;
        let mut command = self.command();
        command.args(["-c", SCRIPT]).stdin(input.into_parts().0);
        program::run(&mut command, "")?;
        Ok(made)
    }
}

/// Adds the bytecode that a draft wants.
pub(crate) fn add(
    draft: &mut Draft,
    interpreter: &Interpreter,
    folder: &Path,
) -> Result<(), Error> {
    if draft.compile.is_empty() {
        return Ok(());
    }
    // What holds a prefix changes when it is installed, and bytecode would not know.
    let wanted = |path: &str| {
        let fits = |pattern: &String| crate::debian::fits(pattern, path);
        path.rsplit_once('.')
            .is_some_and(|(_, suffix)| suffix == "py")
            && draft.compile.iter().any(fits)
    };
    let sources: BTreeMap<String, PathBuf> = draft
        .files
        .iter()
        .filter_map(|(path, file)| match file {
            DraftFile::File {
                source,
                placeholder: None,
                ..
            } if wanted(path) => Some((path.clone(), source.clone())),
            _ => None,
        })
        .collect();
    for (path, source) in interpreter.compile(&sources, folder)? {
        let file = DraftFile::File {
            source,
            mode: 0o644,
            placeholder: None,
        };
        draft.files.insert(path, file);
    }
    Ok(())
}

/// Lays the files of drafts into a folder, as links where that is possible.
fn lay(drafts: &[Draft], folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    for draft in drafts {
        for (path, file) in &draft.files {
            let place = folder.join(path);
            let parent = place.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(error::file("make", parent))?;
            match file {
                DraftFile::File { source, mode, .. } => {
                    fs::copy(source, &place).map_err(error::file("copy", source))?;
                    let mode = std::fs::Permissions::from_mode(*mode);
                    fs::set_permissions(&place, mode).map_err(error::file("write", &place))?;
                }
                DraftFile::SymbolicLink { target } => {
                    fs::os::unix::fs::symlink(target, &place)
                        .map_err(error::file("make", &place))?;
                }
            }
        }
    }
    Ok(())
}
