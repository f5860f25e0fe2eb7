//! The topmost layer: what belongs to no single package. In the prefix it is conda's history, the lists
//! of cached packages and the installer's own files; outside it a profile for shells, the user's
//! account and the definition's files.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};

use runtime::lay::{self, Extent, Laid, Settings};
use runtime::plan::{Kind, Text};
use runtime::{history, keep};
use spec::{Account, User};

use super::environments::Environment;
use super::items::Item;
use super::layers::{folder_meta, known_folders};
use super::platform::Job;
use super::scripts::TaskFile;
use crate::error::Error;
use crate::layer::{Archive, LayerTree, Meta, Packer, What};
use crate::output::Staging;
use crate::root::{Node, Root};

mod files;

/// What conda's history says the prefix was made by.
const COMMAND: &str = "archiconda image bake";

/// Where shells look for what to do at a login.
const PROFILE: &str = "/etc/profile.d/archiconda.sh";

/// The first line of a passwd or group file that is not there.
const ROOT_ACCOUNT: &str = "root:x:0:0:root:/root:/bin/sh\n";
const ROOT_GROUP: &str = "root:x:0:\n";

/// What the layer is made of.
pub(super) struct Shared<'a> {
    pub(super) job: &'a Job<'a>,
    /// The base environment first.
    pub(super) environments: &'a [Environment],
    pub(super) items: &'a [Item<'a>],
    /// What became of each item.
    pub(super) laid: &'a [Option<Laid>],
    /// Where the prefix lies in the image.
    pub(super) prefix: &'a str,
    pub(super) root: &'a Root,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// What is left to be run by containers.
    pub(super) left: &'a [TaskFile],
    /// What lies in the layer so far and is no folder, by its place.
    pub(super) taken: RefCell<BTreeSet<String>>,
    /// What the packages have that is no folder, by its place: looked for when the definition has files of its own.
    pub(super) packaged: OnceCell<BTreeSet<String>>,
}

impl Shared<'_> {
    /// Writes everything into a layer in which the prefix's folder is there.
    pub(super) fn write(
        &self,
        archive: Archive<Packer>,
        staging: &Staging,
        settings: Settings<'_>,
    ) -> Result<Archive<Packer>, Error> {
        let cannot = |source| Error::Write {
            path: staging.scratch().to_owned(),
            source,
        };
        let tree = LayerTree::new(archive, self.prefix, self.created, staging.scratch());
        if let Some(base) = self.environments.first() {
            let payload = base.frames.payload();
            let extra = &base.prepared.planned.plan.extra;
            let laid = lay::lay_extra(&payload, extra, &tree, settings, &|_| {});
            laid.map_err(|source| Error::Lay {
                platform: self.job.platform,
                package: "extra_files".to_owned(),
                source,
            })?;
        }
        let mut archive = tree.into_archive().map_err(cannot)?;
        for environment in self.environments {
            for text in self.texts(environment) {
                let path = format!("{}/{}", environment.place, text.path);
                self.put(&mut archive, &path, self.meta(0o644), text.text.as_bytes())
                    .map_err(cannot)?;
            }
        }
        for file in self.left {
            let path = format!("{}/{}", self.job.left(), file.path);
            let place = self.place("prefix", &path).map_err(|f| f.named(cannot))?;
            self.put(
                &mut archive,
                &place,
                self.meta(file.mode()),
                file.text.as_bytes(),
            )
            .map_err(cannot)?;
        }
        let profile = profile(&self.job.target.prefix);
        self.text(&mut archive, PROFILE, &profile)
            .map_err(|f| f.named(cannot))?;
        if let Some(User::New(account)) = &self.job.target.user {
            self.account(&mut archive, account)
                .map_err(|f| f.named(cannot))?;
        }
        if let Some(User::Known(name)) = &self.job.target.user {
            self.check_user(name)?;
        }
        if let Some(workdir) = &self.job.target.workdir {
            let place = self.folder_place("workdir", workdir);
            let place = place.and_then(|place| self.check_above("workdir", &place).map(|()| place));
            let place = place.map_err(|f| f.named(cannot))?;
            self.folder(&mut archive, &place, self.meta(0o755))
                .map_err(cannot)?;
        }
        for file in &self.job.target.files {
            self.file(&mut archive, file).map_err(|f| f.named(cannot))?;
        }
        Ok(archive)
    }

    /// The texts of an environment. What is about the distribution is in the base one alone, and so are the lists of
    /// the package cache.
    fn texts(&self, environment: &Environment) -> Vec<Text> {
        let plan = &environment.prepared.planned.plan;
        let all = self.items.iter().zip(self.laid);
        let all = all.filter_map(|(item, laid)| Some((item, laid.as_ref()?)));
        let name = &environment.name;
        let installed: Vec<Laid> = all
            .clone()
            .filter(|(item, _)| item.extent.has_prefix() && item.environment.name == *name)
            .map(|(_, laid)| laid.clone())
            .collect();
        let mut texts = vec![Text {
            path: history::PATH.to_owned(),
            text: history::entry(plan, &installed, "", &[], COMMAND, self.created),
        }];
        if name.is_some() {
            let own = plan.texts.iter();
            texts.extend(
                own.filter(|text| text.path.starts_with("conda-meta/"))
                    .cloned(),
            );
            return texts;
        }
        let cached = all.filter(|(item, _)| item.extent != Extent::Prefix);
        let cached = cached.map(|(item, laid)| (item.head, laid));
        if cached.clone().next().is_some() {
            for (path, md5) in [(keep::URLS, true), (keep::URLS_TXT, false)] {
                texts.push(Text {
                    path: path.to_owned(),
                    text: keep::urls(cached.clone(), "", md5),
                });
            }
        }
        texts.extend(plan.texts.iter().cloned());
        texts
    }

    /// An account of its own: lines in `/etc/passwd` and `/etc/group`, and a home.
    fn account(&self, archive: &mut Archive<Packer>, account: &Account) -> Result<(), Failure> {
        let Account {
            name,
            uid,
            gid,
            home,
            shell,
        } = account;
        let lines = [
            (
                "etc/passwd",
                ROOT_ACCOUNT,
                format!("{name}:x:{uid}:{gid}::{home}:{shell}\n"),
            ),
            ("etc/group", ROOT_GROUP, format!("{name}:x:{gid}:\n")),
        ];
        for (path, empty, line) in lines {
            let before = match self.root.node(path) {
                None => empty,
                Some(_) => self.root.text(path).ok_or_else(|| {
                    definition("user", format!("`/{path}` of the base cannot be added to"))
                })?,
            };
            let known = before.lines().find(|known| {
                let mut fields = known.split(':');
                fields.next() == Some(name)
            });
            if known == Some(line.trim_end()) {
                continue;
            }
            if known.is_some() {
                let problem = format!("the base's `/{path}` has another `{name}`");
                return Err(definition("user", problem));
            }
            let end = if before.is_empty() || before.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            let text = format!("{before}{end}{line}");
            self.text(archive, &format!("/{path}"), &text)?;
        }
        self.shadow(archive, name)?;
        let meta = Meta {
            owner: (*uid, *gid),
            ..self.meta(0o755)
        };
        let place = self.folder_place("user", home)?;
        self.folder(archive, &place, meta)?;
        Ok(())
    }

    /// Where a base keeps passwords in the shadow, who is not there cannot become the user (`pam_unix(8)`); a password
    /// there is none. The file is as secret as distributions have it, for a group of its own where there is one.
    fn shadow(&self, archive: &mut Archive<Packer>, name: &str) -> Result<(), Failure> {
        const SHADOW: &str = "etc/shadow";
        let Some(before) = self.root.text(SHADOW) else {
            return Ok(());
        };
        if before
            .lines()
            .any(|line| line.split(':').next() == Some(name))
        {
            return Ok(());
        }
        let groups = self.root.text("etc/group").unwrap_or("");
        let group = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some("shadow")).then_some(())?;
            fields.nth(1)?.parse().ok()
        });
        let meta = Meta {
            owner: (0, group.unwrap_or(0)),
            ..self.meta(if group.is_some() { 0o640 } else { 0o600 })
        };
        let end = if before.is_empty() || before.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let text = format!("{before}{end}{name}:!::0:99999:7:::\n");
        let place = self.place("user", &format!("/{SHADOW}"))?;
        Ok(self.put(archive, &place, meta, text.as_bytes())?)
    }

    /// A user that has a name must be known to the base.
    fn check_user(&self, user: &str) -> Result<(), Error> {
        let (name, _) = user.split_once(':').unwrap_or((user, ""));
        let number = name.chars().all(|letter| letter.is_ascii_digit());
        let text = self.root.text("etc/passwd").unwrap_or("");
        let known = text
            .lines()
            .any(|line| line.split(':').next() == Some(name));
        if number || known || name == "root" {
            return Ok(());
        }
        Err(Error::Definition {
            key: "user",
            problem: format!(
                "the base has no user `{name}`; write `{{ name = \"{name}\", uid = 1000 }}` to add one"
            ),
        })
    }

    fn text(&self, archive: &mut Archive<Packer>, path: &str, text: &str) -> Result<(), Failure> {
        let place = self.place("files", path)?;
        Ok(self.put(archive, &place, self.meta(0o644), text.as_bytes())?)
    }

    /// What the packages have that is no folder.
    fn packaged(&self) -> &BTreeSet<String> {
        let all = || {
            let of = |item: &Item<'_>| {
                let place = item.place.to_owned();
                let entries = item.package.entries.iter();
                let entries = entries.filter(|entry| entry.kind != Kind::Directory);
                let entries = entries.filter(|_| item.extent.has_prefix());
                let entries = entries.map(move |entry| format!("{place}/{}", entry.path));
                entries.collect::<Vec<_>>()
            };
            self.items.iter().flat_map(of).collect()
        };
        self.packaged.get_or_init(all)
    }

    /// Where a file goes: the links of its folders are followed.
    fn place(&self, key: &'static str, path: &str) -> Result<String, Failure> {
        let place = self.root.place(path);
        place.map_err(|error| definition(key, error.to_string()))
    }

    /// Where a folder is: a link at its place is followed, too.
    fn folder_place(&self, key: &'static str, path: &str) -> Result<String, Failure> {
        let place = self.root.resolve(path);
        let place = place.map_err(|error| definition(key, error.to_string()))?;
        match self.root.node(&place) {
            None | Some(Node::Directory) => Ok(place),
            Some(_) => Err(definition(
                key,
                format!("`/{place}` is no folder in the base"),
            )),
        }
    }

    fn put(
        &self,
        archive: &mut Archive<Packer>,
        place: &str,
        meta: Meta,
        bytes: &[u8],
    ) -> io::Result<()> {
        let what = What::File(bytes.len() as u64);
        self.entry(archive, place, meta, what, &mut Cursor::new(bytes))
    }

    fn entry(
        &self,
        archive: &mut Archive<Packer>,
        place: &str,
        meta: Meta,
        what: What<'_>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        known_folders(archive, self.root, place);
        archive.parents(place, folder_meta(self.created))?;
        self.taken.borrow_mut().insert(place.to_owned());
        archive.entry(place, meta, what, content)
    }

    /// A folder, unless the base has it.
    fn folder(&self, archive: &mut Archive<Packer>, place: &str, meta: Meta) -> io::Result<()> {
        known_folders(archive, self.root, place);
        archive.parents(place, folder_meta(self.created))?;
        archive.directory(place, meta)
    }

    fn meta(&self, mode: u32) -> Meta {
        Meta {
            mode,
            owner: (0, 0),
            modified: self.created,
        }
    }
}

/// Why something could not be put into the layer.
enum Failure {
    Ours(Error),
    Write(io::Error),
}

impl Failure {
    fn named(self, cannot: impl FnOnce(io::Error) -> Error) -> Error {
        match self {
            Failure::Ours(error) => error,
            Failure::Write(source) => cannot(source),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Write(error)
    }
}

fn definition(key: &'static str, problem: String) -> Failure {
    Failure::Ours(Error::Definition { key, problem })
}

/// What a shell does at a login: distributions set `PATH` anew there, and packages may have to set
/// variables.
fn profile(prefix: &str) -> String {
    format!(
        r#"# Makes the programs of {prefix} found, also after a login has set PATH anew.
case ":$PATH:" in
    *":{prefix}/bin:"*) ;;
    *) PATH="{prefix}/bin:$PATH" ;;
esac
CONDA_PREFIX="{prefix}"
export PATH CONDA_PREFIX
if [ -r "{prefix}/etc/profile.d/conda.sh" ]; then
    . "{prefix}/etc/profile.d/conda.sh"
fi
for script in "{prefix}"/etc/conda/activate.d/*.sh; do
    if [ -r "$script" ]; then
        . "$script"
    fi
done
unset script
"#
    )
}
