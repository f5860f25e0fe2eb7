//! Every key: what it accepts, what it refuses and how the refusal reads.

use conda::Subdir;

use super::*;
use crate::{HashAlgorithm, TextErrors};

mod hostile;
mod refused;

/// Five lines that make any specification valid which says nothing about the same keys.
const HEAD: &str = "name = \"Example\"\nversion = \"1.0\"\nchannels = [\"conda-forge\"]\nspecs = [\"python\", \"pip\"]\n";

fn target(text: &str) -> Target {
    Distribution::parse(text)
        .unwrap_or_else(|error| panic!("{error}"))
        .distribution
        .target(Subdir::LinuxAarch64)
}

fn with(lines: &str) -> Target {
    target(&format!("{HEAD}{lines}"))
}

/// That many lines with unknown keys.
fn numbered_keys(count: usize) -> String {
    let lines: Vec<String> = (0..count)
        .map(|number| format!("unknown{number} = 1"))
        .collect();
    lines.join("\n")
}

/// The errors of `HEAD` with `lines` after it: `LINE:COLUMN message / suggestion`, the lines
/// counted from the first one of `lines`.
fn errors_of(lines: &str) -> Vec<String> {
    errors(&format!("{HEAD}{lines}"), 4)
}

fn errors(text: &str, offset: usize) -> Vec<String> {
    let Err(error) = Distribution::parse(text) else {
        return Vec::new();
    };
    error
        .diagnostics()
        .map(|diagnostic| {
            let line = diagnostic.line.saturating_sub(offset);
            let advice = diagnostic
                .suggestion
                .as_ref()
                .map(|advice| format!(" / {advice}"))
                .unwrap_or_default();
            format!(
                "{line}:{} {}{advice}",
                diagnostic.column, diagnostic.message
            )
        })
        .collect()
}

#[test]
fn defaults_are_those_of_constructor() {
    let parsed = Distribution::parse(HEAD).unwrap();
    assert!(parsed.warnings.is_empty());
    assert_eq!(parsed.distribution.name, "Example");
    assert_eq!(parsed.distribution.version, "1.0");
    assert_eq!(
        parsed.distribution.platforms,
        [Subdir::LinuxAarch64, Subdir::Linux64]
    );
    let target = parsed.distribution.target(Subdir::Linux64);
    assert_eq!(target.platform, Subdir::Linux64);
    assert_eq!(target.channels, ["conda-forge"]);
    assert_eq!(target.requested(), ["python", "pip"]);
    assert_eq!(target.initialize_conda, Initialize::Classic);
    assert!(!target.initialize_conda_is_explicit);
    assert!(target.ignore_duplicate_files && target.check_path_spaces);
    assert!(!target.write_condarc && !target.keep_pkgs && !target.initialize_by_default);
    assert_eq!(target.compression, Compression::Default);
    assert_eq!(target.prefix("Archiconda3"), "${HOME:-/opt}/archiconda3");
    assert_eq!(target.condarc_yaml(), None);
    assert_eq!(target.conclusion_text, None);
    assert!(
        target.build_outputs.is_empty()
            && target.extra_files.is_empty()
            && target.exclude.is_empty()
    );
}

#[test]
fn every_key_is_read() {
    let target = with(
        r#"
"$schema" = "https://schemas.example/construct.json"
channels_remap = [{ src = "file:///bld", dest = "https://h.example/main" }, { src = "a", dest = "b" }]
exclude = ["readline", " Tk "]
user_requested_specs = ["python 3.*"]
virtual_specs = ["__glibc >=2.17", "__linux"]
license_file = "license.txt"
write_condarc = true
conda_default_channels = ["main"]
conda_channel_alias = "https://h.example"
default_prefix = "$HOME/example"
initialize_conda = "condabin"
initialize_by_default = true
extra_files = ["data/a.txt", { "b.txt" = "etc/b.txt", "c.txt" = "./share//c.txt" }]
pre_install = "pre.sh"
post_install = "post.sh"
keep_pkgs = true
installer_filename = "example.sh"
ignore_duplicate_files = false
check_path_spaces = false
conclusion_text = """
Done.
Bye."""
build_outputs = ["info.json", "hash", { hash = { algorithm = ["sha512", "md5", "md5"] } }, "pkgs_list", { lockfile = { env = "base" } }, { licenses = { include_text = true, text_errors = "replace" } }, { "info.json" = {} }]
compression = "solid"
[script_env_variables]
GREETING = "it's $HOME"
"#,
    );
    let remap = |src: &str, dest: &str| Remap {
        src: src.into(),
        dest: dest.into(),
    };
    assert_eq!(
        target.channels_remap,
        [
            remap("file:///bld", "https://h.example/main"),
            remap("a", "b")
        ]
    );
    let names: Vec<_> = target
        .exclude
        .iter()
        .map(PackageName::as_normalized)
        .collect();
    assert_eq!(names, ["readline", "tk"]);
    assert_eq!(target.requested(), ["python 3.*"]);
    assert_eq!(target.virtual_specs[0].raw, "__glibc >=2.17");
    assert_eq!(target.license_file.as_deref(), Some("license.txt"));
    assert_eq!(
        target.condarc_yaml().unwrap(),
        "default_channels:\n  - main\nchannels:\n  - conda-forge\nchannel_alias: https://h.example\n"
    );
    assert_eq!(target.prefix("x"), "$HOME/example");
    assert_eq!(target.initialize_conda, Initialize::Condabin);
    assert!(target.initialize_conda_is_explicit && target.initialize_by_default);
    let file = |source: &str, destination: &str| ExtraFile {
        source: source.into(),
        destination: destination.into(),
    };
    assert_eq!(
        target.extra_files,
        [
            file("data/a.txt", "a.txt"),
            file("b.txt", "etc/b.txt"),
            file("c.txt", "share/c.txt")
        ]
    );
    assert_eq!(target.pre_install.as_deref(), Some("pre.sh"));
    assert_eq!(target.post_install.as_deref(), Some("post.sh"));
    assert!(target.keep_pkgs && !target.ignore_duplicate_files && !target.check_path_spaces);
    assert_eq!(target.installer_filename.as_deref(), Some("example.sh"));
    assert_eq!(target.conclusion_text.as_deref(), Some("Done.\nBye."));
    assert_eq!(
        target.build_outputs,
        [
            BuildOutput::Info,
            BuildOutput::Hash {
                algorithms: vec![HashAlgorithm::Sha256]
            },
            BuildOutput::Hash {
                algorithms: vec![HashAlgorithm::Md5, HashAlgorithm::Sha512]
            },
            BuildOutput::PackagesList,
            BuildOutput::Lockfile,
            BuildOutput::Licenses {
                include_text: true,
                text_errors: TextErrors::Replace
            },
            BuildOutput::Info,
        ]
    );
    assert_eq!(target.compression, Compression::Solid);
    assert_eq!(target.script_env_variables["GREETING"], "it's $HOME");
}

#[test]
fn further_forms() {
    assert_eq!(
        with("initialize_conda = true").initialize_conda,
        Initialize::Classic
    );
    assert_eq!(
        with("initialize_conda = 'classic'").initialize_conda,
        Initialize::Classic
    );
    let off = with("initialize_conda = false");
    assert_eq!(
        (off.initialize_conda, off.initialize_conda_is_explicit),
        (Initialize::No, true)
    );
    assert_eq!(
        with("conclusion_text = ''").conclusion_text.as_deref(),
        Some("")
    );
    assert_eq!(
        with("condarc = 'x: 1'\nwrite_condarc = true")
            .condarc_yaml()
            .unwrap(),
        "x: 1\n"
    );
    assert_eq!(
        with("[condarc]\nchannels = ['a']").condarc_yaml().unwrap(),
        "channels:\n  - a\n"
    );
    let explicit = target("name = 'a'\nversion = '1'\nenvironment_file = 'explicit.txt'");
    assert_eq!(explicit.environment_file.as_deref(), Some("explicit.txt"));
    assert!(explicit.specs.is_empty());
    let own = target(
        "name = 'a'\nversion = '1'\nspecs = ['conda-forge::python', 'https://h/noarch/pip-1-0.conda']",
    );
    assert!(own.channels.is_empty());
}

#[test]
fn a_platform_replaces_whole_keys() {
    let text = format!(
        "{HEAD}exclude = ['tk']\n[target.linux-64]\nspecs = ['bash']\nexclude = []\n\
         [target.linux-aarch64]\nenvironment_file = 'a.txt'\n[target.osx-arm64.script_env_variables]\nA = 'b'\n"
    );
    let distribution = Distribution::parse(&text).unwrap().distribution;
    let x86 = distribution.target(Subdir::Linux64);
    assert_eq!(x86.requested(), ["bash"]);
    assert!(x86.exclude.is_empty());
    assert_eq!(x86.channels, ["conda-forge"]);
    let arm = distribution.target(Subdir::LinuxAarch64);
    assert!(arm.specs.is_empty());
    assert_eq!(arm.environment_file.as_deref(), Some("a.txt"));
    assert_eq!(arm.exclude.len(), 1);
    let mac = distribution.target(Subdir::OsxArm64);
    assert_eq!(mac.requested(), ["python", "pip"]);
    assert_eq!(mac.script_env_variables["A"], "b");
}

#[test]
fn a_whole_message() {
    let error = Distribution::parse(
        "name = \"a\"\nversion = \"1\"\nchanels = [\"conda-forge\"]\nspecs = [\"python\"]\n",
    )
    .unwrap_err();
    let expected = "specs/x.toml:3:1: unknown key `chanels`\n  |\n3 | chanels = [\"conda-forge\"]\n  | ^^^^^^^ did you mean `channels`?";
    assert_eq!(error.render("specs/x.toml"), expected);
    assert!(
        error
            .to_string()
            .starts_with("line 3, column 1: unknown key")
    );
    assert_eq!(
        (error.line(), error.column(), error.suggestion()),
        (3, 1, Some("did you mean `channels`?"))
    );
    assert_eq!(error.message(), "unknown key `chanels`");
}

#[test]
fn keys_of_constructor() {
    for (lines, expected) in [
        (
            "mirrored_channels = {}",
            "1:1 `mirrored_channels` is a key of constructor that is not supported here yet",
        ),
        (
            "batch_mode = true",
            "1:1 `batch_mode` is a key of constructor that is not supported here yet",
        ),
        (
            "[extra_envs.py310]\nspecs = ['x']",
            "1:2 `extra_envs` is a key of constructor that is not supported here yet",
        ),
        (
            "nsis_template = 'x'",
            "1:1 `nsis_template` only has a meaning for Windows installers, which are not built yet / remove it",
        ),
        (
            "pkg_name = 'x'",
            "1:1 `pkg_name` only has a meaning for macOS installers, which are not built yet / remove it",
        ),
    ] {
        assert_eq!(errors_of(lines), [expected], "{lines}");
    }
    for (key, status) in crate::keys::KEYS {
        let parsed = Distribution::parse(&format!("{HEAD}\"{key}\" = 1\n"));
        match status {
            crate::keys::Status::Obsolete(_) => {
                let warnings = parsed.unwrap().warnings;
                assert_eq!(warnings.len(), 1);
                assert_eq!((warnings[0].line, warnings[0].column), (5, 1));
                assert!(warnings[0].to_string().contains("obsolete"), "{key}");
            }
            _ => assert!(
                !parsed.unwrap_err().to_string().contains("unknown key"),
                "{key}"
            ),
        }
    }
}

#[test]
fn all_mistakes_at_once_in_the_order_of_the_file() {
    let found = errors_of("zzz = 1\naaa = 2\nkeep_pkgs = 'x'\nbatch_mode = true\n");
    let places: Vec<_> = found.iter().map(|error| &error[..3]).collect();
    assert_eq!(places, ["1:1", "2:1", "3:1", "4:1"]);
    let many = numbered_keys(1000);
    let error = Distribution::parse(&format!("{HEAD}{many}")).unwrap_err();
    assert_eq!(error.diagnostics().count(), 20);
    assert!(error.to_string().ends_with("and 980 more errors"));
}

#[test]
fn what_is_no_toml() {
    let first = |text: &str| errors(text, 0).remove(0);
    assert!(
        first("name = \"a").starts_with("1:"),
        "{}",
        first("name = \"a")
    );
    assert!(
        first("write_condarc = True").ends_with("TOML writes `true` or `false`"),
        "{}",
        first("write_condarc = True")
    );
    assert!(first("name: x").starts_with("1:"));
    assert!(
        first("a = 1\na = 2").starts_with("2:1 duplicate key"),
        "{}",
        first("a = 1\na = 2")
    );
    assert!(first("\n\nkey = [1,\n").contains(':'));
}

#[test]
fn probably_a_setting() {
    let parsed = Distribution::parse(&format!(
        "{HEAD}[script_env_variables]\nA = 'b'\npost_install = 'x.sh'\n"
    ))
    .unwrap();
    assert_eq!(parsed.warnings.len(), 1);
    assert_eq!(parsed.warnings[0].line, 7);
}

#[test]
fn secrets_stay_out_of_messages() {
    let text = "name = 'a'\nversion = '1'\nchannels = ['https://h/t/my-token/c', 1]\nspecs = ['https://u:pw@h/none']\n";
    let error = Distribution::parse(text).unwrap_err().render("x");
    assert!(
        !error.contains("my-token") && !error.contains("u:pw"),
        "{error}"
    );
}
