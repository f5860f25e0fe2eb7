//! A small HTTP server that stalls, truncates, lies and refuses on request, and the things that
//! every test here needs.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fetch::{Client, Event, Options, Wanted};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What a client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server answers, well or badly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What `Content-Length` says; the truth where it is `None`.
    pub(crate) declared: Option<usize>,
    /// Without `Content-Length`: the end of the connection is the end of the body.
    pub(crate) until_close: bool,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut_at: Option<usize>,
    /// Say nothing more after so many bytes of the body.
    pub(crate) stall_at: Option<usize>,
    /// Send the body again and again, without end.
    pub(crate) endless: bool,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            body: b"no".to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn but_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a good server does: a part where a part is asked for and the version still fits.
    pub(crate) fn file(request: &Request, body: &[u8], tag: &str) -> Self {
        let whole = Self::ok(body).with("ETag", tag);
        let start = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'))
            .and_then(|start| start.parse::<usize>().ok());
        let Some(start) = start else { return whole };
        if request
            .header("if-range")
            .is_some_and(|wanted| wanted != tag)
        {
            return whole;
        }
        if start >= body.len() {
            return Self::status(416);
        }
        let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
        Self {
            status: 206,
            body: body[start..].to_vec(),
            ..whole
        }
        .with("Content-Range", &range)
    }
}

/// The server; it ends with the value.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let (seen, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let accept = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let (answer, seen, stopped) =
                    (Arc::clone(&answer), Arc::clone(&seen), Arc::clone(&stopped));
                thread::spawn(move || {
                    // A client that goes away is what some tests are about.
                    let _ = serve(&stream, &*answer, &seen, &stopped);
                });
            }
        };
        Self {
            address,
            requests,
            stop,
            listener: Some(thread::spawn(accept)),
        }
    }

    /// Serves the files of a folder.
    pub(crate) fn folder(path: PathBuf) -> Self {
        Self::start(
            move |request| match std::fs::read(path.join(&request.path[1..])) {
                Ok(body) => Reply::file(request, &body, "\"1\""),
                Err(_) => Reply::status(404),
            },
        )
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("requests").clone()
    }

    /// The paths that were asked for with GET.
    pub(crate) fn gets(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .filter(|request| request.method == "GET")
            .map(|request| request.path)
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn serve(
    stream: &TcpStream,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: HashMap::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request
            .headers
            .insert(name.to_lowercase(), value.trim().to_owned());
    }
    seen.lock().expect("requests").push(request.clone());
    let reply = answer(&request);
    send(stream, &request, &reply, stop)
}

fn send(
    mut stream: &TcpStream,
    request: &Request,
    reply: &Reply,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if !reply.until_close && !reply.endless {
        let length = reply.declared.unwrap_or(reply.body.len());
        head.extend(["Content-Length: ", &length.to_string(), "\r\n"]);
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let end = reply.cut_at.or(reply.stall_at).unwrap_or(reply.body.len());
    stream.write_all(&reply.body[..end.min(reply.body.len())])?;
    while reply.endless && !stop.load(Ordering::SeqCst) {
        stream.write_all(&reply.body)?;
    }
    while reply.stall_at.is_some() && !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    stream.flush()
}

/// A folder for one test, and options that do not wait.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            cache_dir: self.path().join("cache"),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            backoff: Duration::from_millis(5),
            longest_pause: Duration::from_millis(100),
            ..Options::default()
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.options()).expect("a client")
    }

    pub(crate) fn offline(&self) -> Client {
        Client::new(Options {
            offline: true,
            ..self.options()
        })
        .expect("a client")
    }

    /// The files below a folder of the package store, relative to it.
    pub(crate) fn store(&self, folder: &str) -> Vec<String> {
        let root = self.path().join("cache/packages").join(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(&root).expect("below");
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

/// Everything that was reported, one line each.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
}

impl Log {
    pub(crate) fn report(&self, event: Event<'_>) {
        self.lines.lock().expect("lines").push(format!("{event:?}"));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    }
}

/// Bytes that do not repeat.
pub(crate) fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// An archive of which all is known.
pub(crate) fn wanted(url: &str, body: &[u8]) -> Wanted {
    Wanted {
        url: url.parse().expect("a URL"),
        file_name: url.rsplit('/').next().expect("a name").to_owned(),
        sha256: Some(Sha256::digest(body).into()),
        md5: Some(Md5::digest(body).into()),
        size: Some(body.len() as u64),
    }
}

/// The error and its causes in one line, as the tools print it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.extend([": ", &error.to_string()]);
        next = error.source();
    }
    text
}

/// A folder of the shared test data; `None` where it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(path);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is absent", path.display()));
    None
}

/// Says that a test is skipped; fails where `ARCHICONDA_TEST_STRICT` is set.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("ARCHICONDA_TEST_STRICT").is_none(),
        "{reason}"
    );
    eprintln!("skipped: {reason}");
}
