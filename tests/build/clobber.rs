//! One path in two packages.

use super::{X86, installer, spec};
use crate::support::channel::publish;
use crate::support::package::{Package, file, folder};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::snapshot;

const KEYS: &str = "channels = [\"channel\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]";

fn publish_both(place: &Place, alpha: Vec<crate::support::package::File>) {
    let alpha = Package::named("alpha 1.0 0").needs(&["beta"]).with(alpha);
    let beta = Package::named("beta 2.1 0").with(vec![file("share/common", "of beta\n")]);
    publish(place, "channel", &[alpha, beta]);
}

#[test]
fn a_warning_names_both_and_the_winner_is_written() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish_both(&place, vec![file("share/common", "of alpha\n")]);
    let spec = spec(&place, KEYS);
    let output = run(&mut place.build(&runtimes, spec)).succeeds();
    let warnings = output.lines("warning");
    assert_eq!(warnings.len(), 1, "{output}");
    for text in [
        "`share/common`",
        "alpha-1.0-0",
        "beta-2.1-0",
        "the file of alpha-1.0-0 is kept",
    ] {
        assert!(warnings[0].contains(text), "no {text}: {output}");
    }
    installer(&place, X86, &["-b", "-p", "prefix"]).succeeds();
    let common = fs_err::read_to_string(place.join("prefix/share/common")).expect("a file");
    assert_eq!(common, "of alpha\n");
}

/// Installs a channel's packages as rattler does, and says which of them has each file.
const INSTALL: &str = r#"
import asyncio, os, sys
from rattler import install, solve
channel, prefix, cache, *specs = sys.argv[1:]
async def main():
    records = await solve([channel], specs, platforms=["linux-64", "noarch"])
    await install(records, target_prefix=prefix, cache_dir=cache)
    os._exit(0)
asyncio.run(main())
"#;

#[test]
fn who_wins_is_who_wins_with_rattler() {
    let (Some(runtimes), Some(python)) = (requirements::runtimes(), requirements::oracles()) else {
        return;
    };
    let place = Place::new();
    let package = |title: &str, needs: &[&str], paths: &[&str]| {
        let files = paths.iter().map(|path| file(path, format!("of {title}\n")));
        Package::named(&format!("{title} 1.0 0"))
            .needs(needs)
            .with(files.collect())
    };
    let packages = [
        package("dep", &[], &["share/a", "share/b", "share/c"]),
        package("app", &["dep"], &["share/a", "share/d"]),
        package("zed", &["dep"], &["share/b", "share/d", "share/e"]),
        package("mid", &["zed"], &["share/e", "share/f"]),
        package("top", &["mid", "app"], &["share/c", "share/f"]),
        package("also", &[], &["share/d", "share/g"]),
        package("beside", &[], &["share/g"]),
    ];
    publish(&place, "channel", &packages);
    let keys = "channels = [\"channel\"]\nspecs = [\"top\", \"also\", \"beside\"]\nplatforms = [\"linux-64\"]";
    run(&mut place.build(&runtimes, spec(&place, keys))).succeeds();
    installer(&place, X86, &["-b", "-p", "prefix"]).succeeds();
    let channel = format!("file://{}", place.join("channel").display());
    let mut theirs = place.command(&python);
    theirs.args([
        "-c", INSTALL, &channel, "theirs", "rattler", "top", "also", "beside",
    ]);
    run(&mut theirs).succeeds();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let read = |prefix: &str| {
            let path = place.join(prefix).join("share").join(name);
            fs_err::read_to_string(path).expect("a file")
        };
        assert_eq!(read("prefix"), read("theirs"), "{name}");
    }
}

#[test]
fn an_error_where_the_spec_wants_one() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish_both(&place, vec![file("share/common", "of alpha\n")]);
    let spec = spec(&place, &format!("{KEYS}\nignore_duplicate_files = false"));
    run(&mut place.build(&runtimes, spec)).exits(1).says(&[
        "`share/common`",
        "alpha-1.0-0",
        "beta-2.1-0",
        "ignore_duplicate_files",
    ]);
    assert!(snapshot(&place.out()).0.is_empty(), "no installer");
}

#[test]
fn a_file_where_another_package_needs_a_folder() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for content in [
        vec![file("share/common/below", "x")],
        vec![folder("share/common")],
    ] {
        let place = Place::new();
        publish_both(&place, content);
        let spec = spec(&place, KEYS);
        run(&mut place.build(&runtimes, spec)).exits(1).says(&[
            "`share/common`",
            "alpha-1.0-0",
            "beta-2.1-0",
        ]);
        assert!(snapshot(&place.out()).0.is_empty(), "no installer");
    }
}

#[test]
fn extra_files_win_over_packages() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish_both(&place, vec![]);
    place.write("mine", "of the spec\n");
    let keys = format!("{KEYS}\nextra_files = [{{ \"mine\" = \"share/common\" }}]");
    let spec = spec(&place, &keys);
    run(&mut place.build(&runtimes, spec))
        .succeeds()
        .says(&["`share/common`", "extra_files"]);
    installer(&place, X86, &["-b", "-p", "prefix"]).succeeds();
    let common = fs_err::read_to_string(place.join("prefix/share/common")).expect("a file");
    assert_eq!(common, "of the spec\n");
}

#[test]
fn extra_files_that_need_a_folder_where_another_one_is_a_file() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for paths in [["some/place", "some"], ["some", "some/place"]] {
        let place = Place::new();
        publish_both(&place, vec![]);
        place.write("mine", "of the spec\n");
        let [one, other] = paths.map(|path| format!("{{ \"mine\" = \"{path}\" }}"));
        let spec = spec(&place, &format!("{KEYS}\nextra_files = [{one}, {other}]"));
        run(&mut place.build(&runtimes, spec))
            .exits(1)
            .says(&["`some`", "extra_files"]);
        assert!(snapshot(&place.out()).0.is_empty(), "no installer");
    }
}
