//! Programs that an installation starts: in a clean environment, and stopped when the
//! installation is.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What leads programs of the prefix to other libraries or settings (constructor's header.sh).
pub const MISLEADING: [&str; 7] = [
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "CONDARC",
    "MAMBARC",
    "PYTHON_SYSCONFIGDATA_NAME",
    "_CONDA_PYTHON_SYSCONFIGDATA_NAME",
];

/// How long a program may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes from a program's environment what is not meant for it.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    for name in MISLEADING {
        command.env_remove(name);
    }
    command
}

/// What an environment that is active leads conda and Python to, instead of a prefix (conda/activate.py).
const ACTIVE: [&str; 9] = [
    "CONDA_DEFAULT_ENV",
    "CONDA_EXE",
    "CONDA_PROMPT_MODIFIER",
    "CONDA_PYTHON_EXE",
    "_CE_CONDA",
    "_CE_M",
    "_CONDA_EXE",
    "PYTHONHOME",
    "PYTHONPATH",
];

/// Makes a program see a prefix as the environment that is active, whichever the user's is. Its own scripts for
/// activation (`etc/conda/activate.d`) are not read.
pub(crate) fn in_prefix<'c>(command: &'c mut Command, prefix: &Path) -> &'c mut Command {
    for name in ACTIVE {
        command.env_remove(name);
    }
    clean(command)
        .env("CONDA_PREFIX", prefix)
        .env("CONDA_SHLVL", "1")
        .current_dir(prefix)
}

/// Waits for a program, and calls `meanwhile` again and again. If `cancelled` is set, it is ended, and there is no status.
pub(crate) fn wait(
    child: &mut Child,
    cancelled: &AtomicBool,
    meanwhile: &mut dyn FnMut(),
) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    while !cancelled.load(Ordering::Relaxed) {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        meanwhile();
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    end(child)?;
    Ok(None)
}

/// Ends a program: first by asking.
pub(crate) fn end(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that has ended by itself cannot be asked any more.
        let _ = kill_process(pid, Signal::TERM);
    }
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait().map(drop)
}
