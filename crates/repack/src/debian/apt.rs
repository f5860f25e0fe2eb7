//! apt with a state of our own: own lists, own cache and status, another architecture, and nothing
//! that the host has installed. Of the host it takes how the archive is reached: the addresses of
//! its Debian sources where it has such, proxies and credentials. Signatures are checked, always.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::lock::Deb;
use crate::program::APT_GET;
use crate::target::Target;
use crate::{Error, error, program};

/// The keys that sign Debian's archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HINT: &str =
    "use a machine with Debian or Ubuntu, or give a folder of .deb files with --debs";

/// A private state of apt for one architecture.
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Makes the state in an empty folder and fetches the lists of packages.
    pub(crate) fn new(folder: &Path, target: Target, suites: &[String]) -> Result<Apt, Error> {
        let apt = Apt {
            folder: folder.to_owned(),
        };
        for part in ["lists/partial", "cache/archives/partial", "sources"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(error::file("make", &part))?;
        }
        if !Path::new(KEYRING).is_file() {
            return Err(Error::NoProgram {
                program: KEYRING.to_owned(),
                hint: "apt install debian-archive-keyring".to_owned(),
            });
        }
        apt.write("status", "")?;
        apt.write("sources.list", &sources(suites)?)?;
        apt.write("apt.conf", &apt.configuration(target)?)?;
        APT_GET.run(apt.command("apt-get").args(["--quiet", "update"]))?;
        Ok(apt)
    }

    /// The state that [`Apt::new`] made in a folder.
    pub(crate) fn reopen(folder: &Path) -> Apt {
        Apt {
            folder: folder.to_owned(),
        }
    }

    /// The newest version of each package, with its digest.
    pub(crate) fn resolve(&self, names: &[&str]) -> Result<Vec<Deb>, Error> {
        let mut show = self.command("apt-cache");
        show.args(["show", "--no-all-versions"]).args(names);
        let records = text(&program::run(&mut show, HINT)?);
        let mut madison = self.command("apt-cache");
        let madison = text(&program::run(madison.arg("madison").args(names), HINT)?);
        let mut suites: HashMap<(&str, &str), &str> = HashMap::new();
        for line in madison.lines() {
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            if let [name, version, origin] = *fields {
                // An address, `bookworm/main`, an architecture and what it is.
                let suite = origin.split_whitespace().nth(1).unwrap_or_default();
                let suite = suite.split('/').next().unwrap_or_default();
                suites.entry((name, version)).or_insert(suite);
            }
        }
        let mut found = BTreeMap::new();
        for record in records.split("\n\n") {
            let fields: HashMap<&str, &str> = record
                .lines()
                .filter(|line| !line.starts_with(' '))
                .filter_map(|line| line.split_once(": "))
                .collect();
            let field = |name| fields.get(name).copied().unwrap_or_default().trim();
            let (name, version) = (field("Package"), field("Version"));
            if name.is_empty() {
                continue;
            }
            found.entry(name).or_insert(Deb {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: field("Architecture").to_owned(),
                suite: suites
                    .get(&(name, version))
                    .copied()
                    .unwrap_or_default()
                    .to_owned(),
                size: field("Size").parse().unwrap_or_default(),
                sha256: field("SHA256").to_owned(),
            });
        }
        let take = |name: &&str| {
            let deb = found.get(name).filter(|deb| deb.sha256.len() == 64);
            deb.cloned().ok_or_else(|| Error::NoDeb {
                name: (*name).to_owned(),
                place: "the archive".to_owned(),
            })
        };
        names.iter().map(take).collect()
    }

    /// Downloads packages into a folder, and returns the files' paths.
    pub(crate) fn download(&self, debs: &[&Deb]) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder.join("debs");
        fs::create_dir_all(&folder).map_err(error::file("make", &folder))?;
        let mut command = self.command("apt-get");
        command.current_dir(&folder).args(["--quiet", "download"]);
        command.args(
            debs.iter()
                .map(|deb| format!("{}={}", deb.name, deb.version)),
        );
        APT_GET.run(&mut command).map_err(|error| Error::Download {
            source: Box::new(error),
        })?;
        let listed = fs::read_dir(&folder).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()
        });
        listed.map_err(error::file("list", &folder))
    }

    /// A program of apt's with this state.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env("LC_ALL", "C")
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .stdin(std::process::Stdio::null());
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(error::file("write", &path))
    }

    /// How the host reaches servers, and everything else our own way.
    fn configuration(&self, target: Target) -> Result<String, Error> {
        let mut dump = Command::new("apt-config");
        let host = text(&program::run(dump.env("LC_ALL", "C").arg("dump"), HINT)?);
        let kept = host.lines().filter(|line| {
            line.starts_with("Acquire::")
                && !["IndexTargets", "Allow", "Languages"]
                    .iter()
                    .any(|section| {
                        line.get("Acquire::".len()..)
                            .unwrap_or_default()
                            .starts_with(section)
                    })
        });
        let mut lines: Vec<String> = kept.map(str::to_owned).collect();
        let folder = self.folder.display();
        lines.extend([
            format!("Dir::State \"{folder}\";"),
            format!("Dir::State::lists \"{folder}/lists\";"),
            format!("Dir::State::status \"{folder}/status\";"),
            format!("Dir::Cache \"{folder}/cache\";"),
            format!("Dir::Etc::sourcelist \"{folder}/sources.list\";"),
            format!("Dir::Etc::sourceparts \"{folder}/sources\";"),
            format!("Dir::Etc::preferences \"{folder}/none\";"),
            format!("Dir::Etc::preferencesparts \"{folder}/sources\";"),
            // Hooks of the host clean up after the host's own installations.
            format!("Dir::Etc::parts \"{folder}/sources\";"),
            "Dir::Etc::main \"/dev/null\";".to_owned(),
            format!("APT::Architecture \"{}\";", target.architecture),
            format!("APT::Architectures {{ \"{}\"; }};", target.architecture),
            "APT::Get::AllowUnauthenticated \"false\";".to_owned(),
            "APT::Update::Error-Mode \"any\";".to_owned(),
            "Acquire::AllowInsecureRepositories \"false\";".to_owned(),
            "Acquire::AllowWeakRepositories \"false\";".to_owned(),
            "Acquire::AllowDowngradeToInsecureRepositories \"false\";".to_owned(),
            "Acquire::Languages \"none\";".to_owned(),
            // apt's own user could not write into a folder that is ours alone.
            "APT::Sandbox::User \"\";".to_owned(),
        ]);
        Ok(lines.join("\n") + "\n")
    }
}

/// The sources, with the host's addresses for the suites that it knows.
fn sources(suites: &[String]) -> Result<String, Error> {
    let mut known = Command::new("apt-get");
    known.env("LC_ALL", "C").args([
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]);
    let known = text(&program::run(&mut known, HINT)?);
    let address = |suite: &str| {
        let mut lines = known
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let found = lines.find_map(|fields| match *fields {
            [site, release, "main"] if release == suite => Some(site.to_owned()),
            _ => None,
        });
        found.unwrap_or_else(|| {
            let archive = if suite.ends_with("-security") {
                "debian-security"
            } else {
                "debian"
            };
            format!("http://deb.debian.org/{archive}")
        })
    };
    let line = |suite: &String| {
        format!(
            "deb [signed-by={KEYRING}] {} {suite} main\n",
            address(suite)
        )
    };
    Ok(suites.iter().map(line).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
