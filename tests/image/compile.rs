//! `pyc = "host-python"`: bytecode in the image is what an installation makes, at its paths, with the times of its
//! sources, the same each time.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use super::{bake, definition, install, unpack};
use crate::support::channel::publish;
use crate::support::package::{Package, executable, file, hard_link, text_prefix};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{Node, assert_same, snapshot};

/// Reads bytecode as Python does, and prints where its code says to be.
const READ: &str = r"
import importlib.util, marshal, os, struct, sys
root, prefix = sys.argv[1:]
for line in sys.stdin:
    module = line.rstrip('\n')
    source = os.path.join(root + prefix, module)
    with open(importlib.util.cache_from_source(source), 'rb') as file:
        data = file.read()
    assert data[:4] == importlib.util.MAGIC_NUMBER, module
    flags, time, size = struct.unpack('<III', data[4:16])
    found = os.stat(source)
    assert (flags, time, size) == (0, int(found.st_mtime), found.st_size), module
    print(marshal.loads(data[16:]).co_filename)
";

/// So many modules has the package that has many.
const MANY: usize = 150;

/// A Python of this machine, and its minor version.
fn python(place: &Place) -> Option<(PathBuf, String)> {
    let python = requirements::program("python3")?;
    let mut ask = place.command(&python);
    ask.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let said = run(&mut ask).succeeds();
    Some((python, said.stdout.trim().to_owned()))
}

/// A Python that is the machine's own, and packages with modules of all kinds.
fn modules(place: &Place, python: &Path, minor: &str) {
    let executable_path = format!("bin/python{minor}");
    let program = format!("#!/bin/sh\nexec {} \"$@\"\n", python.display());
    let python = Package::named(&format!("python {minor}.0 0"))
        .with(vec![executable(&executable_path, program)]);
    let text = "import os\nNAMES = {'a', 'b', 'c'}\ndef is_name(x):\n    return x in {'a', 'b', 'c', 'd', 'e'}\n";
    let tool = Package::python("tool 1.0 0", &["tool = tool.cli:main"]).with(vec![
        file("site-packages/tool/__init__.py", ""),
        file("site-packages/tool/cli.py", text),
        text_prefix("site-packages/tool/where.py", "HOME = '@PREFIX@'\n"),
        hard_link("site-packages/tool/twin.py", "site-packages/tool/cli.py"),
        file("site-packages/tool/template.py", "def {{ name }}():\n"),
        file("site-packages/tool/data.txt", "text"),
    ]);
    let more = Package::python("more 1.0 0", &[])
        .with(vec![file("site-packages/more.py", "import sys\n")]);
    // More than one process compiles.
    let many = (0..MANY).map(|number| {
        let text = format!("NAME = {{'a', 'b', 'm{number}'}}\ndef name():\n    return NAME\n");
        file(&format!("site-packages/many/m{number}.py"), text)
    });
    let many = Package::python("many 1.0 0", &[]).with(many.collect());
    publish(place, "channel", &[python, tool, more, many]);
    // Packages do not run on the host: no module of theirs takes the place of the interpreter's own.
    let hostile = Package::python("hostile 1.0 0", &[]).with(vec![
        file("os.py", "raise SystemExit(3)\n"),
        file("py_compile.py", "raise SystemExit(3)\n"),
        file("site-packages/os.py", "raise SystemExit(3)\n"),
    ]);
    publish(place, "channel", &[hostile]);
}

#[test]
fn it_is_the_bytecode_that_an_installation_makes() {
    let place = Place::new();
    let Some((python, minor)) = python(&place) else {
        return;
    };
    modules(&place, &python, &minor);
    let prefix = place.join("prefix");
    definition(
        &place,
        &format!(
            "prefix = \"{}\"\npyc = \"host-python\"\n[envs.e]\npackages = [\"more\", \"hostile\"]",
            prefix.display()
        ),
    );
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nplatforms = [\"linux-64\"]\nchannels = [\"./channel\"]\nspecs = [\"tool\", \"more\", \"many\"]\n",
    );
    let bake = |output: &str, arguments: &[&str]| -> Value {
        let mut bake = bake(&place, output, &["-p", "linux-64"]);
        bake.env("SOURCE_DATE_EPOCH", "1700000000").args(arguments);
        run(&mut bake).succeeds().json()
    };
    let said = bake("image", &[]);
    assert_eq!(said["images"][0]["not_compiled"], json!({}));
    // The same again, whoever bakes, and out of the cache.
    for arguments in [&["--no-cache", "--threads", "1"][..], &["--no-cache"], &[]] {
        assert_eq!(bake("again", arguments)["digest"], said["digest"]);
    }
    // Bytecode is its package's, whoever made the layer.
    let taken = bake("again", &["--no-cache", "--cache-from", "image"]);
    let sizes = |said: &Value| {
        let layers = said["images"][0]["layers"].as_array().expect("layers");
        let packages = layers.iter().map(|layer| layer["packages"].clone());
        packages.collect::<Vec<_>>()
    };
    assert_eq!(sizes(&taken), sizes(&said));
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let below = prefix.strip_prefix("/").expect("absolute");
    let site = format!("lib/python{minor}/site-packages");
    let names = [
        "tool/__init__",
        "tool/cli",
        "tool/where",
        "tool/twin",
        "more",
    ];
    let names = names.map(str::to_owned).into_iter();
    let names = names.chain((0..MANY).map(|number| format!("many/m{number}")));
    let expected: Vec<String> = names.map(|name| format!("{site}/{name}.py")).collect();
    place.write("list", expected.join("\n"));
    let mut read = place.command("sh");
    read.args(["-c", "exec \"$0\" -c \"$1\" \"$2\" \"$3\" <list"]);
    read.arg(&python).arg(READ).arg(&root).arg(&prefix);
    let shown = expected
        .iter()
        .map(|path| format!("{}/{path}", prefix.display()));
    let shown: Vec<String> = shown.collect();
    run(&mut read).succeeds().prints(&[&shown.join("\n")]);
    let tag = format!("cpython-{}", minor.replace('.', ""));
    for name in ["more", "os"] {
        let env = format!("envs/e/{site}/__pycache__/{name}.{tag}.pyc");
        assert!(root.join(below).join(&env).is_file(), "{env}");
    }
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    run(place.build(&runtimes, "dist.toml").args(["-p", "linux-64"])).succeeds();
    install(&place, "Example", "", &prefix);
    // Its files may be the same ones.
    fs::remove_dir_all(root.join(below).join("envs")).expect("removed");
    let own = |path: &str| path == "conda-meta/history";
    let installed = snapshot(&prefix).without(own);
    let baked = snapshot(&root.join(below)).without(own);
    // Records and all; the bytes of bytecode, which depend on what a process compiled before, were looked at.
    let compiled = |path: &str| {
        Path::new(path)
            .extension()
            .is_some_and(|ending| ending == "pyc")
    };
    assert_eq!(installed.paths(), baked.paths());
    let modes = |path: &str| {
        let mode = |tree: &crate::support::tree::Tree| match tree.0.get(path) {
            Some(Node::File { mode, .. }) => *mode,
            _ => 0,
        };
        (mode(&installed), mode(&baked))
    };
    for path in installed.paths().iter().filter(|path| compiled(path)) {
        assert_eq!(modes(path), (0o644, 0o644), "{path}");
    }
    assert_same(&installed.without(compiled), &baked.without(compiled));
}

#[test]
fn who_has_no_such_python_is_told_before_anything_is_fetched() {
    let place = Place::new();
    let Some((python, _)) = python(&place) else {
        return;
    };
    modules(&place, &python, "3.99");
    definition(&place, "pyc = \"host-python\"");
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nplatforms = [\"linux-64\"]\nchannels = [\"./channel\"]\nspecs = [\"tool\", \"more\"]\n",
    );
    fs::remove_file(place.join("channel/noarch/tool-1.0-0.conda")).expect("removed");
    for arguments in [&[][..], &["--dry-run"]] {
        let mut bake = bake(&place, "image", &["-p", "linux-64"]);
        run(bake.args(arguments)).exits(1).says(&[
            "no CPython 3.99 on PATH compiles the modules of",
            "more-1.0-0",
            "tool-1.0-0",
            "apt-get install python3.99",
        ]);
    }
    // Without modules, nobody asks.
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nplatforms = [\"linux-64\"]\nchannels = [\"./channel\"]\nspecs = [\"python\"]\n",
    );
    run(&mut bake(&place, "image", &["-p", "linux-64", "--update"])).succeeds();
}

#[test]
fn a_script_that_leads_to_python_is_asked_once() {
    let place = Place::new();
    let Some((python, minor)) = python(&place) else {
        return;
    };
    modules(&place, &python, &minor);
    definition(&place, "pyc = \"host-python\"");
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nplatforms = [\"linux-64\"]\nchannels = [\"./channel\"]\nspecs = [\"tool\", \"many\"]\n",
    );
    let calls = place.join("calls");
    let script = format!(
        "#!/bin/sh\necho called >>'{}'\nexec '{}' \"$@\"\n",
        calls.display(),
        python.display()
    );
    let shim = place.write(&format!("shims/python{minor}"), script);
    fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).expect("executable");
    let mut path = shim.parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut bake = bake(&place, "image", &["-p", "linux-64"]);
    let said = run(bake.env("PATH", path)).succeeds().json();
    assert_eq!(said["images"][0]["not_compiled"], json!({}));
    assert_eq!(fs::read_to_string(&calls).expect("calls"), "called\n");
}
