//! The command line of an installer: options, dialogue, checks before anything is written, then
//! [`crate::install`]. The shell text before the payload (`installer/header.sh`) starts it as
//! `runtime --installer FILE --copy EXECUTABLE -- OPTIONS`, having tried `runtime --probe`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use archive::payload::Payload;

use crate::place::Recovery;
use crate::plan::Plan;
use arguments::{Arguments, Mode};
use dialogue::Console;
use error::{Error, chain};
use progress::Progress;

mod arguments;
mod check;
mod dialogue;
mod error;
mod host;
mod list;
mod prefix;
mod progress;
mod shell;
mod signals;
#[cfg(test)]
mod tests;
pub use arguments::usage;

/// Carries out a command line, the program's own name included, and returns the exit status:
/// 0 done, 1 failed, 2 wrong usage, wrong kind of machine, or the user's refusal.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let result = match Invocation::parse(&arguments) {
        // Nothing to do but to show that programs start where this one lies.
        Ok(Invocation::Probe) => return 0,
        Ok(Invocation::Run(start)) => start.run(),
        Err(error) => Err(error),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", chain(&error));
            error.status()
        }
    }
}

/// How the shell text started this program.
#[derive(Debug, PartialEq, Eq)]
enum Invocation<'a> {
    Probe,
    Run(Start<'a>),
}

#[derive(Debug, PartialEq, Eq)]
struct Start<'a> {
    program: &'a OsStr,
    installer: &'a OsStr,
    copy: Option<&'a OsStr>,
    options: &'a [OsString],
}

impl<'a> Invocation<'a> {
    fn parse(arguments: &'a [OsString]) -> Result<Invocation<'a>, Error> {
        let (program, rest) = arguments.split_first().ok_or(Error::NotInInstaller)?;
        let is = |argument: &OsString, expected: &str| argument == expected;
        let (installer, copy, options) = match rest {
            [probe] if is(probe, "--probe") => return Ok(Invocation::Probe),
            [first, installer, second, copy, end, options @ ..]
                if is(first, "--installer") && is(second, "--copy") && is(end, "--") =>
            {
                (installer, Some(copy.as_os_str()), options)
            }
            [first, installer, end, options @ ..] if is(first, "--installer") && is(end, "--") => {
                (installer, None, options)
            }
            _ => return Err(Error::NotInInstaller),
        };
        Ok(Invocation::Run(Start {
            program,
            installer,
            copy,
            options,
        }))
    }
}

impl Start<'_> {
    fn run(&self) -> Result<u8, Error> {
        self.remove_copy();
        let arguments = arguments::parse(self.options.iter().cloned())?;
        let file = File::open(self.installer).map_err(|source| self.cannot_open(source))?;
        let length = file
            .metadata()
            .map_err(|source| self.cannot_open(source))?
            .len();
        let payload = Payload::open(&file, length).map_err(|source| self.unusable(source))?;
        payload
            .verify_program()
            .map_err(|source| self.unusable(source))?;
        let plan: Plan = payload
            .json(payload.index.plan)
            .map_err(|source| self.unusable(source))?;
        if let Some(field) = plan.unsupported() {
            return Err(Error::Unsupported {
                field,
                version: env!("CARGO_PKG_VERSION"),
            });
        }
        let mut output = io::stdout();
        match arguments.mode {
            Mode::Help => {
                let text = usage(&plan.name, &plan.version, &plan.prefix.default);
                writeln!(output, "{text}").map_err(Error::Output)?;
                Ok(2)
            }
            Mode::Version => {
                writeln!(output, "{} {}", plan.name, plan.version).map_err(Error::Output)?;
                Ok(0)
            }
            Mode::List { json } => {
                let show = if json { list::json } else { list::table };
                show(&plan.packages, &mut output).map_err(Error::Output)?;
                Ok(0)
            }
            Mode::Check => {
                let checked = check::check(&payload, &plan, threads(&arguments))?;
                writeln!(
                    output,
                    "{} {} for {} is undamaged: {} packages, {} files, {}",
                    plan.name,
                    plan.version,
                    plan.platform,
                    checked.packages,
                    checked.files,
                    host::size(checked.bytes)
                )
                .map_err(Error::Output)?;
                Ok(0)
            }
            Mode::Install => self.install(&arguments, &payload, &plan).map(|()| 0),
        }
    }

    /// The executable was copied out of the installer to be started; it is not needed any more.
    /// Only what this process was started from is removed, whatever `--copy` says.
    fn remove_copy(&self) {
        if self.copy == Some(self.program) {
            let copy = Path::new(self.program);
            let _ = std::fs::remove_file(copy);
            if let Some(folder) = copy.parent() {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }

    fn install(
        &self,
        arguments: &Arguments,
        payload: &Payload<'_, File>,
        plan: &Plan,
    ) -> Result<(), Error> {
        let root = Path::new("/");
        host::check_userland(root, plan)?;
        let overriding = variable("CONDA_OVERRIDE_GLIBC");
        if let Some(warning) = host::check_glibc(root, plan, overriding.as_deref())? {
            warn(&warning);
        }

        let terminal = dialogue::on_terminal();
        let (mut input, mut output) = (io::stdin().lock(), io::stdout());
        let mut console = Console {
            input: &mut input,
            output: &mut output,
            terminal,
        };
        if !arguments.batch {
            console.welcome(plan)?;
        }
        let Place { prefix, folder } = choose_prefix(&mut console, arguments, plan)?;
        let keep_packages = arguments.keep_packages || plan.keep_packages;
        if !arguments.ignore_space {
            let mut needed = plan.need;
            if keep_packages {
                needed.bytes = needed.bytes.saturating_add(plan.need_kept.bytes);
                needed.inodes = needed.inodes.saturating_add(plan.need_kept.inodes);
            }
            host::check_room(&prefix, &folder, needed)?;
        }
        console.say(&format!("PREFIX={}\n", prefix.display()));

        let signals = signals::catch().map_err(Error::Signals)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let options = crate::Options {
            prefix: prefix.clone(),
            force: arguments.force,
            keep_packages,
            skip_scripts: arguments.skip_scripts,
            compile: !arguments.no_compile,
            threads: threads(arguments).get(),
            unattended: arguments.batch,
            installer: std::path::absolute(self.installer)
                .unwrap_or_else(|_| self.installer.into()),
            command_line: self.command_line(),
            now: now.map_or(0, |now| now.as_secs()),
            cancelled: &signals.cancelled,
        };
        {
            let (mut output, mut errors) = (io::stdout(), io::stderr());
            let on_terminal = io::IsTerminal::is_terminal(&output);
            let progress = Progress::new(&mut output, &mut errors, on_terminal);
            crate::install(payload, plan, &options, &|event| progress.report(event))?;
        }
        signals.let_go.store(true, Ordering::SeqCst);
        conclude(&mut console, arguments, plan, &prefix)
    }

    /// As it is noted in `conda-meta/history`: one line, quoted where a shell would need it.
    fn command_line(&self) -> String {
        let words =
            std::iter::once(self.installer).chain(self.options.iter().map(OsString::as_os_str));
        let quoted = words.map(|word| {
            let word = word.to_string_lossy();
            let plain =
                |character: char| character.is_alphanumeric() || "-_./=+,:@%".contains(character);
            if !word.is_empty() && word.chars().all(plain) {
                return word.into_owned();
            }
            let printable: String = word
                .chars()
                .map(|character| {
                    if character.is_control() {
                        '?'
                    } else {
                        character
                    }
                })
                .collect();
            format!("'{}'", printable.replace('\'', r"'\''"))
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    fn cannot_open(&self, source: io::Error) -> Error {
        Error::Open {
            installer: self.installer.into(),
            source,
        }
    }

    fn unusable(&self, source: archive::payload::Error) -> Error {
        match source {
            archive::payload::Error::Newer { found } => Error::Newer {
                found,
                version: env!("CARGO_PKG_VERSION"),
            },
            source => Error::Installer {
                installer: self.installer.into(),
                source,
            },
        }
    }
}

/// A prefix that can be used.
#[derive(Debug)]
struct Place {
    prefix: PathBuf,
    /// The nearest folder that exists.
    folder: PathBuf,
}

/// `-p`, or the plan's default, or what the user types instead.
fn choose_prefix(
    console: &mut Console<'_>,
    arguments: &Arguments,
    plan: &Plan,
) -> Result<Place, Error> {
    let home = variable("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    let proposal = match &arguments.prefix {
        Some(prefix) => prefix.clone(),
        None => prefix::expand(&plan.prefix.default, &variable)?.into(),
    };
    let place = |text: &OsStr| {
        let prefix = prefix::resolve(text)?;
        prefix::check(&prefix, &plan.prefix, home.as_deref())?;
        let possible = prefix.parent().is_some_and(Path::is_dir);
        let found = if possible {
            crate::recover(&prefix).map_err(prefix::Error::Recover)?
        } else {
            Recovery::Nothing
        };
        let shown = prefix.display();
        match found {
            Recovery::Nothing => {}
            Recovery::Undone => warn(&format!(
                "an interrupted installation into `{shown}` was undone"
            )),
            Recovery::Kept => warn(&format!(
                "an installation into `{shown}` was interrupted before all of its scripts had run; it stays as it is, \
                 since it was used after that, and `-u` runs them"
            )),
        }
        let folder = prefix::examine(&prefix, arguments.force)?;
        Ok(Place { prefix, folder })
    };
    if arguments.batch {
        return place(&proposal).map_err(Error::Prefix);
    }
    let shown = prefix::resolve(&proposal)?;
    let accept = |typed: Option<&str>| match typed {
        None => place(&proposal),
        Some(text) => place(OsStr::new(&prefix::expand(text, &variable)?)),
    };
    Ok(console.prefix(plan, &shown.display().to_string(), &accept)?)
}

/// What is said, and done, once everything is in place.
fn conclude(
    console: &mut Console<'_>,
    arguments: &Arguments,
    plan: &Plan,
    prefix: &Path,
) -> Result<(), Error> {
    console.say(&format!("{}\n", plan.dialogue.conclusion.trim_end()));
    if variable("PYTHONPATH").is_some_and(|path| !path.is_empty()) {
        warn(&format!(
            "PYTHONPATH is set, so every Python looks there first: unset it when you use the \
             Python in {}, unless what it names fits that Python",
            prefix.display()
        ));
    }
    let shell = variable("SHELL");
    let initialize = || {
        shell::initialize(prefix, plan, shell.as_deref()).map_err(|source| Error::Shell {
            prefix: prefix.to_owned(),
            source,
        })
    };
    if arguments.batch {
        return if arguments.initialize {
            initialize()
        } else {
            Ok(())
        };
    }
    if console.wants_initialisation(&plan.dialogue)? {
        initialize()?;
    } else {
        console.explain_activation(prefix, &plan.dialogue);
    }
    console.say(&format!("Thank you for installing {}!\n", plan.name));
    Ok(())
}

/// As many as the machine has, but not so many that memory gets short on a large one: each may
/// hold a window and buffers of some MiB.
fn threads(arguments: &Arguments) -> NonZeroUsize {
    const MOST: NonZeroUsize = NonZeroUsize::new(8).unwrap();
    arguments.threads.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(NonZeroUsize::MIN, |found| found.min(MOST))
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "warning: {text}");
}
