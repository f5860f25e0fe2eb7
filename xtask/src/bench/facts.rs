//! The machine that was measured on.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde::Serialize;

use crate::process;

/// What a reader of figures has to know.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    /// `2026-11-22`.
    pub(super) date: String,
    /// In one line.
    pub(super) machine: String,
}

impl Facts {
    /// Asks the machine. `folder` is where files are written.
    pub(super) fn gather(folder: &Path) -> Facts {
        let ask = |program: &str, arguments: &[&str]| {
            process::output(Command::new(program).args(arguments))
                .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
        };
        let field = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.split_once(':'));
            value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let processor = field("/proc/cpuinfo", "model name");
        let memory: u64 = field("/proc/meminfo", "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let system = ask("stat", &["-f", "-c", "%T", &folder.to_string_lossy()]);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown").to_owned();
        Facts {
            date: ask("date", &["-u", "+%Y-%m-%d"]),
            machine: format!(
                "{processor}, {cores} cores, {} GB, Linux {}, files on {system}, load {load} at the beginning",
                memory / 1_000_000,
                ask("uname", &["-r"]),
            ),
        }
    }
}
