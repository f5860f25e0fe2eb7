//! Layers become files. They come from images that were read and checked, or from ourselves; still, no entry leads out:
//! folders are looked up by the kernel as if the userland were all there is, and nothing is written through a link.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use fs_err as fs;

use super::{Special, Userland};
use crate::base::{self, Entry, EntryKind, Packing};
use crate::layer::Meta;
use crate::oci;
use crate::root::Cleared;

/// Permission bits that every folder has here: it must be possible to fill it.
const ENTERED: u32 = 0o700;
/// Bits that files keep here. Setuid would be the right of whoever bakes.
const PLAIN: u32 = 0o777;

impl Userland {
    /// Unpacks a layer over those that are there.
    pub(crate) fn add_layer(&mut self, blob: &Path, media_type: &str) -> io::Result<()> {
        let packing = match media_type {
            oci::LAYER_GZIP => Packing::Gzip,
            oci::LAYER_ZSTD => Packing::Zstd,
            _ => Packing::Plain,
        };
        self.unpack(base::decoder(fs::File::open(blob)?, packing)?)
    }

    fn unpack(&mut self, stream: impl Read) -> io::Result<()> {
        let mut layer = Layer::default();
        let mut failure = Ok(());
        let mut add = |entry: Entry<'_>| {
            let path = entry.path.clone();
            self.add(&mut layer, entry).map_err(|source| {
                let problem = format!("`{path}`: {source}");
                failure = Err(io::Error::new(source.kind(), problem));
                base::Error::Copy { source }
            })
        };
        let read = base::entries(stream, "layer", &mut add);
        failure.and(read.map_err(io::Error::other))
    }

    fn add(&mut self, layer: &mut Layer, entry: Entry<'_>) -> io::Result<()> {
        let Entry {
            path,
            kind,
            meta,
            content,
            ..
        } = entry;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let place = match &kind {
            // Devices and pipes are the engine's.
            EntryKind::Special => return Ok(()),
            EntryKind::Opaque => {
                let folder = self.above(layer, &path)?;
                return layer.clear(&folder);
            }
            _ => self.above(layer, above)?.join(name),
        };
        match kind {
            EntryKind::Special | EntryKind::Opaque => {}
            EntryKind::Whiteout => return layer.remove(&place),
            EntryKind::Directory => {
                let there = fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir());
                if !there {
                    layer.replace(&place)?;
                    fs::create_dir(&place)?;
                }
                let bits = meta.mode & PLAIN | ENTERED;
                fs::set_permissions(&place, std::fs::Permissions::from_mode(bits))?;
                self.note(&place, meta, bits);
            }
            EntryKind::Link(target) => {
                layer.replace(&place)?;
                fs::os::unix::fs::symlink(target, &place)?;
                let meta = Meta {
                    mode: PLAIN,
                    ..meta
                };
                self.note(&place, meta, PLAIN);
            }
            EntryKind::HardLink(target) => {
                let (above, name) = target.rsplit_once('/').unwrap_or(("", &target));
                let existing = self.above(layer, above)?.join(name);
                layer.replace(&place)?;
                fs::hard_link(&existing, &place)?;
                if let Some(special) = self.special.get(&self.relative(&existing)).copied() {
                    self.special.insert(self.relative(&place), special);
                }
            }
            EntryKind::File => {
                layer.replace(&place)?;
                let mut file = fs::File::create_new(&place)?;
                io::copy(content, &mut file)?;
                let bits = meta.mode & PLAIN;
                file.set_permissions(std::fs::Permissions::from_mode(bits))?;
                let modified = UNIX_EPOCH.checked_add(Duration::from_secs(meta.modified));
                if let Some(modified) = modified {
                    file.file().set_modified(modified)?;
                }
                self.note(&place, meta, bits);
            }
        }
        layer.written.insert(place);
        Ok(())
    }

    /// The folder of an entry. Entries of one folder follow each other.
    fn above(&self, layer: &mut Layer, path: &str) -> io::Result<PathBuf> {
        if let Some((known, folder)) = &layer.last
            && known == path
        {
            return Ok(folder.clone());
        }
        let folder = self.folder(path)?;
        layer.last = Some((path.to_owned(), folder.clone()));
        Ok(folder)
    }

    /// Remembers what a file is in the image where it differs from what it is here.
    fn note(&mut self, place: &Path, meta: Meta, bits: u32) {
        let Meta { mode, owner, .. } = meta;
        let path = self.relative(place);
        if owner == (0, 0) && mode == bits {
            self.special.remove(&path);
        } else {
            self.special.insert(path, Special { mode, owner });
        }
    }

    /// The path in the image of a file here.
    pub(crate) fn relative(&self, place: &Path) -> String {
        let path = place.strip_prefix(self.root()).unwrap_or(place);
        path.to_string_lossy().into_owned()
    }
}

/// A layer on its way.
#[derive(Default)]
struct Layer {
    /// The folder of the last entry, and where it is.
    last: Option<(String, PathBuf)>,
    /// What came so far: whiteouts are about the layers below.
    written: HashSet<PathBuf>,
    cleared: Cleared,
}

impl Layer {
    /// Makes room at a place.
    fn replace(&mut self, place: &Path) -> io::Result<()> {
        match fs::symlink_metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(found) if found.is_dir() => fs::remove_dir_all(place)?,
            Ok(_) => fs::remove_file(place)?,
        }
        self.last = None;
        Ok(())
    }

    /// Takes away what the layers below have at a place.
    fn remove(&mut self, place: &Path) -> io::Result<()> {
        if !self.written.contains(place) {
            return self.replace(place);
        }
        if fs::symlink_metadata(place)?.is_dir() {
            self.clear(place)?;
        }
        Ok(())
    }

    /// Takes away what the layers below have in a folder.
    fn clear(&mut self, folder: &Path) -> io::Result<()> {
        if self.cleared.is_first(folder.as_os_str().as_encoded_bytes()) {
            self.clear_all(folder)?;
        }
        Ok(())
    }

    fn clear_all(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let place = entry?.path();
            if !self.written.contains(&place) {
                self.replace(&place)?;
            } else if fs::symlink_metadata(&place)?.is_dir() {
                self.clear_all(&place)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use tar::EntryType;

    use super::*;

    /// A layer of entries: path, permission bits, what it is.
    fn layer(entries: &[(&str, u32, What<'_>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, what) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_uid(7);
            header.set_gid(0);
            header.set_mtime(1_500_000_000);
            header.set_size(0);
            let mut content: &[u8] = b"";
            match what {
                Folder => header.set_entry_type(EntryType::Directory),
                File(text) => {
                    header.set_size(text.len() as u64);
                    content = text.as_bytes();
                }
                Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_link_name_literal(target).unwrap();
                }
                Same(target) => {
                    header.set_entry_type(EntryType::Link);
                    header.set_link_name_literal(target).unwrap();
                }
            }
            let bytes = &mut header.as_old_mut().name;
            bytes[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    enum What<'a> {
        Folder,
        File(&'a str),
        Link(&'a str),
        Same(&'a str),
    }
    use What::{File, Folder, Link, Same};

    fn text(userland: &Userland, path: &str) -> Option<String> {
        fs::read_to_string(userland.root().join(path)).ok()
    }

    #[test]
    fn layers_lie_over_each_other_as_an_engine_lays_them() {
        let scratch = tempfile::tempdir().unwrap();
        let mut userland = Userland::new(scratch.path()).unwrap();
        let below = layer(&[
            ("usr", 0o755, Folder),
            ("usr/lib", 0o555, Folder),
            ("lib", 0o777, Link("usr/lib")),
            ("abs", 0o777, Link("/usr/lib")),
            ("usr/lib/a", 0o4755, File("old a")),
            ("usr/lib/b", 0o644, File("b")),
            ("usr/lib/deep/c", 0o644, File("c")),
            ("etc/gone", 0o644, File("x")),
            ("etc/kept", 0o644, File("y")),
        ]);
        userland.unpack(&below[..]).unwrap();
        let above = layer(&[
            ("lib/a", 0o600, File("new a")),
            ("abs/d", 0o644, File("d")),
            ("usr/lib/.wh.b", 0, File("")),
            ("usr/lib/deep/new", 0o644, File("new")),
            ("usr/lib/deep/.wh..wh..opq", 0, File("")),
            ("./etc/.wh.gone", 0, File("")),
            ("usr/lib/same", 0, Same("./lib/a")),
        ]);
        userland.unpack(&above[..]).unwrap();
        for (path, expected) in [
            ("usr/lib/a", Some("new a")),
            ("usr/lib/b", None),
            ("usr/lib/d", Some("d")),
            ("usr/lib/deep/c", None),
            ("usr/lib/deep/new", Some("new")),
            ("usr/lib/same", Some("new a")),
            ("etc/gone", None),
            ("etc/kept", Some("y")),
        ] {
            assert_eq!(text(&userland, path).as_deref(), expected, "{path}");
        }
        let data = fs::metadata(userland.root().join("usr/lib/a")).unwrap();
        assert_eq!((data.mode() & 0o7777, data.nlink()), (0o600, 2));
        assert_eq!(data.mtime(), 1_500_000_000);
        // It stays possible to write there, and is remembered as it was.
        let special = userland.special.get("usr/lib").map(|one| one.mode);
        assert_eq!(special, Some(0o555));
    }

    #[test]
    fn rights_of_others_do_not_come_with_a_file() {
        let scratch = tempfile::tempdir().unwrap();
        let mut userland = Userland::new(scratch.path()).unwrap();
        let entries = layer(&[("su", 0o4755, File("x"))]);
        userland.unpack(&entries[..]).unwrap();
        let data = fs::metadata(userland.root().join("su")).unwrap();
        assert_eq!(data.mode() & 0o7777, 0o755);
        let expected = Special {
            mode: 0o4755,
            owner: (7, 0),
        };
        assert_eq!(userland.special.get("su"), Some(&expected));
    }

    #[test]
    fn nothing_leads_out() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "s").unwrap();
        let target = outside.to_str().unwrap();
        let up = "../".repeat(12) + target.trim_start_matches('/');
        for entries in [
            layer(&[("x", 0o777, Link(target)), ("x/new", 0o644, File("bad"))]),
            layer(&[("x", 0o777, Link(&up)), ("x/new", 0o644, File("bad"))]),
            layer(&[("x", 0o777, Link(target)), ("x/.wh.secret", 0, File(""))]),
            layer(&[("x", 0o777, Link(target)), ("y", 0, Same("x/secret"))]),
            layer(&[("../outside/new", 0o644, File("bad"))]),
            layer(&[(".wh...", 0, File(""))]),
            layer(&[("etc/passwd", 0o644, File("")), ("etc/.wh...", 0, File(""))]),
            layer(&[("etc", 0o755, Folder), ("etc/.wh..", 0, File(""))]),
            layer(&[
                ("x", 0o777, Link(target)),
                ("x/a/b/new", 0o644, File("bad")),
            ]),
            layer(&[
                ("x", 0o777, Link(target)),
                ("x", 0o755, Folder),
                ("x/new", 0o644, File("in")),
            ]),
        ] {
            let mut userland = Userland::new(scratch.path()).unwrap();
            let _ = userland.unpack(&entries[..]);
            assert!(userland.root().is_dir());
            assert_ne!(text(&userland, "y").as_deref(), Some("s"));
        }
        let names: Vec<_> = fs::read_dir(&outside).unwrap().collect();
        assert_eq!(names.len(), 1);
    }
}
