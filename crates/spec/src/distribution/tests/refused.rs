//! Values of the wrong type and values that cannot be: each message, its place and its advice.

use super::{errors, errors_of, target};

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
