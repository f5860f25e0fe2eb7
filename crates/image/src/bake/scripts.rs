//! Scripts of packages and of the distribution, which need the target to run: refused, left out, run under emulation, or
//! left for the first start of a container. For the last two, each becomes a task: a small program for any POSIX shell
//! that gives the script the environment that an installer would give it (`runtime`'s scripts). [`first_run`] runs them
//! one after the other, and takes each away when it is done.

use installer::header::quote;
use runtime::MISLEADING;
use runtime::plan::Scripts;
use serde_json::Value;
use spec::{LinkScripts, User};

use super::environments::Environment;
use super::platform::Job;
use crate::error::Error;
use crate::event::Warning;
use crate::root::Root;
use crate::userland::OURS;

/// Where tasks lie in a prefix, and what runs them.
const FOLDER: &str = "libexec/archiconda";
pub(super) const RUNNER: &str = "first-run";
/// Folders beside that: tasks that are still to be done, and texts that they need.
const PENDING: &str = "pending";
const TEXTS: &str = "scripts";

/// A script that the target has to run.
struct Script<'a> {
    kind: &'static str,
    /// The package, or the distribution.
    whose: String,
    what: What<'a>,
    environment: &'a Environment,
}

enum What<'a> {
    /// A package's: its path in the prefix, with the package.
    Package(
        &'a str,
        &'a runtime::plan::PackageHead,
        &'a runtime::plan::Package,
    ),
    /// The distribution's: its text.
    Distribution(&'a str),
}

/// A file of the tasks, by its path below [`FOLDER`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TaskFile {
    pub(super) path: String,
    executable: bool,
    pub(super) text: String,
}

impl TaskFile {
    /// Its permission bits.
    pub(super) fn mode(&self) -> u32 {
        if self.executable { 0o755 } else { 0o644 }
    }
}

/// What becomes of the scripts.
#[derive(Debug)]
pub(super) struct Outcome {
    policy: LinkScripts,
    /// What each is, and whose, in the order in which they run.
    names: Vec<String>,
    /// The files of the tasks, for who runs them; none where they are left out.
    pub(super) files: Vec<TaskFile>,
}

impl Job<'_> {
    /// What only the target can run: refused, named and left out, or made tasks of.
    pub(super) fn scripts(
        &self,
        environments: &[Environment],
        root: &Root,
    ) -> Result<Outcome, Error> {
        let scripts = self.found(environments);
        let names: Vec<String> = scripts.iter().map(Script::name).collect();
        let policy = self.recipe.definition.link_scripts;
        let outcome = |names, files| Outcome {
            policy,
            names,
            files,
        };
        if scripts.is_empty() {
            return Ok(outcome(names, Vec::new()));
        }
        match policy {
            LinkScripts::Error => {
                return Err(Error::Scripts {
                    platform: self.platform,
                    scripts: names,
                });
            }
            LinkScripts::Skip => {
                for script in &scripts {
                    self.warn(Warning::ScriptSkipped {
                        platform: self.platform,
                        scripts: script.kind,
                        package: &script.whose,
                    });
                }
                return Ok(outcome(names, Vec::new()));
            }
            LinkScripts::FirstRun => self.warn_of_user(),
            LinkScripts::Emulate => {}
        }
        let shell = root.resolve("bin/sh");
        if !shell.is_ok_and(|place| root.node(&place).is_some()) {
            return Err(Error::Definition {
                key: "link_scripts",
                problem: format!(
                    "the base has no `/bin/sh`, which {} needs",
                    names.join(", ")
                ),
            });
        }
        let folder = match policy {
            LinkScripts::FirstRun => self.left(),
            _ => format!("/{OURS}"),
        };
        Ok(outcome(names, self.files(&scripts, &folder)))
    }

    /// Where tasks lie in the image that are left for the first start.
    pub(super) fn left(&self) -> String {
        format!("{}/{FOLDER}", self.target.prefix)
    }

    fn warn_of_user(&self) {
        let user = match &self.target.user {
            Some(User::New(account)) => account.name.as_str(),
            Some(User::Known(name)) => name.split(':').next().unwrap_or_default(),
            None => return,
        };
        if !matches!(user, "root" | "0") {
            self.warn(Warning::FirstRunUser {
                platform: self.platform,
                user,
            });
        }
    }

    /// All scripts, in the order in which an installer runs them.
    fn found<'e>(&self, environments: &'e [Environment]) -> Vec<Script<'e>> {
        let mut found = Vec::new();
        for environment in environments {
            let plan = &environment.prepared.planned.plan;
            let Scripts {
                pre_install,
                post_install,
                ..
            } = &plan.scripts;
            let of_distribution = |kind, text: &'e Option<String>| {
                text.as_ref().map(|text| Script {
                    kind,
                    whose: self.recipe.distribution.name.clone(),
                    what: What::Distribution(text),
                    environment,
                })
            };
            found.extend(of_distribution("pre_install script", pre_install));
            for (head, package) in plan.packages.iter().zip(environment.packages()) {
                let scripts = &package.scripts;
                for (kind, path) in [
                    ("pre-link script", &scripts.pre_link),
                    ("post-link script", &scripts.post_link),
                ] {
                    found.extend(path.as_ref().map(|path| Script {
                        kind,
                        whose: environment.called(&package.dist),
                        what: What::Package(path, head, package),
                        environment,
                    }));
                }
            }
            found.extend(of_distribution("post_install script", post_install));
        }
        found
    }

    /// The tasks, and what runs them. `folder` is where these files will lie.
    fn files(&self, scripts: &[Script<'_>], folder: &str) -> Vec<TaskFile> {
        let mut files = vec![TaskFile {
            path: RUNNER.to_owned(),
            executable: true,
            text: first_run(folder, &self.target.prefix),
        }];
        for (number, script) in scripts.iter().enumerate() {
            let name = format!("{:03}", number + 1);
            let task = match script.what {
                What::Package(path, head, package) => {
                    let root = &self.target.prefix;
                    of_package(script, root, path, (head, package))
                }
                What::Distribution(text) => {
                    let path = format!("{TEXTS}/{name}");
                    let task = of_distribution(script, &format!("{folder}/{path}"), text);
                    files.push(TaskFile {
                        path,
                        executable: true,
                        text: text.to_owned(),
                    });
                    task
                }
            };
            files.push(TaskFile {
                path: format!("{PENDING}/{name}"),
                executable: false,
                text: task,
            });
        }
        files
    }
}

impl Outcome {
    /// What becomes of them in this way.
    pub(super) fn under(&self, policy: LinkScripts) -> &[String] {
        if self.policy == policy {
            &self.names
        } else {
            &[]
        }
    }

    /// The files of tasks that a container runs.
    pub(super) fn for_containers(&self) -> &[TaskFile] {
        if self.policy == LinkScripts::FirstRun {
            &self.files
        } else {
            &[]
        }
    }
}

impl Script<'_> {
    fn name(&self) -> String {
        format!("the {} of {}", self.kind, self.whose)
    }
}

/// A task for a script of the distribution: what constructor sets for it (its header.sh).
fn of_distribution(script: &Script<'_>, path: &str, text: &str) -> String {
    let plan = &script.environment.prepared.planned.plan;
    let prefix = &script.environment.prefix;
    let mut lines = begin(script);
    let own = [
        ("PREFIX", prefix.as_str()),
        ("INSTALLER_NAME", &plan.name),
        ("INSTALLER_VER", &plan.version),
        ("INSTALLER_PLAT", &plan.platform),
        ("INSTALLER_TYPE", "SH"),
        ("INSTALLER_PATH", ""),
        ("INSTALLER_UNATTENDED", "1"),
        ("FORCE", "0"),
    ];
    let environment = plan.scripts.environment.iter();
    let environment = environment.map(|(name, value)| (name.as_str(), value.as_str()));
    lines.extend(environment.chain(own).map(export));
    lines.push(enter(prefix));
    let shell = if text.starts_with("#!") { "" } else { "sh " };
    lines.push(format!("{shell}{}", quote(path)));
    together(&lines)
}

/// A task for a package's script: what conda sets for it (`run_script` in conda/core/link.py), and bash where it is.
fn of_package(
    script: &Script<'_>,
    root: &str,
    path: &str,
    (head, package): (&runtime::plan::PackageHead, &runtime::plan::Package),
) -> String {
    let prefix = script.environment.prefix.as_str();
    let number = package.record.get("build_number").and_then(Value::as_u64);
    let number = number.unwrap_or(0).to_string();
    let mut lines = begin(script);
    let variables = [
        ("ROOT_PREFIX", root),
        ("PREFIX", prefix),
        ("SOURCE_DIR", prefix),
        ("PKG_NAME", &head.name),
        ("PKG_VERSION", &head.version),
        ("PKG_BUILDNUM", &number),
    ];
    lines.extend(variables.into_iter().map(export));
    lines.push(format!(
        "export PATH={}:\"$PATH\"",
        quote(&format!("{prefix}/bin"))
    ));
    lines.push(enter(prefix));
    lines.push("shell=bash".to_owned());
    lines.push("command -v bash >/dev/null 2>&1 || shell=sh".to_owned());
    lines.push(format!(
        "\"$shell\" {} || exit",
        quote(&format!("{prefix}/{path}"))
    ));
    lines.push("rm -f .messages.txt".to_owned());
    together(&lines)
}

/// The first line says what it is, for who is told that it failed.
fn begin(script: &Script<'_>) -> Vec<String> {
    vec![
        format!("# {}", script.name()),
        format!("unset {}", MISLEADING.join(" ")),
    ]
}

fn export((name, value): (&str, &str)) -> String {
    format!("export {name}={}", quote(value))
}

fn enter(prefix: &str) -> String {
    format!("cd {} || exit", quote(prefix))
}

fn together(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Runs the tasks that are pending, and then what it is given, as an entrypoint does. What a task says is shown if it
/// fails; then it is still pending, and so are those after it.
fn first_run(folder: &str, prefix: &str) -> String {
    let (folder, prefix) = (quote(folder), quote(prefix));
    format!(
        r#"#!/bin/sh
# Runs, once, the scripts of packages that need the machine itself, then the command that it is given.
# Made by archiconda image bake (link_scripts).
folder={folder}
prefix={prefix}
for task in "$folder/{PENDING}"/*; do
    [ -f "$task" ] || continue
    read -r _ title <"$task"
    if ! [ -w "$folder/{PENDING}" ]; then
        echo "archiconda: $title has not run yet, and this user may not write to $prefix;" \
            "run $folder/{RUNNER} once as one who may" >&2
        exit 1
    fi
    if said=$(sh "$task" 2>&1 </dev/null); then
        rm -f "$task"
    else
        code=$?
        printf '%s\n' "$said" "archiconda: $title failed with exit code $code" >&2
        exit 1
    fi
done
[ "$#" -eq 0 ] || exec "$@"
"#
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Output};

    use fs_err as fs;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        /// A folder with the runner and these tasks.
        fn new(tasks: &[&str]) -> Place {
            let place = Place(tempfile::tempdir().unwrap());
            let folder = place.0.path();
            let runner = folder.join(RUNNER);
            let text = first_run(folder.to_str().unwrap(), "/the/prefix");
            fs::write(&runner, text).unwrap();
            fs::set_permissions(&runner, std::fs::Permissions::from_mode(0o755)).unwrap();
            fs::create_dir(folder.join(PENDING)).unwrap();
            for (number, task) in tasks.iter().enumerate() {
                let path = folder.join(PENDING).join(format!("{number:03}"));
                fs::write(path, format!("# the script of p{number}\n{task}\n")).unwrap();
            }
            place
        }

        fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
            let mut command = Command::new(self.0.path().join(RUNNER));
            let Output {
                status,
                stdout,
                stderr,
            } = command
                .args(words)
                .current_dir(self.0.path())
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (status.code(), text(stdout), text(stderr))
        }

        fn pending(&self) -> usize {
            fs::read_dir(self.0.path().join(PENDING)).unwrap().count()
        }
    }

    #[test]
    fn tasks_run_once_and_in_order_and_then_the_command() {
        let place = Place::new(&["echo one >>log", "echo two >>log; echo loud"]);
        let words = ["printf", "%s|", "a b", "c"];
        assert_eq!(place.run(&words), (Some(0), "a b|c|".into(), String::new()));
        assert_eq!(place.run(&words), (Some(0), "a b|c|".into(), String::new()));
        let log = fs::read_to_string(place.0.path().join("log")).unwrap();
        assert_eq!((log.as_str(), place.pending()), ("one\ntwo\n", 0));
        assert_eq!(place.run(&[]).0, Some(0));
        // It has become the command, whose exit code counts.
        assert_eq!(place.run(&["sh", "-c", "exit 7"]).0, Some(7));
    }

    #[test]
    fn a_task_that_fails_stays_and_says_why() {
        let place = Place::new(&[
            "true",
            "[ -e there ] || { echo no such thing; exit 3; }",
            "true",
        ]);
        let (code, output, complaint) = place.run(&["echo", "never"]);
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert!(complaint.contains("no such thing"), "{complaint}");
        let expected = "the script of p1 failed with exit code 3";
        assert!(complaint.contains(expected), "{complaint}");
        assert_eq!(place.pending(), 2);
        fs::write(place.0.path().join("there"), "").unwrap();
        assert_eq!(place.run(&["echo", "now"]).1, "now\n");
        assert_eq!(place.pending(), 0);
    }
}
