//! Small files that are asked for again and again, in memory: indexes of small channels, pages. Each under the state in
//! which it was read, and all of them together within a bound.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use hyper::body::Bytes;
use tokio::task::spawn_blocking;

use crate::folder::{Entry, Stat};

/// The longest file that is kept, in bytes.
const LONGEST: u64 = 1 << 19;
/// All that is kept, in bytes.
const BOUND: usize = 1 << 25;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<Stat, Bytes>,
    bytes: usize,
}

impl Hot {
    /// The content of a file, if it is short and nobody writes it just now.
    pub(crate) async fn content(&self, entry: &Entry) -> io::Result<Option<Bytes>> {
        let stat = entry.stat;
        if stat.size > LONGEST || stat.is_settling(SystemTime::now()) {
            return Ok(None);
        }
        let known = self.kept().files.get(&stat).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let file = entry.file()?.try_clone()?;
        let mut bytes = vec![0; usize::try_from(stat.size).unwrap_or_default()];
        let read = spawn_blocking(move || file.read_exact_at(&mut bytes, 0).map(|()| bytes));
        let bytes = Bytes::from(read.await.map_err(io::Error::other)??);
        if !entry.is_same()? {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let mut kept = self.kept();
        if kept.bytes + bytes.len() > BOUND {
            // Old states do not come back, and what is asked for does.
            *kept = Kept::default();
        }
        if kept.files.insert(stat, bytes.clone()).is_none() {
            kept.bytes += bytes.len();
        }
        Ok(Some(bytes))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fs_err as fs;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn what_is_kept_is_bounded_and_never_old() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(place.path().to_owned());
        let hot = Hot::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let content = |name: &str| {
            let entry = folder.file(&[name]).expect("a folder").expect("a file");
            runtime.block_on(hot.content(&entry)).expect("an answer")
        };
        let write = |name: &str, bytes: &[u8], age: u64| {
            fs::write(place.path().join("new"), bytes).expect("a file");
            let file = fs::OpenOptions::new()
                .append(true)
                .open(place.path().join("new"));
            let past = SystemTime::now() - Duration::from_secs(age);
            file.expect("a file")
                .file()
                .set_modified(past)
                .expect("a time");
            fs::rename(place.path().join("new"), place.path().join(name)).expect("a rename");
        };
        write("a", b"one", 0);
        assert_eq!(content("a"), None, "it may change within a tick");
        write("a", b"one", 60);
        assert_eq!(content("a").as_deref(), Some(&b"one"[..]));
        write("a", b"two", 60);
        assert_eq!(content("a").as_deref(), Some(&b"two"[..]));
        let long = vec![1; usize::try_from(LONGEST).expect("a length") + 1];
        write("b", &long, 60);
        assert_eq!(content("b"), None);
        for number in 0..200 {
            let name = format!("c{number}");
            write(&name, &long[1..], 60);
            assert!(content(&name).is_some_and(|bytes| bytes == long[1..]));
            let kept = hot.kept();
            let sum: usize = kept.files.values().map(Bytes::len).sum();
            assert!(kept.bytes == sum && sum <= BOUND);
        }
    }
}
