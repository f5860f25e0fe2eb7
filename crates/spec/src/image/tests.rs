//! Definitions of images: what they come to, and what is said of those that are wrong.

use conda::Subdir;

use super::{
    Base, Content, DebianLike, Image, LayerCompression, LinkScripts, Trim, TrimGroup, User, Variant,
};

fn parse(text: &str) -> Image {
    match Image::parse(text) {
        Ok(parsed) => parsed.definition,
        Err(error) => panic!("{}", error.render("image.toml")),
    }
}

fn refused(text: &str) -> String {
    match Image::parse(text) {
        Ok(_) => panic!("not refused:\n{text}"),
        Err(error) => error.render("image.toml"),
    }
}

#[test]
fn the_shortest_definition_has_defaults() {
    let image = parse("installer = \"../specs/a.toml\"");
    assert_eq!(image.installer.as_deref(), Some("../specs/a.toml"));
    assert_eq!(image.finished().count(), 0);
    assert_eq!((image.layers, image.platforms.as_deref()), (10, None));
    let target = image.target(Subdir::Linux64);
    assert_eq!(target.base, Base::Scratch);
    assert_eq!(target.prefix, "/opt/conda");
    assert!(target.tags.is_empty() && target.user.is_none());
}

#[test]
fn finished_installers_are_for_one_platform_each() {
    let image = parse("installer = \"a.sh\"\npackages = []");
    assert_eq!(image.installer, None);
    assert_eq!(image.finished().collect::<Vec<_>>(), [(None, "a.sh")]);
    let image = parse(
        "[target.linux-64]\ninstaller = \"a.sh\"\n[target.linux-aarch64]\ninstaller = \"b.sh\"",
    );
    assert_eq!(
        image.finished().collect::<Vec<_>>(),
        [
            (Some(Subdir::Linux64), "a.sh"),
            (Some(Subdir::LinuxAarch64), "b.sh")
        ]
    );
    let target = image.target(Subdir::LinuxAarch64);
    assert_eq!(target.installer.as_deref(), Some("b.sh"));
}

#[test]
fn a_base_in_a_registry_has_a_name_as_docker_has_it() {
    let digest = format!("h.example:5000/a/b@sha256:{}", "0a".repeat(32));
    for name in [
        "debian",
        "debian:bookworm-slim",
        "127.0.0.1:5000/a",
        &digest,
    ] {
        let image = parse(&format!("installer = \"a\"\nbase = \"docker://{name}\""));
        let base = image.target(Subdir::Linux64).base;
        assert_eq!(base, Base::Registry(name.to_owned()));
    }
}

#[test]
fn what_is_left_out_is_a_group_or_a_pattern() {
    let image = parse("installer = \"a\"\ntrim = [\"tests\", \"share/**/*.txt\", \"*.md\"]");
    assert_eq!(
        image.target(Subdir::Linux64).trim,
        [
            Trim::Group(TrimGroup::Tests),
            Trim::Glob("share/**/*.txt".to_owned()),
            Trim::Glob("*.md".to_owned())
        ]
    );
    for (trim, expected) in [
        ("[\"test\"]", "`test` is no group of files"),
        ("[\"a/**b\"]", "is no pattern"),
        ("[\"/lib/*.a\"]", "is not relative to the prefix"),
        ("\"tests\"", "`trim`"),
    ] {
        let message = refused(&format!("installer = \"a\"\ntrim = {trim}"));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn every_key_is_read() {
    let image = parse(
        r#"
installer = "../specs/a.toml"
platforms = ["linux-aarch64", "linux-64"]
base = "oci:bases/debian:bookworm"
prefix = "/opt/archiconda3/"
packages = ["numpy >=2"]
prefetch = ["pytest"]
files = [
    { path = "/etc/motd", text = "hello\n" },
    { path = "/usr/local/bin/run", source = "run.sh", mode = "755", owner = "1000:1000" },
    { path = "/etc/localtime", link = "/usr/share/zoneinfo/UTC" },
]
env = { LANG = "en_US.UTF-8" }
user = { name = "builder", uid = 1001 }
workdir = "/work"
entrypoint = ["/bin/sh", "-c"]
cmd = ["bash"]
labels = { "org.example.a" = "b" }
annotations = { "org.opencontainers.image.vendor" = "c" }
layers = 20
tags = ["archiconda3:latest", "registry.example.org:5000/team/archiconda3:1.0"]
compression = "zstd"
pyc = "skip"
link_scripts = "skip"

[target.linux-64]
base = "scratch"
packages = []
"#,
    );
    assert_eq!(
        (image.layers, image.compression),
        (20, LayerCompression::Zstd)
    );
    assert_eq!(image.link_scripts, LinkScripts::Skip);
    let arm = image.target(Subdir::LinuxAarch64);
    let base = Base::Layout {
        path: "bases/debian".to_owned(),
        reference: Some("bookworm".to_owned()),
    };
    assert_eq!((arm.base, arm.prefix.as_str()), (base, "/opt/archiconda3"));
    assert_eq!(arm.packages[0].raw, "numpy >=2");
    assert_eq!(arm.files.len(), 3);
    assert_eq!(
        (arm.files[1].mode, arm.files[1].owner),
        (Some(0o755), (1000, 1000))
    );
    assert_eq!(arm.files[1].content, Content::Source("run.sh".to_owned()));
    let Some(User::New(account)) = arm.user else {
        panic!("no account")
    };
    assert_eq!((account.uid, account.gid), (1001, 1001));
    assert_eq!(account.home, "/home/builder");
    let intel = image.target(Subdir::Linux64);
    assert_eq!((intel.base, intel.packages.len()), (Base::Scratch, 0));
    assert_eq!(intel.cmd.as_deref(), Some(&["bash".to_owned()][..]));
}

#[test]
fn environments_are_replaced_whole() {
    let image = parse(
        "installer = \"a\"\n[envs.py310]\npackages = [\"python 3.10.*\", \"numpy\"]\n[envs.x]\npackages = [\"x\"]\n\
         [target.linux-64.envs.\"py3.9\"]\npackages = [\"python 3.9.*\"]",
    );
    let names = |platform| {
        let envs = image.target(platform).envs;
        let sizes = envs
            .into_iter()
            .map(|(name, env)| (name, env.packages.len()));
        sizes.collect::<Vec<_>>()
    };
    assert_eq!(
        names(Subdir::LinuxAarch64),
        [("py310".to_owned(), 2), ("x".to_owned(), 1)]
    );
    assert_eq!(names(Subdir::Linux64), [("py3.9".to_owned(), 1)]);
}

#[test]
fn bases_are_told_apart_by_their_prefix() {
    let base = |text: &str| {
        parse(&format!("installer = \"a\"\nbase = \"{text}\""))
            .target(Subdir::Linux64)
            .base
    };
    let named =
        |path: &str, reference: Option<&str>| (path.to_owned(), reference.map(str::to_owned));
    assert_eq!(base("./debian.tar"), Base::Path("./debian.tar".to_owned()));
    let (path, reference) = named("d.tar", Some("debian:12"));
    assert_eq!(
        base("docker-archive:d.tar:debian:12"),
        Base::DockerArchive { path, reference }
    );
    let (path, reference) = named("d.tar", None);
    assert_eq!(
        base("oci-archive:d.tar"),
        Base::OciArchive { path, reference }
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("", "`installer` is missing"),
        ("instaler = \"a\"", "did you mean `installer`?"),
        (
            "installer = \"a.sh\"\npackages = [\"pip\"]",
            "`packages` needs channels to take packages from",
        ),
        (
            "installer = \"a.sh\"\n[target.linux-64]\nprefetch = [\"pip\"]",
            "name the distribution's spec as `installer`",
        ),
        (
            "[target.linux-64]\ninstaller = \"a.toml\"",
            "`a.toml` is no finished installer (`.sh`)",
        ),
        (
            "installer = \"a.toml\"\n[target.linux-64]\ninstaller = \"a.sh\"",
            "`installer` is a spec at the top and a finished installer in `target`",
        ),
        ("debs = [\"curl=7\"]", "is no name of a Debian package"),
        ("debs = {}", "`debs` names no packages"),
        ("locale = \"english\"", "which is no locale"),
        ("locale = \"en_US\"", "which is no locale"),
        ("locale = \"de_DE@euro\"", "which is no locale"),
        ("base = {}", "`base` names no distribution"),
        ("base = { debian = {} }", "`base.debian` has no `suite`"),
        ("base = { fedora = {} }", "unknown key `fedora` in `base`"),
        (
            "base = { debian = { suite = \"bookworm\", mirorr = \"http://x\" } }",
            "did you mean `mirror`?",
        ),
        (
            "base = { debian = { suite = \"../x\" } }",
            "which is no usable name",
        ),
        (
            "base = { debian = { suite = \"a\", mirror = \"ftp://x\" } }",
            "which is no address",
        ),
        ("envs = [\"a\"]", "`envs` expects a table"),
        (
            "[envs.base]\npackages = [\"a\"]",
            "is the base environment's name",
        ),
        (
            "[envs.\"..\"]\npackages = [\"a\"]",
            "`..` in `envs` is no name",
        ),
        (
            "[envs.\"a/b\"]\npackages = [\"a\"]",
            "is no name of an environment",
        ),
        (
            "[envs.\"a b\"]\npackages = [\"a\"]",
            "names have letters, digits",
        ),
        ("[envs.a]", "`envs.a` has no `packages`"),
        ("[envs.a]\npackages = []", "`packages` of `envs.a` is empty"),
        (
            "[envs.a]\nspecs = [\"a\"]",
            "an image calls them `packages`",
        ),
        (
            "[envs.a]\nchannels = [\"a\"]",
            "have the distribution's channels",
        ),
        ("[envs.a]\nfile = \"a\"", "unknown key `file` in `envs.a`"),
        (
            "installer = \"a.sh\"\n[envs.a]\npackages = [\"pip\"]",
            "`envs` needs channels",
        ),
        (
            "pyc = \"emulate\"\n[target.linux-64]\ntrim = [\"pycache\"]",
            "`pyc` makes what `trim` leaves out",
        ),
        ("pyc = \"no\"", "expected one of \"skip\""),
        (
            "link_scripts = \"later\"",
            "expected one of \"error\", \"skip\"",
        ),
        (
            "base = \"docker:debian:12\"",
            "\"docker://NAME:TAG\" for one in a registry",
        ),
        ("base = \"docker://Debian:12\"", "only lower-case letters"),
        (
            "base = \"docker://debian@sha256:00\"",
            "a digest that is none",
        ),
        (
            "base = \"containers-storage:a\"",
            "images from `containers-storage:` are not read here",
        ),
        ("base = \"oci:\"", "`oci:` names no file or folder"),
        ("prefix = \"opt/conda\"", "write \"/opt/conda\""),
        ("prefix = \"/\"", "`prefix` is the root"),
        ("prefix = \"/opt/my conda\"", "`prefix` may hold only"),
        ("prefix = \"/opt/../x\"", "`prefix` has an empty name"),
        (
            "packages = [\"https://h/linux-64/a-1-0.conda\"]",
            "is an archive, not a spec",
        ),
        ("layers = 1", "`layers` is a number from 2 to 120"),
        ("layers = 121", "`layers` is a number from 2 to 120"),
        ("tags = [\"Archiconda3:1\"]", "lower-case"),
        ("tags = [\"archiconda3\"]", "has no tag"),
        ("tags = [\"a@sha256:0\"]", "has a digest"),
        ("user = \"a b\"", "which is no user"),
        ("user = { uid = 5 }", "`user` has no `name`"),
        ("user = { name = \"a:b\" }", "is no name of an account"),
        (
            "files = [{ path = \"etc/x\", text = \"\" }]",
            "write \"/etc/x\"",
        ),
        (
            "files = [{ path = \"/etc/x\" }]",
            "one of `source`, `text` and `link`",
        ),
        (
            "files = [{ path = \"/x\", text = \"\", mode = \"9\" }]",
            "which is no mode",
        ),
        (
            "files = [{ path = \"/x\", text = \"\", owner = \"me\" }]",
            "which is no owner",
        ),
        (
            "files = [{ path = \"/x\", text = \"\" }, { path = \"/x\", link = \"y\" }]",
            "twice",
        ),
        (
            "files = [{ path = \"/x\", text = \"\" }, { path = \"/x.d\", text = \"\" }, { path = \"/x/y\", text = \"\" }]",
            "`files` has `/x`, which is no folder, and `/x/y` in it",
        ),
        (
            "files = [{ path = \"/opt\", link = \"/x\" }]",
            "`files` has `/opt` in the place of the prefix, `/opt/conda`",
        ),
        (
            "files = [{ path = \"/p/q\", text = \"\" }]\n[target.linux-64]\nprefix = \"/p/q\"",
            "in the place of the prefix, `/p/q`",
        ),
        (
            "files = [{ path = \"/a/.wh.b\", text = \"\" }]",
            "takes away",
        ),
        ("env = { \"A=B\" = \"c\" }", "is no name of a variable"),
        ("env = { A = 1 }", "write it in quotes: \"1\""),
        (
            "[target.linux-64]\nlayers = 3",
            "`layers` belongs to the top level",
        ),
        (
            "[target.linux-46]\nbase = \"scratch\"",
            "did you mean `linux-64`?",
        ),
    ] {
        let whole = if text.contains("instal") || text.is_empty() {
            text.to_owned()
        } else {
            format!("installer = \"a\"\n{text}")
        };
        let said = refused(&whole);
        assert!(said.contains(expected), "{whole}\n{said}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let said = refused("installer = 1\nlayers = \"x\"\nbase = 2\nfoo = 3\n");
    assert_eq!(said.matches("image.toml:").count(), 4, "{said}");
}

#[test]
fn debian_packages_and_what_a_locale_says() {
    let image = parse(
        r#"
installer = "../specs/a.toml"
base = { debian = { suite = "bookworm", packages = ["ca-certificates"], components = ["main", "contrib"] } }
debs = ["bzip2", "g++"]
locale = "en_US.utf8"
env = { LANG = "C" }

[target.linux-64]
base = { ubuntu = { suite = "noble", variant = "essential", mirror = "https://mirror/ubuntu/", keyring = "k.gpg" } }
debs = { packages = ["curl"], suite = "noble-backports", trusted = true, updates = false }
locale = "C.UTF-8"
"#,
    );
    let arm = image.target(Subdir::LinuxAarch64);
    let Base::Debian(root) = arm.base else {
        panic!("no root")
    };
    assert_eq!(root.archive.distribution, Some(DebianLike::Debian));
    assert_eq!(root.archive.suite.as_deref(), Some("bookworm"));
    assert_eq!(
        (root.variant, root.packages),
        (Variant::Minbase, vec!["ca-certificates".to_owned()])
    );
    assert_eq!(arm.debs.packages, ["bzip2", "g++"]);
    assert_eq!(arm.debs.archive.distribution, None);
    assert_eq!(arm.locale.as_deref(), Some("en_US.UTF-8"));
    let env: Vec<(&str, &str)> = arm
        .env
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        env,
        [
            ("LANG", "C"),
            ("LANGUAGE", "en_US:en"),
            ("LC_ALL", "en_US.UTF-8")
        ]
    );
    let intel = image.target(Subdir::Linux64);
    let Base::Debian(root) = intel.base else {
        panic!("no root")
    };
    assert_eq!(root.archive.distribution, Some(DebianLike::Ubuntu));
    assert_eq!(
        root.archive.mirror.as_deref(),
        Some("https://mirror/ubuntu")
    );
    assert_eq!(root.variant, Variant::Essential);
    assert!(intel.debs.archive.trusted && intel.debs.archive.updates == Some(false));
    assert!(!intel.env.contains_key("LANGUAGE"));
}
