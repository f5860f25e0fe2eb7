//! Scripts of the distribution, and of packages. Their environment is constructor's (its
//! header.sh) and conda's (`run_script` in conda/core/link.py).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::event::Event;
use crate::install::Options;
use crate::lay::Laid;
use crate::place::alive;
use crate::plan::{PackageHead, Plan};
use crate::process;

/// How much of a failed script's output is shown, in bytes.
const SHOWN: u64 = 4096;

/// How much of `.messages.txt` is shown, in bytes.
const MESSAGES: u64 = 1 << 16;

/// Runs the scripts of one installation.
pub(crate) struct Scripts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a Options<'a>,
    /// A folder for what scripts need only while they run.
    pub(crate) scratch: &'a Path,
    pub(crate) report: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Scripts<'_> {
    /// Runs `pre_install`, if there is one.
    pub(crate) fn pre_install(&self) -> Result<(), Error> {
        match &self.plan.scripts.pre_install {
            None => Ok(()),
            Some(text) => self.distribution("pre_install", text, &[]),
        }
    }

    /// Runs `post_install`, if there is one.
    pub(crate) fn post_install(&self) -> Result<(), Error> {
        let force = if self.options.force { "1" } else { "0" };
        match &self.plan.scripts.post_install {
            None => Ok(()),
            Some(text) => self.distribution("post_install", text, &[("FORCE", force)]),
        }
    }

    /// Runs the packages' link scripts, dependencies first.
    pub(crate) fn link(&self, laid: &[Laid]) -> Result<(), Error> {
        for (head, laid) in self.plan.packages.iter().zip(laid) {
            // The scripts of one package run one after the other, since its files are in place
            // together with all others.
            if let Some(path) = &laid.scripts.pre_link {
                self.package("pre-link", path, head, laid)?;
            }
            if let Some(path) = &laid.scripts.post_link {
                self.package("post-link", path, head, laid)?;
            }
        }
        Ok(())
    }

    fn distribution(
        &self,
        kind: &str,
        text: &str,
        variables: &[(&str, &str)],
    ) -> Result<(), Error> {
        let script = format!("{kind} script");
        (self.report)(Event::Script { script: &script });
        let path = self.scratch.join(format!("{kind}.sh"));
        write_executable(&path, text).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        let mut command = if text.starts_with("#!") {
            Command::new(&path)
        } else {
            let mut command = Command::new("sh");
            command.arg(&path);
            command
        };
        let (plan, options) = (self.plan, self.options);
        process::clean(&mut command)
            .envs(&plan.scripts.environment)
            .env("PREFIX", &options.prefix)
            .env("INSTALLER_NAME", &plan.name)
            .env("INSTALLER_VER", &plan.version)
            .env("INSTALLER_PLAT", &plan.platform)
            .env("INSTALLER_TYPE", "SH")
            .env("INSTALLER_PATH", &options.installer)
            .env(
                "INSTALLER_UNATTENDED",
                if options.unattended { "1" } else { "0" },
            )
            .envs(variables.iter().copied())
            .current_dir(&options.prefix);
        if options.unattended {
            command.stdin(Stdio::null());
        }
        self.run(&script, &mut command)
    }

    fn package(
        &self,
        kind: &str,
        path: &str,
        head: &PackageHead,
        laid: &Laid,
    ) -> Result<(), Error> {
        let script = format!("{kind} script of {}", head.name);
        (self.report)(Event::Script { script: &script });
        let log = self.scratch.join("script.log");
        let cannot = |source| Error::ScriptStart {
            script: script.clone(),
            source,
        };
        let mut output = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&log)
            .map_err(cannot)?;
        let run = |shell: &str| -> Result<(), Error> {
            let mut command = Command::new(shell);
            self.link_environment(&mut command, head, laid);
            command
                .arg(self.options.prefix.join(path))
                .stdin(Stdio::null());
            command.stdout(output.try_clone().map_err(cannot)?);
            command.stderr(output.try_clone().map_err(cannot)?);
            self.run(&script, &mut command)
        };
        let result = match run("bash") {
            Err(Error::ScriptStart { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                run("sh")
            }
            result => result,
        };
        if matches!(result, Err(Error::Script { .. }))
            && let Ok(text) = tail(&mut output)
        {
            (self.report)(Event::ScriptOutput {
                script: &script,
                text: text.trim_end(),
            });
        }
        self.messages(&head.name)?;
        result
    }

    fn link_environment(&self, command: &mut Command, head: &PackageHead, laid: &Laid) {
        let prefix = &self.options.prefix;
        let mut path = OsString::from(prefix.join("bin"));
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        process::in_prefix(command, prefix)
            .env("ROOT_PREFIX", prefix)
            .env("PREFIX", prefix)
            .env("SOURCE_DIR", prefix)
            .env("PKG_NAME", &head.name)
            .env("PKG_VERSION", &head.version)
            .env("PKG_BUILDNUM", laid.build_number.to_string())
            .env("PATH", path)
            .current_dir(prefix);
    }

    fn run(&self, script: &str, command: &mut Command) -> Result<(), Error> {
        let cannot = |source| Error::ScriptStart {
            script: script.to_owned(),
            source,
        };
        // What cannot be written now costs no more than a careful recovery.
        let note = || drop(alive::note(self.scratch));
        note();
        let mut child = command.spawn().map_err(cannot)?;
        let mut last = Instant::now();
        let mut meanwhile = || {
            if last.elapsed() >= Duration::from_secs(alive::INTERVAL) {
                note();
                last = Instant::now();
            }
        };
        let ended = process::wait(&mut child, self.options.cancelled, &mut meanwhile);
        note();
        match ended.map_err(cannot)? {
            None => Err(Error::Cancelled),
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Error::Script {
                script: script.to_owned(),
                status,
            }),
        }
    }

    /// Shows what a link script has to say, and removes it.
    fn messages(&self, package: &str) -> Result<(), Error> {
        let path = self.options.prefix.join(".messages.txt");
        let Ok(file) = File::open(&path) else {
            return Ok(());
        };
        let mut text = Vec::new();
        file.take(MESSAGES)
            .read_to_end(&mut text)
            .map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
        let text = String::from_utf8_lossy(&text);
        (self.report)(Event::Message {
            package,
            text: text.trim_end(),
        });
        fs::remove_file(&path).map_err(|source| Error::Remove { path, source })
    }
}

fn write_executable(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn tail(file: &mut File) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN)))?;
    let mut text = Vec::new();
    file.take(SHOWN).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
