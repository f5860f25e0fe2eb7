//! While files are written, a signal asks the installation to stop and to undo what it did; before
//! and after, it ends the process as ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What signals set and what tells them to be ordinary.
#[derive(Debug)]
pub(super) struct Signals {
    /// A signal came.
    pub(super) cancelled: Arc<AtomicBool>,
    /// From now on signals end the process.
    pub(super) let_go: Arc<AtomicBool>,
}

/// Catches the signals that ask a process to end, but for those which are ignored, as `nohup`
/// and a shell's `&` want it.
pub(super) fn catch() -> io::Result<Signals> {
    let signals = Signals {
        cancelled: Arc::default(),
        let_go: Arc::default(),
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        if !is_ignored(&status, signal) {
            flag::register_conditional_default(signal, signals.let_go.clone())?;
            flag::register(signal, signals.cancelled.clone())?;
        }
    }
    Ok(signals)
}

/// Reads the mask `SigIgn` (proc(5)).
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_recognised() {
        let status = "Name:\tx\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT) && !is_ignored(status, SIGTERM));
        assert!(!is_ignored("", SIGHUP));
    }
}
