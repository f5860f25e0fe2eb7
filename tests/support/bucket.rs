//! An S3-compatible server on the loopback interface (moto), and before it a proxy that keeps a record, refuses,
//! holds requests back, takes conditions away, and lets one write at a time through: moto looks at a condition
//! first and writes then. Both end with the value.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::requirements;
use super::run::Place;

/// A request that came to the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The key, below the bucket, with the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// A server with one bucket, `bucket`.
pub(crate) struct Bucket {
    address: SocketAddr,
    moto: Child,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    let_go: Condvar,
    writing: Mutex<()>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    refusals: Vec<(&'static str, String, u16, usize)>,
    held: Option<(&'static str, String)>,
    /// Counts what was held back, and up to which it was dropped.
    holds: usize,
    dropped: usize,
    without_conditions: bool,
}

impl Bucket {
    /// Starts a server, if there can be one.
    pub(crate) fn start() -> Option<Bucket> {
        let python = requirements::bucket_server()?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = free.local_addr().expect("an address");
        drop(free);
        let mut moto = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(server.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        while TcpStream::connect(server).is_err() {
            assert!(
                moto.try_wait().expect("a child").is_none(),
                "the server ended"
            );
            thread::sleep(Duration::from_millis(50));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
            let_go: Condvar::new(),
            writing: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client that is killed is what some tests are about.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        let bucket = Bucket {
            address,
            moto,
            shared,
        };
        bucket.raw("PUT", "", &[]);
        Some(bucket)
    }

    /// What tells a command where the server is.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDSHOWN")
            .env("AWS_SECRET_ACCESS_KEY", "hush-hush")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// `archiconda index s3://bucket/PREFIX`.
    pub(crate) fn indexer(&self, place: &Place, prefix: &str, arguments: &[&str]) -> Command {
        let mut command = place.archiconda();
        self.tell(&mut command)
            .arg("index")
            .arg(format!("s3://bucket/{prefix}"))
            .args(arguments);
        command
    }

    /// Writes an object, past the proxy.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let answer = self.raw("PUT", key, bytes);
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }

    /// Writes all files of a local channel below a prefix, but for hidden ones.
    pub(crate) fn put_channel(&self, prefix: &str, channel: &Path) {
        for name in names(channel) {
            let (path, key) = (channel.join(&name), format!("{prefix}/{name}"));
            if name.starts_with('.') {
            } else if path.is_dir() {
                self.put_channel(&key, &path);
            } else {
                self.put(&key, &fs_err::read(&path).expect("a file"));
            }
        }
    }

    /// Removes an object, past the proxy.
    pub(crate) fn remove(&self, key: &str) {
        self.raw("DELETE", key, &[]);
    }

    /// An object's head and bytes.
    pub(crate) fn get(&self, key: &str) -> Option<(String, Vec<u8>)> {
        let answer = self.raw("GET", key, &[]);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        head.starts_with("HTTP/1.1 200")
            .then(|| (head, answer[end + 4..].to_vec()))
    }

    /// All keys that begin so, with the time of their writing and their tag.
    pub(crate) fn list(&self, prefix: &str) -> BTreeMap<String, (String, String)> {
        let (_, text) = self
            .get(&format!("?list-type=2&max-keys=1000&prefix={prefix}"))
            .expect("a listing");
        let text = String::from_utf8(text).expect("a listing in UTF-8");
        let part = |entry: &str, name: &str| {
            let (_, rest) = entry.split_once(&format!("<{name}>")).expect(name);
            rest.split_once("</").expect(name).0.replace("&quot;", "\"")
        };
        text.split("<Contents>")
            .skip(1)
            .map(|entry| {
                let stamp = (part(entry, "LastModified"), part(entry, "ETag"));
                (part(entry, "Key"), stamp)
            })
            .collect()
    }

    /// The next `times` requests of this kind for a path that contains the text are answered with a status.
    pub(crate) fn refuse(&self, method: &'static str, text: &str, status: u16, times: usize) {
        let refusal = (method, text.to_owned(), status, times);
        self.state().refusals.push(refusal);
    }

    /// From now on nothing is refused.
    pub(crate) fn accept(&self) {
        self.state().refusals.clear();
    }

    /// The keys of objects of which parts are there, and that are not whole.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let (_, text) = self.get("?uploads").expect("a listing");
        let text = String::from_utf8(text).expect("a listing in UTF-8");
        let keys = text.split("<Key>").skip(1);
        keys.filter_map(|rest| Some(rest.split_once("</")?.0.to_owned()))
            .collect()
    }

    /// Requests of this kind for a path that contains the text get no answer until [`Bucket::let_go`].
    pub(crate) fn hold(&self, method: &'static str, text: &str) {
        let mut state = self.state();
        state.held = Some((method, text.to_owned()));
        state.holds += 1;
    }

    /// Answers what was held back.
    pub(crate) fn let_go(&self) {
        self.state().held = None;
        self.shared.let_go.notify_all();
    }

    /// What was held back never reaches the server.
    pub(crate) fn drop_held(&self) {
        let mut state = self.state();
        state.dropped = state.holds;
        drop(state);
        self.let_go();
    }

    /// From now on writes happen whatever their conditions say.
    pub(crate) fn forget_conditions(&self) {
        self.state().without_conditions = true;
    }

    /// The requests so far that a filter lets through.
    pub(crate) fn requests(&self, filter: impl Fn(&Request) -> bool) -> Vec<Request> {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|one| filter(one))
            .cloned()
            .collect()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.state().requests.clear();
    }

    /// Waits until there is such a request.
    pub(crate) fn wait_for(&self, filter: impl Fn(&Request) -> bool) {
        while self.requests(&filter).is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn raw(&self, method: &str, key: &str, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.shared.server).expect("a connection");
        let slash = if key.is_empty() || key.starts_with('?') {
            ""
        } else {
            "/"
        };
        // The server looks at who asks, and not at what it is signed with.
        let head = format!(
            "{method} /bucket{slash}{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(bytes).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the state")
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.let_go();
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
        drop(self.moto.kill());
        drop(self.moto.wait());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).expect("a folder");
    let name = |entry: io::Result<fs_err::DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).into_string().expect("a name"))
        .collect()
}

/// One request of a connection, which ends with it.
fn serve(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut words = lines
        .first()
        .map(String::as_str)
        .unwrap_or_default()
        .split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (method, path) = (
        method.to_owned(),
        path.trim_start_matches("/bucket/").to_owned(),
    );
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let refusal = {
        let mut state = shared.state.lock().expect("the state");
        state.requests.push(Request {
            method: method.clone(),
            path: path.clone(),
            headers,
        });
        let hold = state.holds;
        let mut was_held = false;
        while state
            .held
            .as_ref()
            .is_some_and(|(held, text)| *held == method && path.contains(text.as_str()))
            && !shared.stopped.load(Ordering::SeqCst)
        {
            was_held = true;
            state = shared.let_go.wait(state).expect("the state");
        }
        if was_held && hold <= state.dropped {
            return Ok(());
        }
        if state.without_conditions && method != "GET" {
            lines.retain(|line| !line.to_lowercase().starts_with("if-"));
        }
        state
            .refusals
            .iter_mut()
            .find(|(refused, text, _, times)| {
                *times > 0 && *refused == method && path.contains(text.as_str())
            })
            .map(|(_, _, status, times)| {
                *times -= 1;
                *status
            })
    };
    if let Some(status) = refusal {
        let text = format!(
            "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Type: application/xml\r\n\r\n\
             <?xml version=\"1.0\"?><Error><Code>Said</Code><Message>no {status}</Message>\
             <Token>hush-hush</Token></Error>"
        );
        return stream.write_all(text.as_bytes());
    }
    let writes = matches!(method.as_str(), "PUT" | "POST");
    let one_writer = writes.then(|| shared.writing.lock().expect("the lock"));
    let mut server = TcpStream::connect(shared.server)?;
    lines.retain(|line| !line.to_lowercase().starts_with("connection:"));
    lines.push("Connection: close".to_owned());
    server.write_all((lines.join("\r\n") + "\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    drop(one_writer);
    stream.write_all(&answer)
}
