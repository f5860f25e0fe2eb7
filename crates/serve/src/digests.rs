//! What is known of the contents of files, each under the state in which it was read: a file that
//! changed is another one. Whoever asks first reads, the others wait for what comes out.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use archive::digest::{Hasher, Sha256};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::folder::{Entry, Stat};
use crate::hot::Hot;

/// How many states are remembered: some hundred bytes each.
const MOST: usize = 1 << 15;
/// Up to this many bytes reading is quicker than handing over.
const SMALL: u64 = 1 << 16;

/// How a file beside another one is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
}

/// The digests of files, and of what is in compressed ones; and short files themselves.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    pub(crate) hot: Hot,
    plain: Known<Stat, Sha256>,
    /// None if it is damaged, or more than it should be.
    inside: Known<(Stat, Coding, u64), Option<Sha256>>,
}

#[derive(Debug)]
struct Known<K, V> {
    cells: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl Digests {
    /// The digest of a file. An error if it changes meanwhile.
    pub(crate) async fn of(&self, entry: &Entry) -> io::Result<Sha256> {
        let cell = self.plain.cell(entry.stat, &[entry.stat]);
        let digest = cell.get_or_try_init(|| async {
            let handle = entry.file()?.try_clone()?;
            let length = entry.stat.size;
            let read = move || digest(&mut At::new(handle), length);
            let digest = on_another_thread(length, read).await?;
            unchanged(entry)?;
            Ok::<_, io::Error>(digest)
        });
        digest.await.copied()
    }

    /// Whether a compressed file holds exactly what another file is.
    pub(crate) async fn is_inside(
        &self,
        plain: &Entry,
        packed: &Entry,
        coding: Coding,
    ) -> io::Result<bool> {
        let length = plain.stat.size;
        let key = (packed.stat, coding, length);
        let cell = self.inside.cell(key, &[packed.stat, plain.stat]);
        let inside = cell.get_or_try_init(|| async {
            let handle = packed.file()?.try_clone()?;
            let read = move || {
                let source = At::new(handle);
                let unpacked = match coding {
                    Coding::Zstd => zstd::stream::read::Decoder::new(source)
                        .and_then(|mut decoder| digest(&mut decoder, length)),
                    Coding::Gzip => digest(&mut flate2::read::MultiGzDecoder::new(source), length),
                };
                Ok(unpacked.ok())
            };
            let inside = on_another_thread(length, read).await?;
            unchanged(packed)?;
            Ok::<_, io::Error>(inside)
        });
        let inside = *inside.await?;
        Ok(inside.is_some() && inside == Some(self.of(plain).await?))
    }
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self {
            cells: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq, V> Known<K, V> {
    /// Where the answer will be. Not kept where a file could change without that its state tells.
    fn cell(&self, key: K, stats: &[Stat]) -> Arc<OnceCell<V>> {
        let now = SystemTime::now();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if stats.iter().any(|stat| stat.is_settling(now)) {
            // Who waits for an answer that is being made still gets it.
            return cells.get(&key).map_or_else(Arc::default, |cell| {
                if cell.initialized() {
                    Arc::default()
                } else {
                    Arc::clone(cell)
                }
            });
        }
        if cells.len() >= MOST {
            // Old states do not come back, and what is asked for does.
            cells.clear();
        }
        Arc::clone(cells.entry(key).or_default())
    }
}

async fn on_another_thread<T: Send + 'static>(
    length: u64,
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    if length <= SMALL {
        return read();
    }
    spawn_blocking(read).await.map_err(io::Error::other)?
}

fn unchanged(entry: &Entry) -> io::Result<()> {
    if entry.is_same()? {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the file is being written",
        ))
    }
}

/// The digest of what is exactly so long.
fn digest(source: &mut impl Read, length: u64) -> io::Result<Sha256> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let mut left = length;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 && left == 0 {
            return Ok(hasher.finish().sha256);
        }
        left = match left.checked_sub(count as u64) {
            Some(left) if count > 0 => left,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Reads a file without moving the position that its handles share.
struct At {
    file: File,
    position: u64,
}

impl At {
    fn new(file: File) -> Self {
        Self { file, position: 0 }
    }
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fs_err as fs;

    use super::*;
    use crate::folder::Folder;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future)
    }

    /// As old as files are that nobody writes any more.
    fn settle(path: &std::path::Path) {
        let file = File::options().write(true).open(path).expect("a file");
        let past = SystemTime::now() - Duration::from_mins(1);
        file.set_modified(past).expect("a time");
    }

    #[test]
    fn a_digest_is_never_that_of_another_content() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(place.path().to_owned());
        let path = place.path().join("a");
        let digests = Digests::default();
        let now = |content: &str| {
            let entry = folder.file(&["a"]).expect("a folder").expect("a file");
            let digest = wait(digests.of(&entry)).expect("a digest");
            assert_eq!(digest, Sha256::of(content.as_bytes()), "{content}");
        };
        for round in 0..200 {
            let content = format!("{round:03}");
            // In place: the same inode and size, and often the same tick.
            fs::write(&path, &content).expect("a file");
            now(&content);
        }
        settle(&path);
        now("199");
        assert_eq!(digests.plain.cells.lock().expect("the cells").len(), 1);
        now("199");
        let other = place.path().join("b");
        fs::write(&other, "200").expect("a file");
        settle(&other);
        fs::rename(&other, &path).expect("a rename");
        now("200");
    }

    #[test]
    fn a_compressed_file_stands_for_the_other_only_if_it_holds_it() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(place.path().to_owned());
        let plain = "some text ".repeat(1000);
        let zst = |text: &str| zstd::encode_all(text.as_bytes(), 3).expect("zstd");
        let gzip = |text: &str| {
            let mut encoder =
                flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast());
            let mut bytes = Vec::new();
            encoder.read_to_end(&mut bytes).expect("gzip");
            bytes
        };
        let bomb = zstd::encode_all(io::repeat(b' ').take(1 << 30), 3).expect("zstd");
        fs::write(place.path().join("plain"), &plain).expect("a file");
        for (name, bytes, coding, expected) in [
            ("same.zst", zst(&plain), Coding::Zstd, true),
            ("same.gz", gzip(&plain), Coding::Gzip, true),
            (
                "older",
                zst(&plain.replace("some", "same")),
                Coding::Zstd,
                false,
            ),
            ("shorter", zst(&plain[1..]), Coding::Zstd, false),
            ("longer", zst(&format!("{plain}.")), Coding::Zstd, false),
            ("wrong", gzip(&plain), Coding::Zstd, false),
            ("cut", zst(&plain)[..20].to_vec(), Coding::Zstd, false),
            ("empty", Vec::new(), Coding::Zstd, false),
            ("bomb", bomb, Coding::Zstd, false),
        ] {
            fs::write(place.path().join(name), bytes).expect("a file");
            let open = |name: &str| folder.file(&[name]).expect("a folder").expect("a file");
            let digests = Digests::default();
            let is_inside = wait(digests.is_inside(&open("plain"), &open(name), coding));
            assert_eq!(is_inside.expect("an answer"), expected, "{name}");
        }
    }
}
