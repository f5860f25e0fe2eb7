//! The definition's own files, from this machine or from its text, on top of all else.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use spec::{Content, ImageFile};

use super::{Failure, Shared, definition};
use crate::error::Error;
use crate::layer::{Archive, Meta, Packer, What};
use crate::oci::WHITEOUT;
use crate::root::Node;

impl Shared<'_> {
    /// A file or folder of the definition.
    pub(super) fn file(
        &self,
        archive: &mut Archive<Packer>,
        file: &ImageFile,
    ) -> Result<(), Failure> {
        let source = match &file.content {
            Content::Source(source) => Some(self.job.recipe.folder.join(source)),
            _ => None,
        };
        if let Some(named) = source {
            // A link that the definition names is what it leads to.
            let source = fs::canonicalize(&named).map_err(|error| unreadable(&named, error))?;
            return self.copy(archive, &source, &file.path, file);
        }
        let place = self.free_place(&file.path)?;
        let meta = Meta {
            owner: file.owner,
            ..self.meta(file.mode.unwrap_or(0o644))
        };
        match &file.content {
            Content::Text(text) => Ok(self.put(archive, &place, meta, text.as_bytes())?),
            Content::Link(target) => {
                let meta = Meta {
                    mode: 0o777,
                    ..meta
                };
                Ok(self.entry(archive, &place, meta, What::Link(target), &mut io::empty())?)
            }
            Content::Source(_) => Ok(()),
        }
    }

    /// Copies a file to a path of the image, or a folder with everything in it.
    fn copy(
        &self,
        archive: &mut Archive<Packer>,
        source: &Path,
        path: &str,
        file: &ImageFile,
    ) -> Result<(), Failure> {
        let read = |error| unreadable(source, error);
        let found = fs::symlink_metadata(source).map_err(read)?;
        let executable = found.permissions().mode() & 0o100 != 0;
        let meta = |default: u32| Meta {
            owner: file.owner,
            ..self.meta(file.mode.unwrap_or(default))
        };
        if found.is_symlink() {
            let place = self.free_place(path)?;
            let target = fs::read_link(source).map_err(read)?;
            let target = target.to_string_lossy().into_owned();
            let what = What::Link(&target);
            let link = Meta {
                mode: 0o777,
                ..meta(0o777)
            };
            self.entry(archive, &place, link, what, &mut io::empty())?;
        } else if found.is_dir() {
            let place = self.folder_place("files", path)?;
            self.check_above("files", &place)?;
            if self.packaged().contains(&place) {
                let problem = format!("`/{place}` is no folder in a package");
                return Err(definition("files", problem));
            }
            let mut names: Vec<PathBuf> = Vec::new();
            for entry in fs::read_dir(source).map_err(read)? {
                names.push(entry.map_err(read)?.path());
            }
            names.sort();
            let folder = Meta {
                owner: file.owner,
                ..self.meta(0o755)
            };
            self.folder(archive, &place, folder)?;
            for name in names {
                let last = name.file_name().unwrap_or_default().to_string_lossy();
                if last.starts_with(WHITEOUT) {
                    let problem = format!(
                        "`{}` begins with `{WHITEOUT}`: in a layer that takes away what is below",
                        name.display()
                    );
                    return Err(definition("files", problem));
                }
                self.copy(archive, &name, &format!("{place}/{last}"), file)?;
            }
        } else if found.is_file() {
            let place = self.free_place(path)?;
            let opened = fs::File::open(source).map_err(read)?;
            let size = opened.metadata().map_err(read)?.len();
            let what = What::File(size);
            let mode = meta(if executable { 0o755 } else { 0o644 });
            self.entry(archive, &place, mode, what, &mut opened.take(size))?;
        } else {
            let problem = format!("`{}` is no file, folder or link", source.display());
            return Err(definition("files", problem));
        }
        Ok(())
    }

    /// Where something goes that is no folder. Two of them at one place, or one above another, is not what anybody wants.
    fn free_place(&self, path: &str) -> Result<String, Failure> {
        let place = self.place("files", path)?;
        if self.root.node(&place) == Some(&Node::Directory) {
            let problem = format!("`/{place}` is a folder in the base");
            return Err(definition("files", problem));
        }
        self.check_above("files", &place)?;
        let taken = self.taken.borrow();
        let below = format!("{place}/");
        let has_below = |all: &BTreeSet<String>| {
            let next = all.range(below.clone()..).next();
            next.is_some_and(|next| next.starts_with(&below))
        };
        let problem = if taken.contains(&place) {
            format!("something else of the image's own lies at `/{place}`")
        } else if has_below(&taken) {
            format!("`/{place}` is a folder of the image's own")
        } else if has_below(self.packaged()) {
            format!("`/{place}` is a folder of the packages")
        } else {
            return Ok(place);
        };
        Err(definition("files", problem))
    }

    /// Whether all that is above a place is a folder: links of packages are not followed, since a folder would take their
    /// place.
    pub(super) fn check_above(&self, key: &'static str, place: &str) -> Result<(), Failure> {
        let (taken, packaged) = (self.taken.borrow(), self.packaged());
        let mut above = place
            .match_indices('/')
            .filter_map(|(end, _)| place.get(..end));
        match above.find(|above| taken.contains(*above) || packaged.contains(*above)) {
            None => Ok(()),
            Some(above) => {
                let problem = format!("`/{above}` is no folder, and `/{place}` is to lie in it");
                Err(definition(key, problem))
            }
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> Failure {
    Failure::Ours(Error::Read {
        path: path.to_owned(),
        source,
    })
}
