//! What the scripts of packages would have made: accounts, links, defaults, alternatives, the bundle of certificates.
//! Each is made of what the packages themselves bring for it, and only if they do; a script is never run. What is
//! made is what debootstrap leaves, but for files about the host and the day.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use debian::alternatives::{self, Group};
use debian::pam;
use fs_err as fs;
use spec::DebianLike;

use super::archives::{Source, keyring_path};
use super::incoming::Incoming;
use super::unpack::Layer;
use super::writer::Writer;
use super::{Failure, Stage};
use crate::error::Error;
use crate::layer::Meta;

/// The groups that own what we make (base-passwd's `group.master`).
const MAIL: u32 = 8;
const SHADOW: u32 = 42;
const UTMP: u32 = 43;

/// Where names lead that several packages can stand behind.
const ALTERNATIVES: &str = "etc/alternatives";
const ALTERNATIVES_BOOKS: &str = "var/lib/dpkg/alternatives";

/// What is there before any package: the links of merged `/usr`, which packages write through, and those of `/var`.
pub(super) fn before(writer: &mut Writer<'_>, architecture: &str) -> Result<(), Failure> {
    let folder = writer.meta(0o755);
    let more: &[&str] = match architecture {
        "amd64" => &["lib64"],
        _ => &[],
    };
    for name in ["bin", "lib", "sbin"].iter().chain(more) {
        writer.folder(&format!("usr/{name}"), folder)?;
        writer.link(name, &format!("usr/{name}"))?;
    }
    writer.folder("run", folder)?;
    writer.folder("run/lock", writer.meta(0o1777))?;
    writer.folder("var", folder)?;
    writer.link("var/run", "/run")?;
    writer.link("var/lock", "/run/lock")
}

/// What comes after all packages.
pub(super) fn after(
    writer: &mut Writer<'_>,
    layer: &Layer<'_>,
    all: &[Incoming<'_>],
) -> Result<(), Failure> {
    if layer.stage == Stage::Root {
        accounts(writer)?;
        files(writer, layer)?;
        sources(writer, layer)?;
    }
    let brings = |folder: &str| {
        let below = format!("/{folder}/");
        let mut lists = all.iter().flat_map(Incoming::paths);
        lists.any(|path| path.starts_with(&below))
    };
    if brings("usr/share/pam-configs") || brings("usr/share/pam") {
        authentication(writer)?;
    }
    if brings("usr/share/debianutils/shells.d") {
        shells(writer)?;
    }
    if brings("usr/share/ca-certificates") {
        certificates(writer)?;
    }
    if brings("usr/share/zoneinfo") && !writer.is_there("etc/localtime") {
        writer.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")?;
        writer.text("etc/timezone", 0o644, "Etc/UTC\n")?;
    }
    if let Some(locale) = &layer.job.target.locale
        && brings("usr/share/i18n")
    {
        // So that the package's own script, when it runs some day, makes the same.
        writer.text("etc/locale.gen", 0o644, &format!("{locale} UTF-8\n"))?;
    }
    chosen(writer, all)
}

/// `/etc/passwd` and its kin, of base-passwd's master files. Passwords are in the shadow, where nobody has one.
fn accounts(writer: &mut Writer<'_>) -> Result<(), Failure> {
    for (file, shadow, fields) in [
        ("passwd", "shadow", ":*::0:99999:7:::"),
        ("group", "gshadow", ":*::"),
    ] {
        let master = format!("usr/share/base-passwd/{file}.master");
        let Some(text) = writer.root.text(&master).map(str::to_owned) else {
            continue;
        };
        let (mut open, mut hidden) = (String::new(), String::new());
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(name), Some(_), Some(rest)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let _ = writeln!(open, "{name}:x:{rest}");
            let _ = writeln!(hidden, "{name}{fields}");
        }
        let path = format!("etc/{file}");
        if writer.is_there(&path) {
            continue;
        }
        writer.text(&path, 0o644, &open)?;
        owned(writer, &format!("etc/{shadow}"), 0o640, SHADOW, &hidden)?;
    }
    Ok(())
}

/// Files and folders that base-files and its neighbours make.
fn files(writer: &mut Writer<'_>, layer: &Layer<'_>) -> Result<(), Failure> {
    let folder = writer.meta(0o755);
    writer.folder("root", writer.meta(0o700))?;
    for (from, to) in [
        ("base-files/dot.profile", "root/.profile"),
        ("base-files/dot.bashrc", "root/.bashrc"),
        ("base-files/profile", "etc/profile"),
        ("base-files/motd", "etc/motd"),
        ("base-files/info.dir", "usr/share/info/dir"),
        ("libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
    ] {
        let text = writer.root.text(&format!("usr/share/{from}"));
        let Some(text) = text.map(str::to_owned) else {
            continue;
        };
        if !writer.is_there(to) {
            writer.text(to, 0o644, &text)?;
        }
    }
    for name in [
        "mnt",
        "srv",
        "opt",
        "etc/opt",
        "var/opt",
        "media",
        "usr/local",
        "usr/local/share",
        "usr/local/share/man",
        "usr/local/bin",
        "usr/local/games",
        "usr/local/lib",
        "usr/local/include",
        "usr/local/sbin",
        "usr/local/src",
        "usr/local/etc",
        // Where engines mount something.
        "dev",
        "proc",
        "sys",
    ] {
        writer.folder(name, folder)?;
    }
    writer.folder("tmp", writer.meta(0o1777))?;
    writer.folder("var/tmp", writer.meta(0o1777))?;
    let mail = Meta {
        owner: (0, MAIL),
        ..writer.meta(0o2775)
    };
    writer.folder("var/mail", mail)?;
    for (path, target) in [
        ("var/spool/mail", "../mail"),
        ("usr/local/man", "share/man"),
    ] {
        if !writer.is_there(path) {
            writer.link(path, target)?;
        }
    }
    let origin = match layer.sources.distribution {
        DebianLike::Debian => "debian",
        DebianLike::Ubuntu => "ubuntu",
    };
    let origins = "etc/dpkg/origins";
    if writer.is_there(&format!("{origins}/{origin}"))
        && !writer.is_there(&format!("{origins}/default"))
    {
        writer.link(&format!("{origins}/default"), origin)?;
    }
    for (path, mode) in [
        ("var/log/wtmp", 0o664),
        ("var/log/btmp", 0o660),
        ("var/log/lastlog", 0o664),
    ] {
        owned(writer, path, mode, UTMP, "")?;
    }
    for (path, mode, text) in [
        ("var/log/faillog", 0o644, ""),
        ("etc/environment", 0o644, ""),
        ("etc/subuid", 0o644, ""),
        ("etc/subgid", 0o644, ""),
        ("etc/security/opasswd", 0o600, ""),
        // Empty, each machine makes its own (machine-id(5)).
        ("etc/machine-id", 0o444, ""),
        ("var/cache/debconf/config.dat", 0o644, ""),
        ("var/cache/debconf/templates.dat", 0o644, ""),
        ("var/cache/debconf/passwords.dat", 0o600, ""),
    ] {
        if !writer.is_there(path) {
            writer.text(path, mode, text)?;
        }
    }
    Ok(())
}

/// Where apt finds more.
fn sources(writer: &mut Writer<'_>, layer: &Layer<'_>) -> Result<(), Failure> {
    if !writer.is_there("etc/apt") {
        return Ok(());
    }
    let (path, _) = keyring_path(
        layer.job.recipe.folder,
        layer.archive,
        layer.sources.distribution,
    );
    let signed = if layer.archive.trusted {
        "Trusted: yes".to_owned()
    } else if layer.archive.keyring.is_none() {
        format!("Signed-By: {}", path.display())
    } else {
        let bytes = fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let armoured = bytes.starts_with(b"-----BEGIN");
        let ending = if armoured { "asc" } else { "gpg" };
        let place = format!("etc/apt/keyrings/archive.{ending}");
        let (meta, what) = (
            writer.meta(0o644),
            crate::layer::What::File(bytes.len() as u64),
        );
        let written = writer.entry(&place, meta, what, &mut bytes.as_slice());
        written.map_err(|fault| writer.ours(fault))?;
        writer.made.push(format!("/{place}"));
        format!("Signed-By: /{place}")
    };
    let stanza = |source: &Source| {
        // What is between a name and a server is the business of who bakes, not of who runs.
        let mirror = conda::credentials::without(&source.mirror);
        format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n{signed}\n",
            mirror.as_str().trim_end_matches('/'),
            source.suite,
            source.components.join(" ")
        )
    };
    let stanzas: Vec<String> = layer.sources.all.iter().map(stanza).collect();
    let name = match layer.sources.distribution {
        DebianLike::Debian => "debian",
        DebianLike::Ubuntu => "ubuntu",
    };
    let path = format!("etc/apt/sources.list.d/{name}.sources");
    writer.text(&path, 0o644, &stanzas.join("\n"))
}

/// `/etc/pam.d/common-*`.
fn authentication(writer: &mut Writer<'_>) -> Result<(), Failure> {
    const CONFIGS: &str = "usr/share/pam-configs/";
    let profiles: Vec<pam::Profile> = writer
        .root
        .texts_below(CONFIGS)
        .map(|(path, text)| pam::Profile::parse(path.strip_prefix(CONFIGS).unwrap_or(path), text))
        .collect();
    let enabled = pam::enabled(&profiles);
    for kind in pam::TYPES {
        let template = writer.root.text(&format!("usr/share/pam/common-{kind}"));
        let Some(made) = template.and_then(|text| pam::make(kind, text, &enabled)) else {
            continue;
        };
        writer.text(&format!("etc/pam.d/common-{kind}"), 0o644, &made.common)?;
        writer.text(&format!("var/lib/pam/{kind}"), 0o644, &made.saved)?;
    }
    let seen: String = profiles.iter().flat_map(|one| [one.name(), "\n"]).collect();
    writer.text("var/lib/pam/seen", 0o644, &seen)
}

/// `/etc/shells`: those of before, and each that a package brings, by both of its names (update-shells(8)).
fn shells(writer: &mut Writer<'_>) -> Result<(), Failure> {
    const SHELLS: &str = "usr/share/debianutils/shells.d/";
    let before = writer.root.text("etc/shells");
    let mut text = before
        .unwrap_or("# /etc/shells: valid login shells\n")
        .to_owned();
    let mut state = String::new();
    let own = writer.root.text("usr/share/debianutils/shells");
    let brought: Vec<String> = own
        .into_iter()
        .chain(writer.root.texts_below(SHELLS).map(|(_, text)| text))
        .flat_map(str::lines)
        .filter(|line| line.starts_with('/'))
        .map(str::to_owned)
        .collect();
    for shell in brought {
        for name in [shell.clone(), format!("/usr{shell}")] {
            if name.starts_with("/usr/usr") {
                continue;
            }
            if !text.lines().any(|line| line == name) {
                let _ = writeln!(text, "{name}");
            }
            let _ = writeln!(state, "{name}");
        }
    }
    writer.text("etc/shells", 0o644, &text)?;
    writer.text("var/lib/shells.state", 0o644, &state)
}

/// The bundle of certificates, and each by its name (update-ca-certificates(8)).
fn certificates(writer: &mut Writer<'_>) -> Result<(), Failure> {
    const BROUGHT: &str = "usr/share/ca-certificates/";
    let all: Vec<(String, String)> = writer
        .root
        .texts_below(BROUGHT)
        .filter(|(path, _)| {
            Path::new(path)
                .extension()
                .is_some_and(|ending| ending == "crt")
        })
        .map(|(path, text)| {
            (
                path.strip_prefix(BROUGHT).unwrap_or(path).to_owned(),
                text.to_owned(),
            )
        })
        .collect();
    let known = writer
        .root
        .text("etc/ca-certificates.conf")
        .unwrap_or_default();
    // Who took one out of the list does not want it.
    let unwanted: Vec<String> = known
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .map(str::to_owned)
        .collect();
    let (mut bundle, mut list) = (String::new(), String::new());
    for (name, text) in &all {
        if unwanted.contains(name) {
            let _ = writeln!(list, "!{name}");
            continue;
        }
        bundle.push_str(text);
        if !text.ends_with('\n') {
            bundle.push('\n');
        }
        let _ = writeln!(list, "{name}");
        let stem = name
            .rsplit('/')
            .next()
            .unwrap_or(name)
            .trim_end_matches(".crt");
        let link = format!("etc/ssl/certs/{stem}.pem");
        if !writer.is_there(&link) {
            let target = format!("/{BROUGHT}{name}");
            let meta = writer.meta(0o777);
            let what = crate::layer::What::Link(&target);
            let written = writer.entry(&link, meta, what, &mut std::io::empty());
            written.map_err(|fault| writer.ours(fault))?;
        }
    }
    writer.text("etc/ca-certificates.conf", 0o644, &list)?;
    writer.text("etc/ssl/certs/ca-certificates.crt", 0o644, &bundle)
}

/// The links of alternatives.
fn chosen(writer: &mut Writer<'_>, all: &[Incoming<'_>]) -> Result<(), Failure> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for one in all {
        for script in ["preinst", "postinst"] {
            let (installs, _) = alternatives::installs(one.control.text(script).unwrap_or(""));
            for mut install in installs {
                // As update-alternatives does: what leads nowhere is left out.
                if !writer.leads_somewhere(&install.path) {
                    continue;
                }
                install
                    .slaves
                    .retain(|(_, _, path)| writer.leads_somewhere(path));
                let book = format!("{ALTERNATIVES_BOOKS}/{}", install.name);
                let group = groups.entry(install.name.clone()).or_insert_with(|| {
                    let known = writer.root.text(&book).and_then(Group::parse);
                    known.unwrap_or_default()
                });
                group.add(&install);
            }
        }
    }
    for (name, group) in &groups {
        let meta = writer.meta(0o644);
        writer.file(&format!("{ALTERNATIVES_BOOKS}/{name}"), meta, &group.text())?;
        for (link, name, path) in group.links(name) {
            let link = link.trim_start_matches('/');
            let place = writer.place(link).map_err(|fault| writer.ours(fault))?;
            let target = format!("/{ALTERNATIVES}/{name}");
            // A file of a package is no link of ours.
            if matches!(writer.root.node(&place), Some(crate::root::Node::Other)) {
                continue;
            }
            writer.link(&format!("{ALTERNATIVES}/{name}"), path)?;
            writer.link(link, &target)?;
        }
    }
    Ok(())
}

/// A file that we make for a group.
fn owned(
    writer: &mut Writer<'_>,
    path: &str,
    mode: u32,
    group: u32,
    text: &str,
) -> Result<(), Failure> {
    if writer.is_there(path) {
        return Ok(());
    }
    let meta = Meta {
        owner: (0, group),
        ..writer.meta(mode)
    };
    writer.file(path, meta, text)?;
    writer.made.push(format!("/{path}"));
    Ok(())
}
