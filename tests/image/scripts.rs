//! Scripts of packages, which need the target: run while the image is baked, in a real arm64 userland, or left for the
//! first start of a container.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use super::engines::base;
use super::{bake, definition, unpack};
use crate::support::channel::publish;
use crate::support::package::{Package, executable, file, link_script};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// Does what post-link scripts do, and some more.
const SCRIPT: &str = r#"#!/bin/bash
set -e
[[ $PREFIX == "$PWD" ]]
echo "$PKG_NAME $PKG_VERSION $PKG_BUILDNUM of $ROOT_PREFIX on $(uname -m) as $(id -u)" >share/done
scripted >>share/done
echo "read me" >.messages.txt
echo "added" >>/etc/motd
rm -r /etc/cron.d /opt/conda/share/scripted/old
echo "for root" >share/closed
chmod 000 share/closed
ln -s ../share/done bin/done
touch /tmp/left /dev/left
if umount -l / 2>/dev/null || mount -t tmpfs none /mnt 2>/dev/null; then exit 9; fi
mkdir -p HOST
touch HOST/escaped
"#;

/// A package with a script that ends as it is told, and the base.
fn prepare(place: &Place, root: &Path, script: &str) {
    let scripted = Package::named("scripted 1.0 7").on("linux-aarch64");
    let scripted = scripted.with(vec![
        executable("bin/scripted", "#!/bin/sh\necho found by PATH\n"),
        file("share/scripted/old/a", "a"),
        file("share/scripted/new/b", "b"),
        link_script("scripted", "post-link", script),
    ]);
    publish(place, "channel", &[scripted]);
    base(place, "arm64", root);
}

/// Writes `dist.toml` and a definition over the base.
fn define(place: &Place, keys: &str) {
    let keys = format!("base = \"oci:base-arm64\"\nplatforms = [\"linux-aarch64\"]\n{keys}");
    definition(place, &keys);
    place.write(
        "post.sh",
        "echo \"$INSTALLER_NAME $GREETING\" >\"$PREFIX/share/post\"\n",
    );
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nchannels = [\"./channel\"]\n\
         specs = [\"scripted\"]\nplatforms = [\"linux-aarch64\"]\n\
         post_install = \"post.sh\"\nscript_env_variables = { GREETING = \"it's here\" }\n",
    );
}

/// Whether programs may have namespaces of their own here.
fn namespaces(place: &Place) -> Option<()> {
    let mut command = place.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "true"]);
    let allowed = command.status().is_ok_and(|status| status.success());
    requirements::require("user namespaces", allowed.then_some(()))
}

fn variables(command: &Command) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    let variables = command.get_envs();
    variables.filter_map(|(name, value)| Some((name, value?)))
}

fn lines(path: impl AsRef<Path>) -> Vec<String> {
    let text = fs::read_to_string(path.as_ref()).expect("a file");
    text.lines().map(str::to_owned).collect()
}

const DONE: [&str; 2] = [
    "scripted 1.0 7 of /opt/conda on aarch64 as 0",
    "found by PATH",
];
const NAMES: [&str; 2] = [
    "the post-link script of scripted-1.0-7",
    "the post_install script of Example",
];

/// Leaves links to a file of the machine in the place of bytecode.
const CHEAT: &str = r#"#!/bin/sh
for root; do :; done
cd "$root" || exit 3
while read -r module; do
    folder=${module%/*}/__pycache__
    name=${module##*/}
    mkdir -p "$folder"
    ln -s SECRET "$folder/${name%.py}.cpython-312.pyc"
    echo "$folder/${name%.py}.cpython-312.pyc"
done
ls / /.archiconda >&2
"#;

#[test]
fn a_python_that_cheats_gets_no_file_of_the_machine_into_an_image() {
    let place = Place::new();
    let (Some(root), Some(())) = (requirements::userland_arm64(), namespaces(&place)) else {
        return;
    };
    let secret = place.write("secret", "of this machine");
    let program = CHEAT.replace("SECRET", &secret.display().to_string());
    let python = Package::named("python 3.12.1 0").on("linux-aarch64");
    let python = python.with(vec![executable("bin/python3.12", program)]);
    let tool = Package::python("tool 1.0 0", &[])
        .with(vec![file("site-packages/tool/cli.py", "import os\n")]);
    publish(&place, "channel", &[python, tool]);
    base(&place, "arm64", &root);
    define(&place, "pyc = \"emulate\"");
    let spec = fs::read_to_string(place.join("dist.toml")).expect("a spec");
    let spec = spec.replace("\"scripted\"", "\"tool\"");
    let spec = spec.lines().filter(|line| !line.contains("post_install"));
    place.write("dist.toml", spec.collect::<Vec<_>>().join("\n"));
    run(&mut bake(&place, "image", &[]))
        .exits(1)
        .says(&["tool-1.0-0", "Too many levels of symbolic links"]);
    let left = fs::read_dir(place.path()).expect("a folder");
    let names = left.map(|entry| entry.expect("an entry").file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name == "image" || name.contains("baking")),
        "{names:?}"
    );
}

#[test]
fn under_emulation_they_change_the_image_and_nothing_else() {
    let place = Place::new();
    let (Some(root), Some(())) = (requirements::userland_arm64(), namespaces(&place)) else {
        return;
    };
    let host = place.path().display().to_string();
    prepare(&place, &root, &SCRIPT.replace("HOST", &host));
    define(&place, "link_scripts = \"emulate\"");
    let baked = |output: &str| -> Value {
        let mut bake = bake(&place, output, &[]);
        bake.env("SOURCE_DATE_EPOCH", "1700000000");
        run(&mut bake).succeeds().json()
    };
    let said = baked("image");
    let image = &said["images"][0];
    assert_eq!(image["emulated_scripts"], json!(NAMES));
    let layers = image["layers"].as_array().expect("layers");
    let kinds: Vec<&Value> = layers.iter().map(|layer| &layer["kind"]).collect();
    assert_eq!(kinds, ["base", "packages", "files", "scripts"]);
    assert_eq!(baked("again")["digest"], said["digest"]);
    assert!(!place.join("escaped").exists());

    let Some(unpacked) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let prefix = unpacked.join("opt/conda");
    assert_eq!(lines(prefix.join("share/done")), DONE);
    assert_eq!(lines(prefix.join("share/post")), ["Example it's here"]);
    assert_eq!(
        lines(unpacked.join("etc/motd")).last().expect("a line"),
        "added"
    );
    let link = fs::read_link(prefix.join("bin/done")).expect("a link");
    assert_eq!(link, Path::new("../share/done"));
    for gone in [
        "etc/cron.d",
        "opt/conda/share/scripted/old",
        "opt/conda/.messages.txt",
        "opt/conda/libexec",
        "tmp/left",
        "dev/left",
        ".archiconda",
    ] {
        assert!(!unpacked.join(gone).exists(), "{gone}");
    }
    assert!(prefix.join("share/scripted/new/b").exists());
    // Who owns what, and who may read it, is as it was.
    for path in ["etc/shadow", "etc/passwd", "usr/bin/passwd"] {
        let (own, given) = (
            fs::metadata(unpacked.join(path)),
            fs::metadata(root.join(path)),
        );
        let meta = |data: std::io::Result<std::fs::Metadata>| {
            use std::os::unix::fs::MetadataExt as _;
            data.map(|data| (data.mode(), data.uid(), data.gid())).ok()
        };
        assert_eq!(meta(own), meta(given), "{path}");
    }

    // An ordinary user makes the same.
    if rustix::process::geteuid().is_root() {
        let baking = bake(&place, "ordinary", &["--no-cache"]);
        let own = place.join("archiconda");
        fs::copy(baking.get_program(), &own).expect("a copy");
        let give = |whom: &str| run(place.command("chown").args(["-R", whom, "."])).succeeds();
        give("65534:65534");
        let mut ordinary = place.command("setpriv");
        ordinary.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        ordinary.arg(own).args(baking.get_args());
        ordinary.envs(variables(&baking));
        ordinary.env("SOURCE_DATE_EPOCH", "1700000000");
        let ordinary = run(&mut ordinary).succeeds().json();
        assert_eq!(ordinary["digest"], said["digest"]);
        give("0:0");
    }

    // One that fails is told with what it said, and leaves no image.
    let script = "#!/bin/bash\necho no such luck; exit 3\n";
    prepare(&place, &root, script);
    run(&mut bake(&place, "failed", &["--update"]))
        .exits(1)
        .says(&[
            "cannot run the scripts under emulation",
            "no such luck",
            "the post-link script of scripted-1.0-7 failed with exit code 3",
        ]);
    assert!(!place.join("failed").exists());

    // Where the kernel does not know who runs foreign programs, nothing is fetched.
    let mask = "mount -t tmpfs none /proc/sys/fs/binfmt_misc && exec \"$@\"";
    let baking = bake(&place, "masked", &[]);
    let mut masked = place.command("unshare");
    masked.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mask,
        "sh",
    ]);
    masked.arg(baking.get_program()).args(baking.get_args());
    masked.envs(variables(&baking));
    run(&mut masked).exits(1).says(&[
        "`link_scripts = \"emulate\"`: this machine does not run programs for linux-aarch64",
        "qemu-user-static",
    ]);
}

#[test]
fn a_container_runs_them_when_it_starts_first() {
    let place = Place::new();
    let (Some(root), Some(())) = (requirements::userland_arm64(), namespaces(&place)) else {
        return;
    };
    prepare(&place, &root, &SCRIPT.replace("HOST", "/opt/conda/host"));
    define(
        &place,
        "link_scripts = \"first-run\"\nentrypoint = [\"/bin/echo\", \"it\"]\ncmd = [\"runs\"]",
    );
    let said = run(&mut bake(&place, "image", &[])).succeeds().json();
    assert_eq!(said["images"][0]["first_run_scripts"], json!(NAMES));
    let Some(unpacked) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let config = fs::read_to_string(place.join("bundle/config.json")).expect("a file");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let words: Vec<&str> = config["process"]["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let runner = "/opt/conda/libexec/archiconda/first-run";
    assert_eq!(words, [runner, "/bin/echo", "it", "runs"]);

    let start = |words: &[&str]| -> Command {
        let mut command = place.command("unshare");
        command.args(["--user", "--map-root-user", "--wd=/"]);
        command
            .arg(format!("--root={}", unpacked.display()))
            .args(words);
        command.env("PATH", "/opt/conda/bin:/usr/bin:/bin");
        command
    };
    let prefix = unpacked.join("opt/conda");
    assert!(!prefix.join("share/done").exists());
    place.write("bundle/rootfs/dev/null", "");
    for _ in 0..2 {
        let said = run(&mut start(&words)).succeeds();
        assert_eq!(
            (said.stdout.as_str(), said.stderr.as_str()),
            ("it runs\n", "")
        );
        assert_eq!(lines(prefix.join("share/done")), DONE);
        assert_eq!(lines(prefix.join("share/post")), ["Example it's here"]);
        assert_eq!(
            lines(unpacked.join("etc/motd")).last().expect("a line"),
            "added"
        );
    }

    define(&place, "link_scripts = \"first-run\"\nuser = \"1000:1000\"");
    run(&mut bake(&place, "other", &[]))
        .succeeds()
        .says(&["containers start as `1000`, who may not be able to run the scripts"]);
    define(
        &place,
        "link_scripts = \"first-run\"\n[target.linux-aarch64]\nbase = \"scratch\"",
    );
    run(&mut bake(&place, "other", &[]))
        .exits(2)
        .says(&["`link_scripts` in the definition: the base has no `/bin/sh`"]);
}
