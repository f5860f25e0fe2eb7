//! What is prefetched can be had without a network: conda and rattler solve and link it from the image's
//! package cache alone.

use super::{bake, channel, unpack};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// A channel that is nothing but what the cache says of its packages: their archives are nowhere.
const LINK: &str = r"
import asyncio, glob, json, os, sys
import rattler
from rattler import Channel, SparseRepoData
cache, channel, prefix, *specs = sys.argv[1:]
subdirs = {'noarch': {}, 'linux-64': {}}
for path in glob.glob(cache + '/*/info/repodata_record.json'):
    record = json.load(open(path))
    # With a digest, rattler takes nothing that it did not extract itself; without, it checks every file.
    del record['sha256'], record['md5']
    subdirs[record['subdir']][record['fn']] = record
found = []
for subdir, records in subdirs.items():
    os.makedirs(os.path.join(channel, subdir))
    path = os.path.join(channel, subdir, 'repodata.json')
    with open(path, 'w') as file:
        json.dump({'info': {'subdir': subdir}, 'packages': {}, 'packages.conda': records}, file)
    found.append(SparseRepoData(Channel('https://127.0.0.1:1/channel'), subdir, path))
async def main():
    records = await rattler.solve_with_sparse_repodata(specs, found, virtual_packages=[])
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)
    print(sorted(record.name.normalized for record in records), flush=True)
    os._exit(0)
asyncio.run(main())
";

#[test]
fn what_is_prefetched_is_linked_without_a_network() {
    let place = Place::new();
    channel(&place);
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nchannels = [\"./channel\"]\nspecs = [\"other\"]\n",
    );
    place.write(
        "image.toml",
        "installer = \"dist.toml\"\nprefetch = [\"tool\", \"native\"]\n",
    );
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let Some(python) = requirements::oracles() else {
        return;
    };
    // The packages themselves are out of reach.
    fs_err::rename(place.join("channel"), place.join("gone")).expect("renamed");
    let mut link = place.command(&python);
    link.args(["-c", LINK])
        .arg(root.join("opt/conda/pkgs"))
        .arg(place.join("offline"))
        .arg(place.join("prefix"))
        .args(["tool", "native"]);
    run(&mut link)
        .succeeds()
        .prints(&["['native', 'python', 'tool']"]);
    for path in ["bin/python3.12", "bin/tool", "lib/native.so"] {
        assert!(place.join("prefix").join(path).exists(), "{path}");
    }
    let text = fs_err::read_to_string(place.join("prefix/etc/native.conf")).expect("a file");
    assert!(
        text.contains(&*place.join("prefix").to_string_lossy()),
        "{text}"
    );
    let Some(conda) = requirements::conda() else {
        return;
    };
    let mut create = place.command(python);
    create
        .env("PYTHONPATH", conda)
        .env("CONDA_PKGS_DIRS", root.join("opt/conda/pkgs"))
        .env("CONDA_REGISTER_ENVS", "false")
        .env("CONDA_SOLVER", "classic")
        .args(["-m", "conda", "create", "--offline", "--yes", "--quiet"])
        .args([
            "--override-channels",
            "--channel",
            "https://127.0.0.1:1/channel",
        ])
        .arg("--prefix")
        .arg(place.join("by-conda"));
    run(create.arg("native")).succeeds();
    assert!(place.join("by-conda/lib/native.so").exists());
}
