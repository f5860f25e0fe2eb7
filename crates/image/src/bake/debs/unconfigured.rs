//! Whether the scripts of a package would have done more than what is made here: then it is named.

use debian::deb::Control;
use debian::scripts;

/// Packages whose scripts do nothing more than what is made here, nor anything that an image needs.
const CONFIGURED: &[&str] = &[
    "adduser",
    "apt",
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debconf",
    "debian-archive-keyring",
    "debianutils",
    "dpkg",
    "libc-bin",
    "libc6",
    "libpam-modules",
    "libpam-runtime",
    "libpam0g",
    "locales",
    "login",
    "mawk",
    "mount",
    "passwd",
    "perl-base",
    "sysvinit-utils",
    "tar",
    "tzdata",
    "ubuntu-keyring",
    "usr-is-merged",
    "util-linux",
    "util-linux-extra",
];

/// Whether a package has a script that does something which nobody has done.
pub(super) fn is_unconfigured(name: &str, control: &Control) -> bool {
    !CONFIGURED.contains(&name)
        && ["preinst", "postinst"]
            .iter()
            .filter_map(|script| control.text(script))
            .any(does_something)
}

/// Commands that leave everything as it is, or of which we do what is needed.
const HARMLESS: [&str; 35] = [
    ":",
    "[",
    "basename",
    "break",
    "case",
    "cat",
    "command",
    "continue",
    "cut",
    "dirname",
    "dpkg-maintscript-helper",
    "dpkg-query",
    "echo",
    "exit",
    "expr",
    "false",
    "for",
    "getent",
    "grep",
    "head",
    "id",
    "local",
    "printf",
    "readlink",
    "return",
    "set",
    "shift",
    "sort",
    "tail",
    "test",
    "true",
    "uname",
    "unset",
    "update-alternatives",
    "which",
];

/// Whether something is left of a script without what debhelper adds for running systems and for alternatives.
fn does_something(script: &str) -> bool {
    let mut own = String::new();
    let mut added = false;
    for line in script.lines() {
        let text = line.trim();
        if text.starts_with("# Automatically added by") {
            // Accounts, folders and statements of debconf are no small matter.
            added = !["sysuser", "tmpfiles", "ucf", "debconf"]
                .iter()
                .any(|tool| text.contains(tool));
        } else if text.starts_with("# End automatically added") {
            added = false;
        }
        if !added {
            own.extend([line, "\n"]);
        }
    }
    scripts::commands(&own).iter().any(acts)
}

fn acts(command: &scripts::Command) -> bool {
    let is_variable = |word: &&String| {
        let name = word.split_once('=').map(|(name, _)| name);
        let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        name.is_some_and(|name| !name.is_empty() && name.chars().all(letter))
    };
    let mut words = command.words.iter().skip_while(is_variable);
    let harmless = match words.next().map(String::as_str) {
        None => true,
        Some("dpkg") => words
            .next()
            .is_some_and(|word| word == "--compare-versions"),
        Some(name) => HARMLESS.contains(&name),
    };
    command.writes || !harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_do_nothing_of_their_own() {
        for (script, expected) in [
            ("#!/bin/sh\nset -e\n# x\n", false),
            (
                "#!/bin/sh\n# Automatically added by dh_installsystemd/13\nsystemctl x\n\
                 # End automatically added section\nexit 0\n",
                false,
            ),
            (
                "#!/bin/sh\ncase \"$1\" in\n configure)\n update-alternatives --install \\\n /a a /b 1\n ;;\nesac\n",
                false,
            ),
            ("#!/bin/sh\nadduser --system messagebus\n", true),
            (
                "if ! getent group x >/dev/null; then\n  addgroup --system x; fi\n",
                true,
            ),
            (
                "if [ \"$1\" = configure ]; then echo y > /etc/x; fi\n",
                true,
            ),
            ("case \"$1\" in configure) useradd x;; esac\n", true),
            (
                "case \"$1\" in configure|upgrade)\n if dpkg --compare-versions \"$2\" lt 2; then\n  \
                 echo old >&2 || true\n fi;; esac\nOLD=\"$2\"\nexit 0\n",
                false,
            ),
            ("say() {\n  echo \"$1\"\n}\nsay done\n", false),
            ("clean() { rm -rf /x; }\nclean\n", true),
            (
                "# Automatically added by dh_sysuser/1\nsysuser x\n# End automatically added section\n",
                true,
            ),
        ] {
            assert_eq!(does_something(script), expected, "{script}");
        }
    }
}
