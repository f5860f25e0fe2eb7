//! Who holds a lock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

/// Who holds a lock: a process of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    host: String,
    /// The machine's start and the processes that see each other.
    world: String,
    process: u32,
    /// When the process began, so that another one under its number is not taken for it.
    began: String,
    token: String,
    beats: u64,
}

impl Owner {
    /// This process.
    pub(super) fn this() -> Self {
        let process = std::process::id();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let began = began(process).unwrap_or_default();
        Self {
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .replace(['\n', '='], "?"),
            world: world(),
            process,
            token: format!("{process}.{}.{}", now.as_nanos(), began.len()),
            began,
            beats: 0,
        }
    }

    /// What tells this lock from all others.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn beat(&mut self) {
        self.beats += 1;
    }

    /// Whether the process is gone; `None` where that cannot be seen from here.
    pub(super) fn is_dead(&self) -> Option<bool> {
        if self.token.is_empty() {
            // Half a file: its writer is dead, or not done.
            return None;
        }
        if self.world != world() || self.world.is_empty() {
            return None;
        }
        Some(began(self.process).as_deref() != Some(&self.began))
    }

    /// All lines have the same length at every beat, so that it can be overwritten.
    pub(super) fn to_string_for_file(&self) -> String {
        format!(
            "host={}\nworld={}\nprocess={}\nbegan={}\ntoken={}\nbeats={:020}\n",
            self.host, self.world, self.process, self.began, self.token, self.beats
        )
    }

    /// Reads what can be read.
    pub(super) fn parse(text: &str) -> Self {
        let mut owner = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "host" => value.clone_into(&mut owner.host),
                "world" => value.clone_into(&mut owner.world),
                "process" => owner.process = value.parse().unwrap_or_default(),
                "began" => value.clone_into(&mut owner.began),
                "token" => value.clone_into(&mut owner.token),
                "beats" => owner.beats = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        owner
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.token.is_empty() {
            return formatter.write_str("a process that did not say who it is");
        }
        write!(formatter, "process {} on {}", self.process, self.host)
    }
}

/// Two processes with the same value see each other's numbers.
fn world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let (boot, space) = (boot.trim(), space.to_string_lossy());
    if boot.is_empty() || space.is_empty() {
        return String::new();
    }
    format!("{boot} {space}").replace('=', "?")
}

/// When a process began, in the kernel's ticks (proc(5), field 22 of `stat`); `None` if there is none, or
/// only a zombie.
fn began(process: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, the second field, may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let began = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| began.to_owned())
}
