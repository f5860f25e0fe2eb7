//! Installers for several platforms, what lies beside them, and what is said about them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use archive::digest::{Md5, Sha256};
use fs_err as fs;
use serde_json::Value;

use super::{ARM, X86, dry, installer, packages, small, spec};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{assert_same, snapshot};

const KEYS: &str = "channels = [\"channel\"]\nspecs = [\"alpha\"]";

fn names(folder: &Path) -> Vec<String> {
    snapshot(folder)
        .paths()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn one_installer_for_each_platform() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let output = run(&mut place.build(&runtimes, spec))
        .succeeds()
        .prints(&[X86, ARM]);
    assert_eq!(output.lines("warning"), Vec::<&str>::new(), "{output}");

    let digest = |name: &str| format!("{name}.sha256");
    assert_eq!(names(&place.out()), [ARM, &digest(ARM), X86, &digest(X86)]);
    for name in [X86, ARM] {
        let path = place.out().join(name);
        let mode = fs::metadata(&path)
            .expect("an installer")
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{name} is executable: {mode:o}");
        let sha256 = Sha256::of(&fs::read(&path).expect("an installer"));
        let beside = fs::read_to_string(place.out().join(digest(name))).expect("a digest");
        assert_eq!(beside, format!("{sha256}  {name}\n"), "as sha256sum has it");
    }
    assert!(
        place.join("dist.lock").is_file(),
        "the lock lies beside the spec"
    );
    installer(&place, X86, &["--check"]).succeeds();
    let listed = installer(&place, X86, &["--list", "--json"])
        .succeeds()
        .json();
    let channels: Vec<_> = rows(&listed, "name")
        .into_iter()
        .zip(rows(&listed, "subdir"))
        .collect();
    assert_eq!(channels, [("beta", "noarch"), ("alpha", "linux-64")]);
}

fn rows<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let rows = list.as_array().expect("rows").iter();
    rows.map(|row| row[key].as_str().expect("text")).collect()
}

#[test]
fn a_digest_beside_the_installer_is_what_sha256sum_checks() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    run(&mut place.build(&runtimes, spec)).succeeds();
    let mut check = place.command("sha256sum");
    run(check
        .arg("-c")
        .arg(format!("{ARM}.sha256"))
        .current_dir(place.out()))
    .succeeds();
}

#[test]
fn platforms_of_the_command_line_take_the_place_of_the_specs() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let one = spec(&place, &format!("{KEYS}\nplatforms = [\"linux-aarch64\"]"));
    run(&mut place.build(&runtimes, &one)).succeeds();
    assert_eq!(
        names(&place.out()),
        [ARM.to_owned(), format!("{ARM}.sha256")]
    );

    let both = [
        "--platform",
        "linux-64",
        "--platform",
        "linux-aarch64",
        "--json",
    ];
    let report = run(place.build(&runtimes, &one).args(both))
        .succeeds()
        .json();
    assert_eq!(
        packages(&report, "linux-64"),
        ["beta-2.1-0.conda", "alpha-1.0-0.conda"]
    );
    assert_eq!(
        packages(&report, "linux-aarch64"),
        ["beta-2.1-0.conda", "alpha-1.0-0.conda"]
    );
    assert_eq!(names(&place.out()).len(), 4);
}

#[test]
fn the_output_folder_is_made() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let folder = place.join("new/folder");
    let arguments = ["--output-dir", "new/folder", "--platform", "linux-64"];
    let mut build = place.command(env!("CARGO_BIN_EXE_build-installer"));
    build
        .env("ARCHICONDA_CACHE_DIR", place.cache())
        .env("ARCHICONDA_RUNTIMES", runtimes);
    run(build.arg(spec).args(arguments))
        .succeeds()
        .prints(&["new/folder/Example-1.0"]);
    assert!(folder.join(X86).is_file());
    assert!(names(&place.out()).is_empty());
}

#[test]
fn archiconda_installer_is_the_same_command() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let mut build = place.archiconda();
    build
        .arg("installer")
        .arg(spec)
        .arg("--runtimes")
        .arg(&runtimes);
    run(build.arg("--output-dir").arg(place.out())).succeeds();
    installer(&place, X86, &["--check"]).succeeds();
}

#[test]
fn a_dry_run_names_the_packages_and_writes_nothing() {
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let before = snapshot(place.path());
    dry(&place, &spec, &[]).succeeds().prints(&[
        "linux-64",
        "linux-aarch64",
        "alpha-1.0-0.conda",
        "beta-2.1-0.conda",
    ]);
    let after = snapshot(place.path()).without(|path| path.starts_with("cache"));
    assert_same(&before, &after);
}

#[test]
fn the_report_for_scripts() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let arguments = ["--json", "--platform", "linux-64"];
    let report = run(place.build(&runtimes, &spec).args(arguments))
        .succeeds()
        .json();
    let installers = report["installers"].as_array().expect("a list");
    assert_eq!(installers.len(), 1);
    let one = &installers[0];
    let path = place.out().join(X86);
    let bytes = fs::read(&path).expect("an installer");
    assert_eq!(one["platform"], "linux-64");
    assert_eq!(one["file"], path.to_str().expect("UTF-8"));
    assert_eq!(one["size"], bytes.len());
    assert_eq!(one["sha256"], Sha256::of(&bytes).to_string());
    assert_eq!(
        packages(&report, "linux-64"),
        ["beta-2.1-0.conda", "alpha-1.0-0.conda"]
    );
    assert_eq!(one["files"], 2);
    for stage in ["resolve", "fetch", "scan", "pack"] {
        assert!(
            one["seconds"][stage]
                .as_f64()
                .is_some_and(|seconds| seconds >= 0.0),
            "{one}"
        );
    }

    let report = dry(&place, &spec, &["--json"]).succeeds().json();
    let one = &report["installers"][0];
    for key in ["file", "size", "sha256", "files"] {
        assert!(one[key].is_null(), "{key} of a dry run: {one}");
    }
}

#[test]
fn other_outputs_that_the_spec_asks_for() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let outputs = "[\"pkgs_list\", \"lockfile\", \"info.json\", \"licenses\", \
                   { hash = { algorithm = [\"md5\", \"sha512\"] } }]";
    let keys = format!(
        "{KEYS}\nplatforms = [\"linux-64\"]\ninstaller_filename = \"setup.sh\"\n\
         build_outputs = {outputs}"
    );
    let spec = spec(&place, &keys);
    run(&mut place.build(&runtimes, spec)).succeeds();
    let read = |name: &str| fs::read_to_string(place.out().join(name)).expect("an output");
    let bytes = fs::read(place.out().join("setup.sh")).expect("the installer");
    assert_eq!(
        read("setup.sh.md5"),
        format!("{}  setup.sh\n", Md5::of(&bytes))
    );
    assert_eq!(read("setup.sh.sha512").len(), 128 + "  setup.sh\n".len());
    assert!(read("pkg-list.base.txt").contains("alpha"));
    let lock = read("lockfile.base.txt");
    assert!(
        lock.contains("@EXPLICIT\n") && lock.contains("beta-2.1-0.conda#"),
        "{lock}"
    );
    let json = |name: &str| -> Value { serde_json::from_str(&read(name)).expect("JSON") };
    assert_eq!(json("info.json")["_platform"], "linux-64");
    assert!(read("licenses.json").contains("BSD-3-Clause"));
}

#[test]
fn no_platform_takes_the_place_of_another() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let both = format!("{KEYS}\nplatforms = [\"linux-64\", \"linux-aarch64\"]\n");
    let one_name = spec(&place, &format!("{both}installer_filename = \"setup.sh\""));
    run(&mut place.build(&runtimes, &one_name)).exits(2).says(&[
        "linux-64 and linux-aarch64 would both be `setup.sh`",
        "[target.PLATFORM]",
    ]);
    assert!(!place.out().join("setup.sh").exists());
    run(place.build(&runtimes, &one_name).args(["-p", "linux-64"])).succeeds();
    let outputs = "build_outputs = [\"info.json\", \"lockfile\"]";
    let spec = spec(&place, &format!("{both}{outputs}"));
    run(&mut place.build(&runtimes, spec)).succeeds();
    for platform in ["linux-64", "linux-aarch64"] {
        let path = place.out().join(format!("info-{platform}.json"));
        let info: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
        assert_eq!(info["_platform"], platform);
        let lock = place.out().join(format!("lockfile.base-{platform}.txt"));
        let lock = fs::read_to_string(lock).expect("a lock");
        assert!(
            lock.contains(&format!("# platform: {platform}\n")),
            "{lock}"
        );
    }
}

#[test]
fn a_solid_installer_is_not_larger_and_holds_the_same() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    use crate::support::package::{Package, file, text_prefix};
    let place = Place::new();
    // The same text in several packages is what a long window finds again.
    let lines = (0..20_000).map(|line| (line * 7919 % 10_007).to_string());
    let text = lines.collect::<Vec<_>>().join("\n");
    let package = |name: &str| {
        Package::named(&format!("{name} 1.0 0")).with(vec![
            file(&format!("share/{name}/text"), &text),
            text_prefix(&format!("etc/{name}.conf"), "home = @PREFIX@/etc\n"),
        ])
    };
    let packages = [
        package("alpha"),
        package("beta"),
        package("gamma").bzipped(),
    ];
    crate::support::channel::publish(&place, "channel", &packages);
    let keys = "channels = [\"channel\"]\nspecs = [\"alpha\", \"beta\", \"gamma\"]\n\
                platforms = [\"linux-64\"]";
    let plain = spec(&place, keys);
    let size = |compression: &str| {
        let report = run(place.build(&runtimes, &plain).arg("--json"))
            .succeeds()
            .json();
        installer(&place, X86, &["--check"]).succeeds();
        installer(&place, X86, &["-b", "-p", compression]).succeeds();
        report["installers"][0]["size"].as_u64().expect("a size")
    };
    let default = size("default");
    spec(&place, &format!("{keys}\ncompression = \"solid\""));
    let solid = size("solid");
    assert!(
        solid < default,
        "{solid} bytes solid, {default} bytes otherwise"
    );
    // The prefix is in two files of each package and in no other.
    let prefix = |folder: &str| {
        snapshot(&place.join(folder))
            .without(|path| path.starts_with("conda-meta") || path.starts_with("etc/"))
    };
    assert_same(&prefix("default"), &prefix("solid"));
}

#[test]
fn metadata_in_a_packages_content_is_kept_with_it() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    use crate::support::package::{Package, file};
    use crate::support::{channel, raw};
    let place = Place::new();
    // conda-forge's tzdata 2023c is such a package.
    let odd = Package::named("odd 1.0 0").with(vec![file("share/odd", "content")]);
    channel::publish(&place, "channel", std::slice::from_ref(&odd));
    let folder = place.join("channel");
    let content = [
        raw::file("share/odd", "content"),
        raw::file("info/licenses/LICENSE", "free"),
    ];
    let archive = folder.join("linux-64/odd-1.0-0.conda");
    fs::write(archive, raw::package(&odd, &content)).expect("the package");
    channel::index(&place, &folder).succeeds();
    for compression in ["default", "solid"] {
        let spec = spec(
            &place,
            &format!(
                "channels = [\"channel\"]\nspecs = [\"odd\"]\nplatforms = [\"linux-64\"]\n\
                 compression = \"{compression}\""
            ),
        );
        run(&mut place.build(&runtimes, &spec)).succeeds();
        installer(&place, X86, &["--check"]).succeeds();
        installer(&place, X86, &["-b", "-k", "-p", compression]).succeeds();
        let licence = "pkgs/odd-1.0-0/info/licenses/LICENSE";
        let text = fs::read_to_string(place.join(compression).join(licence));
        assert_eq!(text.expect("the licence"), "free");
        assert!(!place.join(compression).join("info").exists());
    }
}

#[test]
fn a_missing_runtime_says_how_to_get_one() {
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    run(&mut place.build(&place.join("nothing"), spec))
        .exits(1)
        .says(&[
            "no runtime for linux-aarch64",
            "cargo xtask runtime",
            "--runtimes",
        ]);
    assert!(names(&place.out()).is_empty());
}

#[test]
fn a_runtime_for_another_machine_is_none() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let swapped = place.join("swapped");
    fs::create_dir(&swapped).expect("a folder");
    fs::copy(
        runtimes.join("runtime-linux-64"),
        swapped.join("runtime-linux-aarch64"),
    )
    .expect("a runtime");
    run(place
        .build(&swapped, spec)
        .args(["--platform", "linux-aarch64"]))
    .exits(1)
    .says(&["is not an executable for linux-aarch64"]);
}

#[test]
fn platforms_that_cannot_be_built_yet() {
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    for platform in ["osx-arm64", "osx-64", "win-64", "linux-ppc64le", "noarch"] {
        dry(&place, &spec, &["--platform", platform])
            .exits(2)
            .says(&[
                platform,
                "cannot be built yet",
                "linux-64 and linux-aarch64",
            ]);
    }
    dry(&place, &spec, &["--platform", "linux-amiga"])
        .exits(2)
        .says(&["linux-amiga"]);
}
