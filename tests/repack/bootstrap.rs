//! The bootstrap channel itself: made from Debian's archive, read by the peers, installed by ours and
//! by rattler, and run, on this machine and in the arm64 userland. One test, since making it takes
//! minutes; downloads are kept between runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::conda;
use crate::image;
use crate::support::requirements;
use crate::support::run::{Output, Place, run};

/// Everything that a Python of one's own is used for in its first minute.
const FIRST_MINUTE: &str = r"
import bz2, ctypes, curses, dbm.gnu, hashlib, lzma, os, readline, site, sqlite3, ssl, sys, sysconfig, uuid, zlib, zoneinfo
prefix = sys.argv[1]
assert sys.prefix == prefix, sys.prefix
assert ssl.create_default_context().cert_store_stats()['x509_ca'] > 100
assert ssl.get_default_verify_paths().openssl_cafile == prefix + '/ssl/cert.pem'
assert hashlib.new('sha256', b'').hexdigest().startswith('e3b0c442')
assert sqlite3.connect(':memory:').execute('select 1').fetchone() == (1,)
assert lzma.decompress(lzma.compress(b'x')) == bz2.decompress(bz2.compress(b'x')) == zlib.decompress(zlib.compress(b'x'))
curses.setupterm('xterm')
assert curses.tigetnum('cols') == 80
assert zoneinfo.ZoneInfo('Europe/Berlin').utcoffset(None) is None and zoneinfo.TZPATH[0].startswith(prefix)
packages = prefix + '/lib/python3.11/site-packages'
assert packages in sys.path and sysconfig.get_paths()['purelib'] == packages
assert sysconfig.get_default_scheme() == 'posix_prefix'
assert sysconfig.get_config_var('prefix') == prefix
assert os.path.isfile(bz2.__cached__)
for name in ['/usr/lib', '/opt/archiconda_placehold']:
    assert not any(name in path for path in sys.path), sys.path
print('fine')
";

/// Opens every package and checks what it says of its files.
const OPEN: &str = r"
import glob, hashlib, json, os, sys
import conda_package_handling.api as api
channel, work = sys.argv[1:]
count = 0
for file in sorted(glob.glob(channel + '/*/*.conda')):
    folder = os.path.join(work, os.path.basename(file))
    api.extract(file, folder)
    index = json.load(open(folder + '/info/index.json'))
    assert os.path.basename(file) == '{name}-{version}-{build}.conda'.format(**index), file
    assert os.listdir(folder + '/info/licenses'), file
    listed = []
    for path in json.load(open(folder + '/info/paths.json'))['paths']:
        listed.append(path['_path'])
        full = os.path.join(folder, path['_path'])
        assert os.path.lexists(full), full
        if path['path_type'] == 'hardlink':
            content = open(full, 'rb').read()
            assert hashlib.sha256(content).hexdigest() == path['sha256'], full
            assert len(content) == path['size_in_bytes'], full
            placeholder = path.get('prefix_placeholder', '/opt/archiconda_placehold').encode()
            assert (placeholder in content) == ('prefix_placeholder' in path), full
        else:
            assert os.path.exists(full) or index['name'] == 'python', full
    assert listed == open(folder + '/info/files').read().split('\n')[:-1], file
    count += 1
print(count)
";

/// Installs with rattler.
const RATTLER: &str = r"
import asyncio, os, sys
import rattler
channel, prefix, cache = sys.argv[1:]
async def main():
    records = await rattler.solve(['file://' + channel], ['python'], platforms=['linux-64', 'noarch'], virtual_packages=rattler.VirtualPackage.detect())
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)
    os._exit(0)
asyncio.run(main())
";

/// What the prefix of an image is used for: it is the installer's, which was looked at in full.
const IMAGE: &str = r"
import ctypes, lzma, sqlite3, ssl, sys, zlib
assert sys.prefix == sys.argv[1], sys.prefix
assert ssl.create_default_context().cert_store_stats()['x509_ca'] > 100
print('fine')
";

const SPEC: &str = r#"
name = "Boot"
version = "1"
channels = ["./channel"]
virtual_specs = ["__glibc >=2.36"]
"#;

/// What is installed where the test data hold no conda.
const WITHOUT_CONDA: &str = r#"
specs = ["python", "sqlite"]
"#;

#[test]
fn the_bootstrap_channel() {
    let Some(cache) = requirements::bootstrap() else {
        return;
    };
    let place = Place::new();
    let channels = requirements::workspace().join("channels");
    for name in ["bootstrap.toml", "bootstrap.lock"] {
        fs::copy(channels.join(name), place.join(name)).expect("a definition with its lock");
    }
    let mut made = make(&place, &cache, "--locked");
    if made.stderr.contains("--update takes the newest") {
        // The archive has moved on.
        made = make(&place, &cache, "--update");
    }
    let made = made.succeeds().json();
    let packages = made["packages"].as_array().expect("packages").len();
    assert!(packages > 40, "{made}");
    peers_read(&place, packages);
    let has_conda = conda::add(&place, &cache).is_some();

    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let specs = if has_conda {
        conda::SPECS
    } else {
        WITHOUT_CONDA
    };
    place.write("boot.toml", format!("{SPEC}{specs}"));
    for platform in ["linux-64", "linux-aarch64"] {
        run(place
            .build(&runtimes, "boot.toml")
            .args(["--platform", platform]))
        .succeeds();
    }
    if cfg!(target_arch = "x86_64") {
        let prefix = place.join("p");
        let mut install = place.command("sh");
        install
            .arg(place.join("out/Boot-1-Linux-x86_64.sh"))
            .args(["-b", "-p"]);
        run(install.arg(&prefix)).succeeds();
        first_minute(&mut place.command(prefix.join("bin/python")), &prefix);
        let mut environment = place.command(prefix.join("bin/python"));
        run(environment.args(["-m", "venv", "venv"])).succeeds();
        run(place.command("venv/bin/pip").arg("--version"))
            .succeeds()
            .prints(&["venv"]);
        if has_conda {
            let command = |program: &Path| place.command(program);
            let (channel, environment) = (place.join("channel"), place.join("created"));
            conda::first_minute(&command, &prefix, &channel, &environment);
        }
        by_rattler(&place);
        let prefix = place.join("of-image");
        if image::real::install(&place, "linux-64", Path::new("/"), &prefix).is_some() {
            run(place
                .command(prefix.join("bin/python"))
                .args(["-c", IMAGE])
                .arg(&prefix))
            .succeeds()
            .prints(&["fine"]);
        }
        if let Some(root) = requirements::userland_amd64() {
            image::engines::try_out(&place, "linux-64", "amd64", &root);
        }
    }
    on_arm64(&place, has_conda);
}

fn make(place: &Place, cache: &Path, mode: &str) -> Output {
    let mut command = place.archiconda();
    command
        .args([
            "repack",
            "bootstrap.toml",
            "--json",
            "--output-dir",
            "channel",
            // Half of the time otherwise.
            "--zstd-compression-level=3",
            mode,
        ])
        .arg("--cache-dir")
        .arg(cache);
    run(&mut command)
}

fn peers_read(place: &Place, packages: usize) {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let channel = place.join("channel");
    let mut open = place.command(&python);
    open.args(["-c", OPEN])
        .arg(&channel)
        .arg(place.join("opened"));
    run(&mut open).succeeds().prints(&[&packages.to_string()]);
    fs::remove_dir_all(place.join("opened")).expect("removed");

    // conda-index says the same of the same packages.
    let theirs = place.join("theirs");
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        fs::create_dir_all(theirs.join(subdir)).expect("a folder");
        for entry in fs::read_dir(channel.join(subdir)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|suffix| suffix == "conda") {
                let name = path.file_name().expect("a name");
                fs::hard_link(&path, theirs.join(subdir).join(name)).expect("a link");
            }
        }
    }
    let Some(conda) = requirements::conda() else {
        return;
    };
    let mut index = place.command(&python);
    index
        .env("PYTHONPATH", conda)
        .args(["-m", "conda_index", "--no-channeldata"])
        .arg(&theirs);
    run(&mut index).succeeds();
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let read = |folder: &Path| {
            let text = fs::read(folder.join(subdir).join("repodata.json")).expect("repodata");
            serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")
        };
        assert_eq!(read(&channel), read(&theirs), "{subdir}");
    }
}

fn by_rattler(place: &Place) {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let prefix = place.join("by-rattler");
    let mut install = place.command(python);
    install.args(["-c", RATTLER]);
    install
        .arg(place.join("channel"))
        .arg(&prefix)
        .arg(place.join("rattler-cache"));
    run(&mut install).succeeds();
    first_minute(&mut place.command(prefix.join("bin/python")), &prefix);
}

fn first_minute(python: &mut Command, prefix: &Path) {
    python
        .env("TERM", "xterm")
        .args(["-c", FIRST_MINUTE])
        .arg(prefix);
    run(python).succeeds().prints(&["fine"]);
}

/// Installs and runs in the arm64 userland.
fn on_arm64(place: &Place, has_conda: bool) {
    let Some(root) = requirements::userland_arm64() else {
        return;
    };
    let is_root = rustix::process::geteuid().is_root();
    let what = "root, to change into the arm64 userland";
    let Some(()) = requirements::require(what, is_root.then_some(())) else {
        return;
    };
    let there = tempfile::Builder::new()
        .prefix("archiconda-")
        .tempdir_in(root.join("tmp"))
        .expect("a folder");
    let here = PathBuf::from("/tmp").join(there.path().file_name().expect("a name"));
    fs::copy(
        place.join("out/Boot-1-Linux-aarch64.sh"),
        there.path().join("boot.sh"),
    )
    .expect("copied");
    let inside = |program: &Path| {
        let mut chroot = place.command("chroot");
        chroot
            .arg(&root)
            .arg(program)
            .env("HOME", &here)
            .env("TMPDIR", &here);
        chroot
    };
    let prefix = here.join("p");
    let mut install = inside(Path::new("/bin/sh"));
    install.arg(here.join("boot.sh")).args(["-b", "-p"]);
    run(install.arg(&prefix)).succeeds();
    first_minute(&mut inside(&prefix.join("bin/python3")), &prefix);
    let baked = here.join("of-image");
    if image::real::install(place, "linux-aarch64", &root, &baked).is_some() {
        let mut python = inside(&baked.join("bin/python3"));
        run(python.args(["-c", IMAGE]).arg(&baked))
            .succeeds()
            .prints(&["fine"]);
    }
    image::engines::try_out(place, "linux-aarch64", "arm64", &root);
    if has_conda {
        let channel = there.path().join("channel");
        for subdir in ["linux-aarch64", "noarch"] {
            copy(&place.join("channel").join(subdir), &channel.join(subdir));
        }
        conda::first_minute(
            &inside,
            &prefix,
            &here.join("channel"),
            &here.join("created"),
        );
    }
}

/// The files of a folder, without what lies in folders of it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
}
