//! `archiconda completions`: what it writes is what shells take.

use crate::support::requirements;
use crate::support::run::{Place, run};

/// Completes as bash does when somebody presses the tabulator.
const PRESS: &str = r#"
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_archiconda "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

fn script(place: &Place, arguments: &[&str]) -> String {
    let mut command = place.archiconda();
    let written = run(command.arg("completions").args(arguments)).succeeds();
    written.stdout.clone()
}

#[test]
fn bash_completes_commands_and_options() {
    let place = Place::new();
    let path = place.write("archiconda.bash", script(&place, &["bash"]));
    for (words, expected, other) in [
        (&["archiconda", "im"][..], "image", "index"),
        (&["archiconda", "image", ""], "bake", "build"),
        (
            &["archiconda", "image", "bake", "--pl"],
            "--platform",
            "--push",
        ),
        (&["archiconda", "repack", "--format", ""], "tar.bz2", "zip"),
    ] {
        let mut bash = place.command("bash");
        bash.args(["-c", PRESS, "bash"]).arg(&path).args(words);
        let found = run(&mut bash).succeeds();
        let found: Vec<&str> = found.stdout.lines().collect();
        assert!(found.contains(&expected), "{words:?}: {found:?}");
        assert!(!found.contains(&other), "{words:?}: {found:?}");
    }
}

#[test]
fn every_shell_gets_a_script_for_both_executables() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let both = [
            script(&place, &[shell]),
            script(&place, &[shell, "build-installer"]),
        ];
        let [all, installer] = &both;
        assert!(
            all.contains("bake") && installer.contains("output-dir"),
            "{shell}"
        );
        assert!(!installer.contains("bake"), "{shell}");
        if shell == "zsh" {
            let Some(_) = requirements::program("zsh") else {
                return;
            };
            for text in &both {
                let path = place.write("script.zsh", text);
                run(place.command("zsh").arg("-n").arg(path)).succeeds();
            }
        }
    }
    let mut wrong = place.archiconda();
    run(wrong.args(["completions", "cmd"]))
        .exits(2)
        .says(&["bash"]);
}
