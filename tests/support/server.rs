//! A small HTTP server on the loopback interface that serves a folder, and stalls, truncates, lies
//! and refuses where a test tells it to. It ends with the value.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status, with nothing.
    Status(u16),
    /// Silence after so many bytes, until the server ends.
    Stall(usize),
    /// The connection is closed after so many bytes.
    Truncate(usize),
    /// The byte at this position is another one.
    Flip(usize),
}

/// Who may have anything at all.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// The first parts of the path are `/t/TOKEN`.
    Token(&'static str),
    /// The header `Authorization: Basic …`, with user and password as base64 already.
    Basic(&'static str),
}

/// What a client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Without the token.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// What it was answered.
    pub(crate) status: u16,
}

/// The server.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: Vec<(String, Fault, usize)>,
    access: Option<Access>,
    whole_files_only: bool,
    requests: Vec<Request>,
}

impl Server {
    /// Serves a folder.
    pub(crate) fn start(folder: &Path) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let accept = move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let shared = Arc::clone(&accepting);
                // A client that goes away is what some tests are about.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        };
        Server {
            address,
            shared,
            listener: Some(thread::spawn(accept)),
        }
    }

    /// The URL of the folder, with a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The next `times` requests for a path that ends so go wrong.
    pub(crate) fn fault(&self, ending: &str, fault: Fault, times: usize) {
        self.state().faults.push((ending.to_owned(), fault, times));
    }

    /// From now on only those who know the secret get anything but 401.
    pub(crate) fn require(&self, access: Access) {
        self.state().access = Some(access);
    }

    /// From now on a request for a part is answered with the whole.
    pub(crate) fn ignore_ranges(&self) {
        self.state().whole_files_only = true;
    }

    /// What was asked for so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How often a path that ends so was asked for or about.
    pub(crate) fn count(&self, ending: &str) -> usize {
        let requests = self.requests();
        requests
            .iter()
            .filter(|request| request.path.ends_with(ending))
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the state")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

/// What is sent.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let (method, mut path) = (method.to_owned(), path.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let (reply, fault) = {
        let mut state = shared.state.lock().expect("the state");
        let allowed = state.admits(&mut path, &headers);
        let fault = allowed.then(|| state.next_fault(&path)).flatten();
        let reply = match fault {
            _ if !allowed => Reply::status(401),
            Some(Fault::Status(status)) => Reply::status(status),
            _ => Reply::file(&shared.folder, &path, &headers, state.whole_files_only),
        };
        state.requests.push(Request {
            path,
            headers,
            status: reply.status,
        });
        (reply, fault)
    };
    send(stream, &method, reply, fault, &shared.stopped)
}

impl State {
    /// Whether the request is allowed; takes the token out of the path.
    fn admits(&self, path: &mut String, headers: &HashMap<String, String>) -> bool {
        match &self.access {
            None => true,
            Some(Access::Token(token)) => match path.strip_prefix(&format!("/t/{token}/")) {
                Some(rest) => {
                    *path = format!("/{rest}");
                    true
                }
                None => false,
            },
            Some(Access::Basic(secret)) => {
                headers.get("authorization") == Some(&format!("Basic {secret}"))
            }
        }
    }

    fn next_fault(&mut self, path: &str) -> Option<Fault> {
        let waiting = |(ending, _, times): &&mut (String, Fault, usize)| {
            *times > 0 && path.ends_with(ending.as_str())
        };
        let (_, fault, times) = self.faults.iter_mut().find(waiting)?;
        *times -= 1;
        Some(*fault)
    }
}

impl Reply {
    fn status(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// As a good server does: a part where a part is asked for and the version still fits.
    fn file(folder: &Path, path: &str, headers: &HashMap<String, String>, whole: bool) -> Reply {
        let relative = path
            .split('?')
            .next()
            .unwrap_or_default()
            .trim_start_matches('/');
        if relative.split('/').any(|part| part == "..") {
            return Reply::status(400);
        }
        let Ok(body) = fs_err::read(folder.join(relative)) else {
            return Reply::status(404);
        };
        let tag = format!("\"{:.16}\"", archive::digest::Sha256::of(&body).to_string());
        let same = headers.get("if-range").is_none_or(|wanted| *wanted == tag);
        let start = headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'))
            .and_then(|start| start.parse::<usize>().ok())
            .filter(|_| same && !whole);
        if headers.get("if-none-match") == Some(&tag) {
            return Reply {
                headers: vec![("ETag", tag)],
                ..Reply::status(304)
            };
        }
        match start {
            None => Reply {
                status: 200,
                headers: vec![("ETag", tag)],
                body,
            },
            Some(start) if start >= body.len() => Reply::status(416),
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                let headers = vec![("ETag", tag), ("Content-Range", range)];
                Reply {
                    status: 206,
                    headers,
                    body: body[start..].to_vec(),
                }
            }
        }
    }
}

fn send(
    mut stream: &TcpStream,
    method: &str,
    mut reply: Reply,
    fault: Option<Fault>,
    stopped: &AtomicBool,
) -> io::Result<()> {
    if let Some(Fault::Flip(at)) = fault
        && let Some(byte) = reply.body.get_mut(at)
    {
        *byte ^= 0x20;
    }
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([*name, ": ", value, "\r\n"]);
    }
    if reply.status != 304 {
        head.extend(["Content-Length: ", &reply.body.len().to_string(), "\r\n"]);
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if method == "HEAD" {
        return Ok(());
    }
    let end = match fault {
        Some(Fault::Stall(bytes) | Fault::Truncate(bytes)) => bytes.min(reply.body.len()),
        _ => reply.body.len(),
    };
    stream.write_all(&reply.body[..end])?;
    while matches!(fault, Some(Fault::Stall(_))) && !stopped.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    stream.flush()
}
