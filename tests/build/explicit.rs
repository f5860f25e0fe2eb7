//! `environment_file`: exactly the packages of a list, in an order that their dependencies allow.

use archive::digest::{Md5, Sha256};
use fs_err as fs;

use super::{X86, dry, installer, packages, spec};
use crate::support::channel::publish;
use crate::support::package::{Package, file};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;

const KEYS: &str = "environment_file = \"list.txt\"\nplatforms = [\"linux-64\"]";

/// `alpha` needs `beta`; both in `channel`, as `.conda` and as `.tar.bz2`.
fn channel(place: &Place) -> [Package; 2] {
    let alpha = Package::named("alpha 1.0 0").needs(&["beta >=2"]);
    let both = [alpha, Package::generic("beta 2.1 0").bzipped()];
    publish(place, "channel", &both);
    both
}

const ORDER: [&str; 2] = ["beta-2.1-0.tar.bz2", "alpha-1.0-0.conda"];

#[test]
fn all_forms_of_a_list() {
    let place = Place::new();
    let [alpha, beta] = channel(&place);
    let server = Server::start(place.path());
    let url = server.url();
    let root = place.path().display();
    let alpha_sha256 = Sha256::of(&alpha.bytes());
    let (alpha_md5, beta_md5) = (Md5::of(&alpha.bytes()), Md5::of(&beta.bytes()));
    let lists = [
        "channel/linux-64/alpha-1.0-0.conda\nchannel/noarch/beta-2.1-0.tar.bz2\n".to_owned(),
        format!(
            "# a comment\n@EXPLICIT\n\n{url}channel/linux-64/alpha-1.0-0.conda#{alpha_md5}\n\
             {url}channel/noarch/beta-2.1-0.tar.bz2#{beta_md5}\n"
        ),
        format!(
            "@EXPLICIT\nfile://{root}/channel/linux-64/alpha-1.0-0.conda#sha256:{alpha_sha256}\n\
             {root}/channel/noarch/beta-2.1-0.tar.bz2#md5:{beta_md5}\n"
        ),
        format!(
            "@EXPLICIT\r\n./channel/linux-64/alpha-1.0-0.conda#{alpha_sha256}\r\n\
             channel/noarch/beta-2.1-0.tar.bz2\r\n"
        ),
    ];
    for list in lists {
        place.write("list.txt", &list);
        let spec = spec(&place, KEYS);
        let report = dry(&place, &spec, &["--json"]).succeeds().json();
        assert_eq!(packages(&report, "linux-64"), ORDER, "{list}");
        assert!(!place.join("dist.lock").exists(), "nothing was solved");
    }
}

#[test]
fn an_installer_from_a_list() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    channel(&place);
    place.write(
        "list.txt",
        "channel/linux-64/alpha-1.0-0.conda\nchannel/noarch/beta-2.1-0.tar.bz2\n",
    );
    let spec = spec(&place, KEYS);
    run(&mut place.build(&runtimes, spec)).succeeds();
    installer(&place, X86, &["-b", "-p", "prefix"]).succeeds();
    for name in ["alpha", "beta"] {
        assert!(
            place.join(format!("prefix/share/{name}/version")).is_file(),
            "{name}"
        );
    }
}

#[test]
fn a_wrong_digest_ends_with_4() {
    for (digest, algorithm) in [("0".repeat(64), "sha256"), ("0".repeat(32), "md5")] {
        let place = Place::new();
        channel(&place);
        let server = Server::start(place.path());
        for channel in ["channel".to_owned(), format!("{}channel", server.url())] {
            place.write(
                "list.txt",
                format!("{channel}/linux-64/alpha-1.0-0.conda#{digest}\n"),
            );
            let spec = spec(&place, KEYS);
            let output = dry(&place, &spec, &[]).exits(4);
            let output = output.says(&[algorithm, "alpha-1.0-0.conda", "expected", &digest]);
            assert_eq!(output.lines("error:").len(), 1, "{output}");
        }
        let kept = crate::support::tree::snapshot(&place.cache());
        let archives = kept
            .paths()
            .into_iter()
            .filter(|path| path.contains("sha256/"))
            .count();
        assert_eq!(archives, 0, "the store is clean: {:?}", kept.paths());
    }
}

#[test]
fn a_missing_dependency_is_a_warning_that_names_it() {
    let place = Place::new();
    channel(&place);
    place.write("list.txt", "channel/linux-64/alpha-1.0-0.conda\n");
    let spec = spec(&place, KEYS);
    let output = dry(&place, &spec, &[]).succeeds();
    let missing = |line: &&str| line.contains("alpha-1.0-0") && line.contains("`beta >=2`");
    assert_eq!(
        output.lines("warning").into_iter().filter(missing).count(),
        1,
        "{output}"
    );
    // Nobody can say whether these are the right bytes.
    let unchecked = |line: &&str| line.contains("digest") && line.contains("alpha-1.0-0.conda");
    assert_eq!(
        output
            .lines("warning")
            .into_iter()
            .filter(unchecked)
            .count(),
        1,
        "{output}"
    );
}

#[test]
fn noarch_python_is_laid_out_for_the_python_of_the_list() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    let python = Package::named("python 3.9.18 0").with(vec![file("bin/python3.9", "#!/bin/sh\n")]);
    let tool = Package::python("tool 1.0 0", &["tool = tool.cli:main"]).with(vec![file(
        "site-packages/tool/cli.py",
        "def main(): pass\n",
    )]);
    publish(&place, "channel", &[python, tool]);
    let tool = "channel/noarch/tool-1.0-0.conda\n";
    place.write(
        "list.txt",
        tool.to_owned() + "channel/linux-64/python-3.9.18-0.conda\n",
    );
    let with = spec(&place, KEYS);
    run(&mut place.build(&runtimes, &with)).succeeds();
    installer(&place, X86, &["-b", "-p", "prefix", "--no-compile"]).succeeds();
    assert!(
        place
            .join("prefix/lib/python3.9/site-packages/tool/cli.py")
            .is_file()
    );
    let script = fs::read_to_string(place.join("prefix/bin/tool")).expect("an entry point");
    assert!(script.contains("from tool.cli import main"), "{script}");

    place.write("list.txt", tool);
    run(&mut place.build(&runtimes, &with))
        .exits(1)
        .says(&["tool-1.0-0", "no python"]);
}

#[test]
fn a_lock_as_a_list() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    channel(&place);
    let keys = "channels = [\"channel\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]";
    run(&mut place.build(&runtimes, spec(&place, keys))).succeeds();
    let solved = fs::read(place.out().join(X86)).expect("an installer");
    fs::rename(place.join("dist.lock"), place.join("list.lock")).expect("a lock");
    let with_lock = KEYS.replace("list.txt", "list.lock") + "\nuser_requested_specs = [\"alpha\"]";
    run(&mut place.build(&runtimes, spec(&place, &with_lock))).succeeds();
    assert!(
        fs::read(place.out().join(X86)).expect("an installer") == solved,
        "the same packages"
    );

    let other = spec(&place, &with_lock.replace("linux-64", "linux-aarch64"));
    dry(&place, &other, &[])
        .exits(1)
        .says(&["linux-aarch64", "only for linux-64"]);
}

#[test]
fn lists_that_are_none() {
    let place = Place::new();
    let arm = Package::named("alpha 1.0 0").on("linux-aarch64");
    publish(
        &place,
        "channel",
        &[
            arm,
            Package::named("alpha 1.0 0"),
            Package::named("alpha 2.0 0"),
        ],
    );
    let cases = [
        ("channel/linux-64/alpha-1.0-0.zip\n", 1, "line 1"),
        (
            "@EXPLICIT\nchannel/linux-64/alpha-1.0-0.conda#12\n",
            1,
            "line 2",
        ),
        (
            "channel/linux-64/absent-1.0-0.conda\n",
            1,
            "absent-1.0-0.conda",
        ),
        (
            "channel/linux-aarch64/alpha-1.0-0.conda\n",
            2,
            "linux-aarch64",
        ),
        (
            "channel/linux-64/alpha-1.0-0.conda\nchannel/linux-64/alpha-2.0-0.conda\n",
            1,
            "`alpha` is named twice",
        ),
        ("version: 6\nnonsense: [\n", 1, "list.txt"),
    ];
    for (list, code, expected) in cases {
        place.write("list.txt", list);
        let output = dry(&place, &spec(&place, KEYS), &[])
            .exits(code)
            .says(&[expected]);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
    }
    fs::remove_file(place.join("list.txt")).expect("a list");
    dry(&place, &spec(&place, KEYS), &[])
        .exits(2)
        .says(&["environment_file", "list.txt"]);
}
