//! Runs a Python script that makes hotfixes, as a child process that is bounded in time and output.

use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Error, LIMIT};
use crate::output::repodata::{self, Each, Head};

/// Imports the script and calls its function as conda-index does (`_create_patch_instructions`). What
/// the script prints goes to standard error, and its neighbours can be imported.
const DRIVER: &str = r#"
import importlib.util, json, os, sys
path, subdir = sys.argv[1:]
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
spec = importlib.util.spec_from_file_location("a_b", path)
if spec is None or spec.loader is None:
    sys.exit("not a Python file")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
instructions = module._patch_repodata(json.load(sys.stdin.buffer), subdir)
with out:
    json.dump(instructions, out)
"#;

/// How much of standard error is told, in bytes.
const TOLD: u64 = 4 << 10;

/// How often the child is looked after.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the script returns for a platform, as JSON.
pub(super) fn run(
    path: &Path,
    head: &Head<'_>,
    each: Each<'_>,
    limit: Duration,
) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Run {
        path: path.to_owned(),
        source,
    };
    // Files instead of pipes: neither side ever waits for the other.
    let file = || tempfile::tempfile().map_err(failed);
    let (input, mut output, mut errors) = (file()?, file()?, file()?);
    let input = (|| {
        let mut writer = BufWriter::with_capacity(1 << 20, input);
        repodata::write(&mut writer, head, each, &[])?;
        writer.flush()?;
        let mut input = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        input.seek(SeekFrom::Start(0))?;
        Ok(input)
    })()
    .map_err(failed)?;
    let mut child = start(path, head.subdir, &input, &output, &errors).map_err(failed)?;
    let Some(child) = child.as_mut() else {
        let path = path.to_owned();
        return Err(Error::NoPython { path });
    };
    let status = wait(child, limit, [&output, &errors]).map_err(failed)?;
    let problem = match status {
        Ended::Done(status) if status.success() => None,
        Ended::Done(status) => Some(status.to_string()),
        Ended::Late => Some(format!("ended after {} s", limit.as_secs())),
        Ended::Large => Some("ended above 1 GiB of output".to_owned()),
    };
    if let Some(status) = problem {
        return Err(Error::Script {
            path: path.to_owned(),
            subdir: head.subdir.to_owned(),
            status,
            stderr: end_of(&mut errors).map_err(failed)?,
        });
    }
    let mut text = Vec::new();
    output.seek(SeekFrom::Start(0)).map_err(failed)?;
    output.take(LIMIT).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// The child, or nothing where there is no Python.
fn start(
    path: &Path,
    subdir: &str,
    input: &impl AsFd,
    output: &impl AsFd,
    errors: &impl AsFd,
) -> io::Result<Option<Child>> {
    for python in ["python3", "python"] {
        let child = Command::new(python)
            .args(["-c", DRIVER])
            .arg(path)
            .arg(subdir)
            .stdin(Stdio::from(input.as_fd().try_clone_to_owned()?))
            .stdout(Stdio::from(output.as_fd().try_clone_to_owned()?))
            .stderr(Stdio::from(errors.as_fd().try_clone_to_owned()?))
            // Its own group, so that what it starts ends with it.
            .process_group(0)
            .spawn();
        match child {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            child => return child.map(Some),
        }
    }
    Ok(None)
}

enum Ended {
    Done(ExitStatus),
    Late,
    Large,
}

fn wait(child: &mut Child, limit: Duration, files: [&std::fs::File; 2]) -> io::Result<Ended> {
    let started = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Done(status));
        }
        if started.elapsed() > limit {
            break Ended::Late;
        }
        for file in files {
            if file.metadata()?.len() > LIMIT {
                end(child)?;
                return Ok(Ended::Large);
            }
        }
        std::thread::sleep(INTERVAL);
    };
    end(child)?;
    Ok(ended)
}

fn end(child: &mut Child) -> io::Result<()> {
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().map(drop)
}

fn end_of(errors: &mut std::fs::File) -> io::Result<String> {
    let length = errors.seek(SeekFrom::End(0))?;
    errors.seek(SeekFrom::Start(length.saturating_sub(TOLD)))?;
    let mut text = Vec::new();
    errors.take(TOLD).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}
