//! `archiconda repack` on wheels made from text, offline: conda-package-handling opens what comes
//! out, rattler installs it, and it runs.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::package::{Package, executable};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{assert_same, snapshot};

const DEFINITION: &str = r#"
platforms = ["linux-64"]
python = "3.11"

[debian]
suites = ["bookworm"]
glibc = "2.36"
system = ["libc.so.6"]

[wheels]
packages = ["Hello_Tool[more]", "native"]
names = { helper = "python-helper" }
"#;

/// Makes wheels as build tools do, with Python's own zip archives and digests.
const WHEELS: &str = r#"
import base64, hashlib, os, sys, zipfile
def wheel(name, metadata, files):
    project, version = name.split('-')[:2]
    info = f'{project}-{version}.dist-info/'
    files = dict(files)
    files[info + 'METADATA'] = f'Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{metadata}'
    files[info + 'WHEEL'] = f'Wheel-Version: 1.0\nRoot-Is-Purelib: {str(name.endswith("any")).lower()}\n'
    record = ''
    with zipfile.ZipFile(os.path.join(sys.argv[1], name + '.whl'), 'w', zipfile.ZIP_DEFLATED) as archive:
        def add(path, text):
            entry = zipfile.ZipInfo(path, (2024, 2, 29, 12, 30, 2))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, text)
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()
            record += f'{path},sha256={digest},{len(text.encode())}\n'
            add(path, text)
        add(info + 'RECORD', record + info + 'RECORD,,\n')
wheel('hello_tool-1.0-py3-none-any',
    'Requires-Python: >=3.8\nRequires-Dist: helper ~=1.4; sys_platform == "linux"\nRequires-Dist: never; os_name == "nt"\n'
    'Requires-Dist: extra-one; extra == "more"\nRequires-Dist: other; extra == "less"\nLicense-Expression: MIT\n', {
    'hello_tool.py': 'import helper\ndef main():\n    print("hello,", helper.WHO)\n',
    'hello_tool-1.0.data/scripts/old-hello': '#!python\nimport hello_tool\nhello_tool.main()\n',
    'hello_tool-1.0.data/data/share/hello/text': 'text\n',
    'hello_tool-1.0.dist-info/entry_points.txt': '[console_scripts]\nhello = hello_tool:main\n',
    'hello_tool-1.0.dist-info/licenses/LICENSE': 'Do as you like.\n',
})
wheel('helper-1.5-py3-none-any', '', {'helper.py': 'WHO = "world"\n'})
wheel('helper-2.0-py3-none-any', '', {'helper.py': 'WHO = "nobody"\n'})
wheel('extra_one-3-py3-none-any', '', {'extra_one.py': ''})
wheel('native-2.1-cp311-cp311-manylinux_2_28_x86_64', '', {
    'native.py': 'def main():\n    print("native")\n',
    'native-2.1.dist-info/entry_points.txt': '[console_scripts]\nnative = native:main\n',
})
"#;

/// Installs with rattler what a channel has for a name.
const RATTLER: &str = r"
import asyncio, os, sys
import rattler
channel, prefix, cache = sys.argv[1:]
async def main():
    records = await rattler.solve(['file://' + channel], ['hello-tool', 'native'], platforms=['linux-64', 'noarch'], virtual_packages=rattler.VirtualPackage.detect())
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)
    os._exit(0)
asyncio.run(main())
";

/// Looks at an installation as Python's own tools do: what is there, and is it what RECORD says.
const INSPECT: &str = r"
import base64, hashlib, os, sys
from importlib import metadata
found = {}
for dist in metadata.distributions(path=[sys.argv[1]]):
    assert dist.read_text('INSTALLER').strip() == 'conda', dist
    for file in dist.files:
        path = file.locate()
        assert os.path.exists(path), path
        if file.hash:
            digest = hashlib.sha256(open(path, 'rb').read()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b'=').decode() == file.hash.value, path
    found[dist.metadata['Name']] = dist.version
print(sorted(found.items()))
";

/// A folder of wheels with a definition, and a Python with the peers.
fn place() -> Option<(Place, std::path::PathBuf)> {
    let python = requirements::oracles()?;
    let place = Place::new();
    place.write("channel.toml", DEFINITION);
    for folder in ["wheels", "debs"] {
        fs::create_dir(place.join(folder)).expect("a folder");
    }
    let mut make = place.command(&python);
    run(make.args(["-c", WHEELS]).arg(place.join("wheels"))).succeeds();
    Some((place, python))
}

fn repack(place: &Place, output: &str) -> Command {
    let mut command = place.archiconda();
    command
        .args(["repack", "channel.toml", "--offline", "--debs", "debs"])
        .args(["--wheels", "wheels", "--json", "--output-dir", output]);
    command
}

#[test]
fn wheels_become_packages_that_peers_install() {
    let Some((place, python)) = place() else {
        return;
    };
    let interpreter = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.display());
    Package::named("python-3.11.2-0")
        .on("linux-64")
        .with(vec![
            executable("bin/python", &interpreter),
            executable("bin/python3.11", &interpreter),
        ])
        .write_to(&place.join("channel"));
    let made = run(&mut repack(&place, "channel")).succeeds().json();
    assert_eq!(
        made["packages"],
        serde_json::json!([
            "linux-64/native-2.1-py311_0.conda",
            "noarch/extra-one-3-py_0.conda",
            "noarch/hello-tool-1.0-py_0.conda",
            "noarch/python-helper-1.5-py_0.conda",
        ])
    );
    let repodata =
        fs::read_to_string(place.join("channel/noarch/repodata.json")).expect("repodata");
    let repodata: serde_json::Value = serde_json::from_str(&repodata).expect("JSON");
    let record = &repodata["packages.conda"]["hello-tool-1.0-py_0.conda"];
    assert_eq!(
        record["depends"],
        serde_json::json!(["python >=3.8", "extra-one", "python-helper >=1.4,1.*"])
    );
    assert_eq!(record["noarch"], "python");

    let mut open = place.command(&python);
    open.args(["-m", "conda_package_handling", "extract", "--dest"])
        .arg(place.join("x"))
        .arg(place.join("channel/noarch/hello-tool-1.0-py_0.conda"));
    run(&mut open).succeeds();
    let text = |path: &str| fs::read_to_string(place.join("x").join(path)).expect(path);
    assert!(text("info/link.json").contains("\"hello = hello_tool:main\""));
    assert_eq!(text("info/licenses/LICENSE"), "Do as you like.\n");
    assert!(text("info/has_prefix").ends_with("text python-scripts/old-hello\n"));

    let prefix = place.join("p");
    let mut install = place.command(&python);
    install
        .args(["-c", RATTLER])
        .arg(place.join("channel"))
        .arg(&prefix)
        .arg(place.join("rattler-cache"));
    run(&mut install).succeeds();
    let site = prefix.join("lib/python3.11/site-packages");
    for (program, said) in [
        ("hello", "hello, world"),
        ("old-hello", "hello, world"),
        ("native", "native"),
    ] {
        let mut start = place.command(prefix.join("bin").join(program));
        run(start.env("PYTHONPATH", &site))
            .succeeds()
            .prints(&[said]);
    }
    let mut inspect = place.command(&python);
    run(inspect.args(["-c", INSPECT]).arg(&site))
        .succeeds()
        .prints(&[
            "('extra_one', '3'), ('hello_tool', '1.0'), ('helper', '1.5'), ('native', '2.1')",
        ]);
    assert!(prefix.join("share/hello/text").is_file());
}

#[test]
fn the_same_wheels_give_the_same_bytes() {
    let Some((place, _)) = place() else { return };
    run(&mut repack(&place, "one")).succeeds();
    let mut again = repack(&place, "two");
    again.args(["--locked", "-j", "1"]).env("TZ", "Asia/Tokyo");
    run(&mut again).succeeds();
    // Pages and feed bear the name of the folder.
    let published = |name| {
        let named = |path: &str| path.contains(".html") || path.contains("rss.xml");
        snapshot(&place.join(name)).without(|path| path.starts_with(".cache") || named(path))
    };
    assert_same(&published("one"), &published("two"));
}

#[test]
fn what_is_wrong_with_a_wheel_is_named() {
    let Some((place, _)) = place() else { return };
    run(&mut repack(&place, "one")).succeeds();
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path: &Path = &place.join("wheels").join(name);
        let mut bytes = fs::read(path).expect("a wheel");
        change(&mut bytes);
        fs::write(path, bytes).expect("written");
    };
    let name = "native-2.1-cp311-cp311-manylinux_2_28_x86_64.whl";
    change(name, &|bytes| bytes.truncate(bytes.len() / 2));
    fs::remove_dir_all(place.cache()).expect("removed");
    run(repack(&place, "two").arg("--locked"))
        .exits(4)
        .says(&[name, "sha256", "the lock says"]);
    run(repack(&place, "two").arg("--update"))
        .exits(1)
        .says(&[name, "zip archive"]);
    fs::remove_file(place.join("wheels").join(name)).expect("removed");
    run(repack(&place, "two").arg("--update")).exits(1).says(&[
        "native",
        "the definition",
        "linux-64",
    ]);
    assert!(!place.join("two").exists());
}
