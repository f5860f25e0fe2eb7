//! Every key: what it accepts, what it refuses and how the refusal reads.

use std::time::{Duration, Instant};

use conda::Subdir;
use proptest::prelude::*;

use super::*;
use crate::{HashAlgorithm, TextErrors};

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
fn wrong_types() {
    for (lines, expected) in [
        (
            "channels_remap = 'a'",
            "1:18 `channels_remap` expects a list of tables, found a string / write `['a']`",
        ),
        (
            "channels_remap = ['a']",
            "1:19 `channels_remap` expects a table, found a string",
        ),
        (
            "exclude = 'tk'",
            "1:11 `exclude` expects a list of package names, found a string / write `['tk']`",
        ),
        (
            "exclude = [1]",
            "1:12 `exclude` expects a string, found an integer / write it in quotes: \"1\"",
        ),
        (
            "virtual_specs = true",
            "1:17 `virtual_specs` expects a list of specs, found a boolean",
        ),
        (
            "license_file = ['a']",
            "1:16 `license_file` expects a string, found a list",
        ),
        (
            "write_condarc = 'True'",
            "1:17 `write_condarc` expects `true` or `false`, found a string / write `true`, without quotes",
        ),
        (
            "keep_pkgs = 0",
            "1:13 `keep_pkgs` expects `true` or `false`, found an integer",
        ),
        (
            "condarc = 3",
            "1:11 `condarc` expects a table or a string, found an integer",
        ),
        (
            "initialize_conda = 1",
            "1:20 `initialize_conda` expects `true`, `false`, \"classic\" or \"condabin\", found an integer",
        ),
        (
            "extra_files = [1]",
            "1:16 `extra_files` expects paths or `{ \"source\" = \"destination\" }`, found an integer",
        ),
        (
            "script_env_variables = ['a']",
            "1:24 `script_env_variables` expects a table, found a list",
        ),
        (
            "script_env_variables = { A = 1 }",
            "1:30 `script_env_variables.A` expects a string, found an integer / write it in quotes: \"1\"",
        ),
        (
            "conclusion_text = 2020-01-01",
            "1:19 `conclusion_text` expects a string, found a date / write it in quotes: \"2020-01-01\"",
        ),
        (
            "platforms = 'linux-64'",
            "1:13 `platforms` expects a list of platforms, found a string / write `['linux-64']`",
        ),
        (
            "target = 1",
            "1:10 `target` expects a table, found an integer",
        ),
        (
            "[target]\nlinux-64 = 1",
            "2:12 `target.linux-64` expects a table, found an integer",
        ),
        (
            "build_outputs = { hash = {} }",
            "1:17 `build_outputs` expects a list of names or tables, found a table / write `[{ hash = {} }]`",
        ),
    ] {
        assert_eq!(errors_of(lines), [expected], "{lines}");
    }
}

#[test]
fn impossible_values() {
    for (lines, expected) in [
        ("license_file = ' '", "1:16 `license_file` is empty"),
        (
            "pre_install = \"a\\nb\"",
            "1:15 `pre_install` holds a line break or another control character",
        ),
        (
            "conclusion_text = \"a\\u0000b\"",
            "1:19 `conclusion_text` holds a NUL character",
        ),
        (
            "exclude = ['tk >=8']",
            "1:12 `tk >=8` in `exclude` is no package name / `exclude` takes names without versions, such as `tk`",
        ),
        (
            "exclude = ['*']",
            "1:12 `*` in `exclude` is no package name / `exclude` takes names without versions, such as `readline`",
        ),
        ("exclude = ['']", "1:12 `exclude` is empty"),
        (
            "virtual_specs = ['glibc >=2.17']",
            "1:18 `glibc >=2.17` in `virtual_specs` is no virtual package: its name must begin with `__` / did you mean `__glibc >=2.17`?",
        ),
        (
            "channels_remap = [{ src = 'a' }]",
            "1:19 `dest` is missing in `channels_remap`",
        ),
        (
            "channels_remap = [{ src = 'a', dst = 'b', dest = 'c' }]",
            "1:32 unknown key `dst` in `channels_remap` / did you mean `dest`?",
        ),
        (
            "default_prefix = 'opt/x'",
            "1:18 `default_prefix` must be absolute or begin with a variable, such as `${HOME}`",
        ),
        (
            "default_prefix = '$(id)'",
            "1:18 `default_prefix` may hold variables, but no commands",
        ),
        (
            "initialize_conda = 'clasic'",
            "1:20 `initialize_conda` is `clasic`, expected one of \"classic\", \"condabin\" / did you mean `classic`?",
        ),
        (
            "extra_files = [{ 'a' = '/etc/passwd' }]",
            "1:24 `/etc/passwd` in `extra_files` is absolute; destinations are relative to the prefix",
        ),
        (
            "extra_files = [{ 'a' = 'x/../../y' }]",
            "1:24 `x/../../y` in `extra_files` leads out of the prefix",
        ),
        (
            "extra_files = ['a/..']",
            "1:16 `..` in `extra_files` leads out of the prefix",
        ),
        (
            "extra_files = [{ 'a' = 'dir/' }]",
            "1:24 `dir/` in `extra_files` does not name a file",
        ),
        (
            "extra_files = ['a/x', 'b/x']",
            "1:23 `x` in `extra_files` is the destination of two files",
        ),
        (
            "script_env_variables = { 'A-B' = 'x' }",
            "1:26 `A-B` is no name for an environment variable",
        ),
        (
            "installer_filename = '../x.sh'",
            "1:22 `installer_filename` must be a file name without a folder; `--output-dir` says where it goes",
        ),
        (
            "compression = 'zip'",
            "1:15 `compression` is `zip`, expected one of \"default\", \"solid\"",
        ),
        (
            "build_outputs = ['md5']",
            "1:18 `build_outputs` is `md5`, expected one of \"hash\", \"info.json\", \"licenses\", \"lockfile\", \"pkgs_list\"",
        ),
        (
            "build_outputs = [{ hash = { algorithm = 'sha3_256' } }]",
            "1:41 `hash.algorithm` is `sha3_256`, expected one of \"md5\", \"sha224\", \"sha256\", \"sha384\", \"sha512\" / did you mean `sha256`?",
        ),
        (
            "build_outputs = [{ hash = { algorithm = [] } }]",
            "1:41 `hash.algorithm` is empty",
        ),
        (
            "build_outputs = [{ hash = { algorithms = 'md5' } }]",
            "1:29 unknown key `algorithms` in the options of `hash` / did you mean `algorithm`?",
        ),
        (
            "build_outputs = [{ info.json = {} }]",
            "1:20 unknown output `info` in `build_outputs` / write the name in quotes: \"info.json\"",
        ),
        (
            "build_outputs = [{}]",
            "1:18 a table in `build_outputs` has exactly one key, the name of the output",
        ),
        (
            "build_outputs = [{ lockfile = { env = 'py310' } }]",
            "1:39 `lockfile.env` is `py310`; there is only `base`, `extra_envs` is not supported yet",
        ),
        (
            "platforms = []",
            "1:13 `platforms` is empty / leave the key out for linux-aarch64 and linux-64",
        ),
        (
            "platforms = ['linux-64', 'linux-64']",
            "1:26 platform `linux-64` is named twice",
        ),
        (
            "platforms = ['linux-arm64']",
            "1:14 unknown platform `linux-arm64` / did you mean `linux-aarch64`?",
        ),
        ("platforms = ['noarch']", "1:14 unknown platform `noarch`"),
        (
            "[target.linux-aarch46]",
            "1:9 unknown platform `linux-aarch46` / did you mean `linux-aarch64`?",
        ),
        (
            "[target.linux-64]\nname = 'b'",
            "2:1 `name` belongs to the top level, not to a platform",
        ),
        (
            "[target.linux-64]\nspec = ['b']",
            "2:1 unknown key `spec` / did you mean `specs`?",
        ),
        (
            "condarc = { a = 2020-01-01 }",
            "1:17 `condarc` expects text, numbers, booleans, lists and tables, found a date / write it in quotes",
        ),
        (
            "condarc = { a = 99999999999999999999 }",
            "1:17 the number in `condarc` is too large",
        ),
    ] {
        assert_eq!(errors_of(lines), [expected], "{lines}");
    }
}

#[test]
fn names_and_versions() {
    for (line, expected) in [
        ("name = ''", "1:8 `name` is empty"),
        (
            "name = '-a'",
            "1:8 `name` must begin and end with a letter, a digit or `_`",
        ),
        (
            "name = 'a.'",
            "1:8 `name` must begin and end with a letter, a digit or `_`",
        ),
        (
            "name = 'a/b'",
            "1:8 `name` may hold only letters, digits, `.`, `_` and `-`",
        ),
        (
            "name = 'é'",
            "1:8 `name` may hold only letters, digits, `.`, `_` and `-`",
        ),
    ] {
        assert_eq!(
            errors(&format!("{line}\nversion = '1'\nenvironment_file = 'x'"), 0),
            [expected],
            "{line}"
        );
    }
    assert_eq!(
        errors("name = 'a'\nversion = 1.10\nenvironment_file = 'x'", 0),
        [
            "2:11 `version` expects a string, found a number / write `version = \"1.10\"`; as a number, 1.10 would be 1.1"
        ]
    );
    assert_eq!(
        errors("environment_file = 'x'", 0),
        [
            "1:1 `name` is missing / add `name = \"…\"` at the top",
            "1:1 `version` is missing / add `version = \"…\"` at the top"
        ]
    );
    assert_eq!(
        target("name = '_a-1.b'\nversion = '2018.12-rc1'\nenvironment_file = 'x'")
            .environment_file
            .unwrap(),
        "x"
    );
}

#[test]
fn specs_are_checked_where_they_stand() {
    let head = "name = 'a'\nversion = '1'\nchannels = ['c']\n";
    for (lines, expected) in [
        (
            "specs = [\n  'python',\n  'numpy >>1',\n  'py*',\n]",
            vec![
                "3:3 `numpy >>1` in `specs` is no package spec: ",
                "4:3 `py*` in `specs` is no package spec: ",
            ],
        ),
        ("specs = ['']", vec!["1:10 `specs` is empty"]),
        ("specs = []", vec!["1:1 `specs` is empty"]),
        (
            "specs = 'python'",
            vec!["1:9 `specs` expects a list of specs, found a string / write `['python']`"],
        ),
        (
            "specs = './specs.txt'",
            vec![
                "1:9 `specs` as a file of specs is a form of constructor that is not supported here yet",
            ],
        ),
        (
            "",
            vec!["0:1 neither `specs` nor `environment_file` says what to install / add"],
        ),
        (
            "specs = ['a']\nenvironment_file = 'b'",
            vec!["2:1 `specs` and `environment_file` exclude each other"],
        ),
        (
            "specs = ['conda']\ncheck_path_spaces = false",
            vec!["2:1 `check_path_spaces = false` is not possible with conda among the specs"],
        ),
        (
            "[target.linux-64]\nspecs = ['a']",
            vec![
                "0:1 neither `specs` nor `environment_file` says what to install for `linux-aarch64`",
            ],
        ),
    ] {
        let found = errors(&format!("{head}{lines}"), 3);
        assert_eq!(found.len(), expected.len(), "{lines}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.starts_with(expected),
                "{found} does not begin with {expected}"
            );
        }
    }
    assert_eq!(
        errors("name = 'a'\nversion = '1'\nspecs = ['python']", 0),
        ["3:1 no channel is named to take `python` from / add `channels = [\"conda-forge\"]`"]
    );
    let remapped =
        "name = 'a'\nversion = '1'\nspecs = ['b']\nchannels_remap = [{ src = 'x', dest = 'y' }]";
    assert_eq!(errors(remapped, 0), Vec::<String>::new());
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
    let many: String = (0..1000)
        .map(|number| format!("unknown{number} = 1\n"))
        .collect();
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

#[test]
fn hostile_texts_are_refused_quickly() {
    let start = Instant::now();
    for text in [
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}", "{a=".repeat(300_000)),
        format!("{}a = 1", "a.".repeat(400_000)),
        format!("[{}a]", "a.".repeat(400_000)),
        "[[a]]\n".repeat(100_000),
        "a\n".repeat(400_000),
        "\"".repeat(900_000),
        "'''".repeat(300_000),
        "\u{feff}\u{0}".repeat(200_000),
        "é".repeat(500_000),
        format!(
            "{HEAD}{}",
            (0..60_000)
                .map(|number| format!("k{number} = 1\n"))
                .collect::<String>()
        ),
        format!("{HEAD}exclude = [{}]", "'*',".repeat(200_000)),
        format!("{HEAD}condarc = {}1{}", "[".repeat(70), "]".repeat(70)),
        " ".repeat(2_000_000),
    ] {
        let error = Distribution::parse(&text).unwrap_err();
        assert!(error.to_string().len() < 20_000);
        assert!(error.diagnostics().count() <= 20);
    }
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

/// A specification with most forms in it, to be damaged.
const FULL: &str = r#"
name = "Example"
version = "1.0"
platforms = ["linux-64"]
channels = ["conda-forge", 'https://h/c']
specs = ["python 3.7.*", "conda-forge::pip[version='>=1,<2']", "numpy (>=1,<2)|3.*"]
virtual_specs = ["__glibc >=2.17"]
extra_files = ["a", { b = "c/d" }]
build_outputs = ["hash", { licenses = { include_text = true } }]
condarc = { channels = ["a"], n = 1.5e3 }
[script_env_variables]
A = """b
c"""
[target.linux-aarch64]
exclude = ["tk"]
"#;

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
        let _ = Distribution::parse(&text).map_err(|error| error.render("x"));
    }

    #[test]
    fn any_value_of_any_key(index in 0..crate::keys::KEYS.len(), value in "[\\[\\]{}'\"=,.a-c0-9 _*<>|()#:/$\\\\-]{0,40}") {
        let text = format!("{HEAD}{} = {value}\n", crate::keys::KEYS[index].0);
        let _ = Distribution::parse(&text).map_err(|error| error.render("x"));
    }

    #[test]
    fn any_string_as_a_spec(spec in "[a-z_]{0,3}[ =<>!~*|,()^$.0-9a-z\\[\\]:/#'-]{0,40}") {
        let text = format!("name = 'a'\nversion = '1'\nchannels = ['c']\nspecs = [\"\"\"{spec}\"\"\"]\n");
        if let Ok(parsed) = Distribution::parse(&text) {
            let target = parsed.distribution.target(Subdir::Linux64);
            prop_assert_eq!(target.requested(), [spec.trim()]);
        }
    }

    #[test]
    fn a_damaged_specification(position in 0..FULL.len(), length in 0_usize..8, put in "\\PC{0,3}|[\\[\\]{}\"'\n=,.]{0,3}") {
        let start = FULL.floor_char_boundary(position);
        let end = FULL.floor_char_boundary((position + length).min(FULL.len()));
        let text = format!("{}{put}{}", &FULL[..start], &FULL[end..]);
        match Distribution::parse(&text) {
            Ok(parsed) => { let _ = parsed.distribution.target(Subdir::LinuxAarch64).condarc_yaml(); }
            Err(error) => {
                let lines = text.split('\n').count();
                for diagnostic in error.diagnostics() {
                    prop_assert!((1..=lines).contains(&diagnostic.line));
                    prop_assert!(diagnostic.column >= 1);
                }
                prop_assert!(!error.render("x").is_empty());
            }
        }
    }
}
