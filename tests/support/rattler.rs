//! py-rattler as a client of channels. Every program that uses it ends by `os._exit` within its event
//! loop: the interpreter sometimes aborts while loop and threads are taken down.

/// Solves and installs, and prints what.
pub(crate) const INSTALL: &str = r#"
import asyncio, os, sys
from rattler import Gateway, SourceConfig, Subdir, install, solve
channel, form, folder, *specs = sys.argv[1:]
config = SourceConfig(zstd_enabled=form == "zst", bz2_enabled=False, sharded_enabled=form == "shards")
async def main():
    gateway = Gateway(cache_dir=folder + "/repodata", default_config=config)
    records = await solve([channel], specs, gateway=gateway, platforms=["linux-64", "noarch"])
    for record in sorted(records, key=lambda record: record.file_name):
        print(record.file_name, record.sha256.hex(), flush=True)
    await install(
        records, folder + "/prefix", cache_dir=folder + "/packages", platform=Subdir("linux-64"), show_progress=False
    )
    os._exit(0)
asyncio.run(main())
"#;
