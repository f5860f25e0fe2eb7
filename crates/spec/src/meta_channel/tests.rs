//! Definitions that are read, and mistakes that are told.

use conda::Subdir;

use super::{Keep, MetaChannel, Mirror, Newer, Priority, read};

const SMALL: &str = r#"
name = "small"
channels = ["conda-forge"]
platforms = ["linux-64"]
roots = ["python 3.13.*"]
"#;

fn parse(text: &str) -> MetaChannel {
    MetaChannel::parse(text).expect(text).definition
}

#[test]
fn the_least_that_can_be_said() {
    let channel = parse(SMALL);
    assert_eq!(channel.name, "small");
    assert_eq!(channel.priority, Priority::Strict);
    assert_eq!(channel.mirror, Mirror::None);
    assert!(channel.run_exports && !channel.no_deps && !channel.cuts());
    assert_eq!(channel.roots(Subdir::Linux64)[0].raw, "python 3.13.*");
    assert!(channel.sets(Subdir::Linux64).is_empty());
}

#[test]
fn every_key() {
    let channel = parse(
        r#"
name = "all"
channels = ["conda-forge", "https://example.org/mine"]
channel_priority = "flexible"
platforms = ["linux-64", "linux-aarch64"]
roots = ["python"]
sets = [["python", "numpy"], ["pip"]]
virtual_specs = ["__glibc >=2.28"]
exclude_newer = 2026-06-01
blacklist = "broken.txt"
pins_file = "conda_build_config.yaml"
no_deps = true
run_exports = false
mirror = "on-demand"
[keep]
versions = 3
builds = 2
max_build_number = true
[pins]
python = ["3.12.*", "3.13.*"]
[exclude]
names = ["*-debug"]
specs = ["numpy <2"]
licenses = ["*GPL*"]
features = ["blas_*"]
[include]
names = ["gdb-debug"]
[target.linux-64]
roots = ["python", "mkl"]
"#,
    );
    assert_eq!(channel.priority, Priority::Flexible);
    assert_eq!(
        channel.keep,
        Keep {
            versions: Some(3),
            builds: Some(2),
            max_build_number: true
        }
    );
    assert!(channel.cuts() && channel.no_deps && !channel.run_exports);
    assert_eq!(channel.mirror, Mirror::OnDemand);
    assert_eq!(channel.pins.len(), 1);
    assert_eq!(channel.exclude.specs[0].raw, "numpy <2");
    assert_eq!(channel.include.names, ["gdb-debug"]);
    assert_eq!(channel.roots(Subdir::Linux64).len(), 2);
    assert_eq!(channel.roots(Subdir::LinuxAarch64).len(), 1);
    // A platform that has one key inherits the others.
    assert_eq!(channel.sets(Subdir::Linux64).len(), 2);
    assert_eq!(channel.virtual_specs(Subdir::LinuxAarch64).len(), 1);
    let end_of_day = read::instant("2026-06-01T23:59:59Z").unwrap() + 999;
    assert_eq!(channel.exclude_newer, Some(Newer::Than(end_of_day)));
}

#[test]
fn instants() {
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1970-01-01", Some(86_399_999)),
        ("2024-02-29T12:00:00Z", Some(1_709_208_000_000)),
        ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
        ("2023-02-29", None),
        ("2023-13-01", None),
        ("2023-1-01", None),
        ("2023-01-01T", None),
        ("2023-01-01T25:00:00Z", None),
        ("2023-01-01T12:00:00", None),
        ("1969-12-31", None),
        ("yesterday", None),
        ("äöüäöüäöü", None),
        ("", None),
    ] {
        assert_eq!(read::instant(text), expected, "{text}");
    }
    let age = parse(&format!("{SMALL}exclude_newer = \"14d\"\n"));
    assert_eq!(age.exclude_newer, Some(Newer::ThanAgo(14 * 86_400_000)));
}

#[test]
fn what_is_refused_and_why() {
    for (more, expected) in [
        ("rots = []", "unknown key `rots`"),
        ("[keep]\nversions = 0", "`keep.versions` is at least 1"),
        ("[keep]\nversion = 1", "did you mean `versions`?"),
        ("[pins]\npython = [\">=1,<\"]", "is no version spec"),
        ("[pins]\npython = []", "`pins.python` is empty"),
        ("[pins]\n\"a b\" = [\"1\"]", "is no package's name"),
        ("exclude_newer = \"soon\"", "which is no date"),
        ("mirror = \"ful\"", "did you mean `full`?"),
        ("channel_priority = \"disabled\"", "expected one of"),
        (
            "[target.linux-64]\nmirror = \"full\"",
            "belongs to the top level",
        ),
        (
            "[target.linux-ppc64le]\nroots = [\"a\"]",
            "not among `platforms`",
        ),
        ("sets = [\"python\"]", "expects a list of specs"),
        ("[exclude]\nspecs = [\"/a/b-1-0.conda\"]", "is an archive"),
    ] {
        let text = format!("{SMALL}{more}\n");
        let error = MetaChannel::parse(&text).expect_err(more).to_string();
        assert!(error.contains(expected), "{more}: {error}");
    }
    let text = SMALL.replace("name = \"small\"", "name = \"linux-64\"");
    let error = MetaChannel::parse(&text)
        .expect_err("a platform")
        .to_string();
    assert!(error.contains("as the folder of a platform"), "{error}");
    let error = MetaChannel::parse("").expect_err("empty");
    assert_eq!(error.diagnostics().count(), 3, "{error}");
    let text = SMALL.replace("roots = [\"python 3.13.*\"]", "");
    let error = MetaChannel::parse(&text).expect_err("no roots").to_string();
    assert!(error.contains("no `roots` for linux-64"), "{error}");
}

#[test]
fn including_without_excluding_is_warned_of() {
    let text = format!("{SMALL}[include]\nnames = [\"a\"]\n");
    let parsed = MetaChannel::parse(&text).expect("a definition");
    assert_eq!(parsed.warnings.len(), 1);
}
