//! Solving: toy channels for the rules, conda-forge as it once was for the rest.

use super::support::{CHANNEL, names, record, record_in, repodata, spec, specs};
use crate::{Error, Request, solve, virtual_packages};
use conda::{RepoDataRecord, Subdir};

fn solved(records: &[Vec<RepoDataRecord>], texts: &[&str]) -> Result<Vec<String>, Error> {
    let request = Request {
        records,
        specs: specs(texts),
        virtual_packages: virtual_packages(Subdir::Linux64, &[]),
        ..Request::default()
    };
    solve(&request).map(|records| {
        records
            .iter()
            .map(|record| record.identifier.to_file_name())
            .collect()
    })
}

#[test]
fn the_newest_is_chosen_and_dependencies_come_first() {
    let channel = vec![
        record("python", "3.6.1", "0", &["openssl >=1.0", "__glibc >=2.12"]),
        record("python", "3.7.0", "0", &["openssl >=1.0"]),
        record("openssl", "1.0.2", "0", &[]),
        record("openssl", "1.1.0", "0", &["__glibc >=2.28"]),
        record("conda", "4.5", "0", &["python"]),
    ];
    assert_eq!(
        solved(std::slice::from_ref(&channel), &["conda"]).expect("a solution"),
        [
            "openssl-1.0.2-0.conda",
            "python-3.7.0-0.conda",
            "conda-4.5-0.conda"
        ],
        "openssl 1.1 needs a newer libc than the baseline"
    );
    assert_eq!(
        solved(&[channel], &["conda", "python 3.6.*"]).expect("a solution"),
        [
            "openssl-1.0.2-0.conda",
            "python-3.6.1-0.conda",
            "conda-4.5-0.conda"
        ]
    );
}

#[test]
fn the_first_channel_that_has_a_name_is_the_only_one_for_it() {
    let first = vec![record_in("https://a.example/one/", "xz", "5.2", "0", &[])];
    let second = vec![
        record_in("https://b.example/two/", "xz", "5.4", "0", &[]),
        record_in("https://b.example/two/", "zlib", "1.2", "0", &["xz"]),
    ];
    let channels = [first, second];
    assert_eq!(
        solved(&channels, &["zlib"]).expect("a solution"),
        ["xz-5.2-0.conda", "zlib-1.2-0.conda"]
    );
    assert_eq!(
        solved(&channels, &["two::zlib"]).expect("a solution"),
        ["xz-5.2-0.conda", "zlib-1.2-0.conda"],
        "a spec may name the channel as the user wrote it"
    );
    assert!(solved(&channels, &["one::zlib"]).is_err_and(|error| error.is_unsolvable()));
    assert!(solved(&channels, &["xz 5.4"]).is_err_and(|error| error.is_unsolvable()));
    let mixed = solve(&Request {
        records: &channels,
        specs: vec![spec("xz")],
        mix_channels: true,
        ..Request::default()
    })
    .expect("a solution");
    assert_eq!(mixed[0].package_record.version.to_string(), "5.4");
}

#[test]
fn a_locked_record_stays_where_the_specs_allow_it() {
    let old = record("xz", "5.2", "0", &[]);
    let channel = vec![record("xz", "5.4", "0", &[]), old.clone()];
    let solve_with = |text| {
        solve(&Request {
            records: std::slice::from_ref(&channel),
            specs: vec![spec(text)],
            locked: vec![old.clone()],
            ..Request::default()
        })
        .expect("a solution")
        .remove(0)
        .package_record
        .version
        .to_string()
    };
    assert_eq!(solve_with("xz"), "5.2");
    assert_eq!(solve_with("xz >=5.3"), "5.4");
}

#[test]
fn a_conflict_is_explained() {
    let channel = vec![
        record("app", "1.0", "0", &["python >=3.7"]),
        record("python", "3.6.1", "0", &[]),
        record("python", "3.7.1", "0", &[]),
    ];
    let error =
        solved(std::slice::from_ref(&channel), &["app", "python 3.6.*"]).expect_err("a conflict");
    assert!(error.is_unsolvable());
    let text = error.to_string();
    for part in ["app", "python >=3.7", "3.6"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let error = solved(&[channel], &["no-such-package"]).expect_err("nothing");
    assert!(error.is_unsolvable());
    assert!(error.to_string().contains("no-such-package"), "{error}");
}

#[test]
fn specs_that_the_solver_cannot_take_are_refused() {
    let channel = [vec![record("xz", "5.2", "0", &[])]];
    let mut archive = spec("xz");
    archive.url = Some(
        format!("{CHANNEL}linux-64/xz-5.2-0.conda")
            .parse()
            .expect("a URL"),
    );
    let options = conda::ParseMatchSpecOptions::lenient().with_exact_names_only(false);
    let many = conda::MatchSpec::from_str("x*", options).expect("a glob");
    for refused in [archive, many] {
        let error = solve(&Request {
            records: &channel,
            specs: vec![refused],
            ..Request::default()
        })
        .expect_err("refused");
        assert!(matches!(error, Error::Spec { .. }), "{error}");
    }
}

#[test]
fn both_formats_of_one_package_may_be_offered() {
    let conda = record("xz", "5.2", "0", &[]);
    let mut bz2 = conda.clone();
    bz2.identifier = "xz-5.2-0.tar.bz2".parse().expect("a name");
    bz2.url = format!("{CHANNEL}linux-64/xz-5.2-0.tar.bz2")
        .parse()
        .expect("a URL");
    for channel in [vec![bz2.clone(), conda.clone()], vec![conda, bz2]] {
        assert_eq!(
            solved(&[channel], &["xz"]).expect("a solution"),
            ["xz-5.2-0.conda"]
        );
    }
}

#[test]
fn conda_forge_of_2017_is_solved() {
    let channel = "https://conda.anaconda.org/conda-forge/";
    let (Some(mut records), Some(noarch)) = (
        repodata(
            "repodata/conda-forge-2017-12/linux-64.repodata.json.bz2",
            channel,
        ),
        repodata(
            "repodata/conda-forge-2017-12/noarch.repodata.json.bz2",
            channel,
        ),
    ) else {
        return;
    };
    records.extend(noarch);
    let request = Request {
        records: &[records],
        specs: specs(&["python 3.6.*", "conda"]),
        virtual_packages: virtual_packages(Subdir::Linux64, &[]),
        ..Request::default()
    };
    let solution = solve(&request).expect("a solution");
    let found = names(&solution);
    assert_eq!(found.len(), 27, "{found:?}");
    for (index, record) in solution.iter().enumerate() {
        assert!(record.package_record.md5.is_some() && record.package_record.sha256.is_none());
        for dependency in &record.package_record.depends {
            let name = dependency.split(' ').next().expect("a name");
            let at = found
                .iter()
                .position(|found| *found == name)
                .expect("provided");
            assert!(
                at < index || (found[index], name) == ("python", "pip"),
                "{name} before {}",
                found[index]
            );
        }
    }
    assert_eq!(solve(&request).expect("again"), solution);
    let numpy = Request {
        specs: specs(&["python 3.6.*", "numpy"]),
        ..request
    };
    let error = solve(&numpy).expect_err("blas came from elsewhere");
    assert!(error.is_unsolvable());
    assert!(error.to_string().contains("numpy"), "{error}");
}
