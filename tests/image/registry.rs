//! A registry on the loopback interface that keeps what it is sent, wants a token, fails and lies where a test
//! tells it to, and remembers who showed what. It ends with the value.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use archive::digest::Sha256;

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// This status, with the code of an error.
    Status(u16),
    /// The connection is closed in the middle of the request, or of the answer if nothing is sent.
    Cut,
    /// As `Cut`, and what came until then is forgotten.
    Lose,
    /// No answer, for as long as the client waits.
    Hang,
    /// Another content of the same length.
    OtherBytes,
    /// Sent on to the same path at this address.
    Redirect(String),
    /// Wants to know who asks, and names this address for tokens.
    Challenge(String),
    /// The manifest is stored as another one.
    OtherDigest,
}

/// What a client asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    /// The position that it wants to go on from.
    pub(super) start: Option<usize>,
}

/// The registry.
pub(super) struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    faults: Vec<(&'static str, String, Fault, usize)>,
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    /// Whether it lists what refers to a manifest.
    lists_referrers: bool,
    /// Uploads that were begun.
    sessions: usize,
    /// What came of unfinished uploads.
    uploaded: HashMap<String, Vec<u8>>,
    /// The address that gives tokens.
    realm: Option<String>,
    /// Where uploads go, if not here.
    uploads: Option<String>,
}

impl Registry {
    pub(super) fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client that goes away is what some tests are about.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Registry { address, shared }
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The next `times` requests of this method for a path with this in it go wrong.
    pub(super) fn fault(&self, method: &'static str, part: &str, fault: Fault, times: usize) {
        self.state()
            .faults
            .push((method, part.to_owned(), fault, times));
    }

    /// From now on a token is wanted, which another server gives.
    pub(super) fn want_token_of(&self, other: &Registry) {
        self.state().realm = Some(format!("http://{}/token", other.authority()));
    }

    /// From now on it says of what refers to others that it knows so.
    pub(super) fn list_referrers(&self) {
        self.state().lists_referrers = true;
    }

    /// From now on uploads go to another server.
    pub(super) fn upload_to(&self, other: &Registry) {
        self.state().uploads = Some(format!("http://{}", other.authority()));
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The digests of all blobs.
    pub(super) fn blobs(&self) -> Vec<String> {
        let mut blobs: Vec<String> = self.state().blobs.keys().cloned().collect();
        blobs.sort();
        blobs
    }

    /// What lies under a tag or digest.
    pub(super) fn manifest(&self, name: &str) -> Option<Vec<u8>> {
        self.state()
            .manifests
            .get(name)
            .map(|(_, bytes)| bytes.clone())
    }

    /// Puts a blob there; returns its digest.
    pub(super) fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", Sha256::of(bytes));
        self.state().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Puts a manifest there, under its digest and a tag; returns the digest.
    pub(super) fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", Sha256::of(bytes));
        for name in [tag, &digest] {
            let one = (media_type.to_owned(), bytes.to_vec());
            self.state().manifests.insert(name.to_owned(), one);
        }
        digest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the state")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Ok(());
        };
        let (mut length, mut authorization, mut media_type) = (0, None, String::new());
        let mut start = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            match &*name.to_lowercase() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => authorization = Some(value.trim().to_owned()),
                "content-type" => value.trim().clone_into(&mut media_type),
                "range" | "content-range" => {
                    let from = value.trim().trim_start_matches("bytes=");
                    start = from.split('-').next().and_then(|from| from.parse().ok());
                }
                _ => {}
            }
        }
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            authorization,
            start,
        };
        let fault = {
            let mut state = shared.state.lock().expect("the state");
            state.requests.push(request.clone());
            next_fault(&mut state, &request)
        };
        let mut out = stream;
        if length > 0 && matches!(fault, Some(Fault::Cut | Fault::Lose)) {
            let mut some = vec![0; length / 2];
            reader.read_exact(&mut some)?;
            if method == "PATCH" && !matches!(fault, Some(Fault::Lose)) {
                let mut state = shared.state.lock().expect("the state");
                append(&mut state, path, &some);
            }
            return stream.shutdown(std::net::Shutdown::Both);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if let Some(Fault::Hang) = fault {
            return reader.read_to_end(&mut body).map(drop);
        }
        let text = |text: &str| text.as_bytes().to_vec();
        let reply = match &fault {
            Some(Fault::Status(status)) => {
                let said = r#"{"errors":[{"code":"TROUBLE","message":"for a test"}]}"#;
                (*status, "Retry-After: 0\r\n".to_owned(), text(said))
            }
            Some(Fault::OtherDigest) => {
                let other = format!("Docker-Content-Digest: sha256:{}\r\n", Sha256::of(b"other"));
                (201, other, Vec::new())
            }
            Some(Fault::Redirect(to)) => {
                (307, format!("Location: http://{to}{path}\r\n"), Vec::new())
            }
            Some(Fault::Challenge(to)) => {
                let wanted = format!("WWW-Authenticate: Bearer realm=\"http://{to}/token\"\r\n");
                (401, wanted, Vec::new())
            }
            _ => answer(
                &mut shared.state.lock().expect("the state"),
                &request,
                &media_type,
                &body,
            ),
        };
        let (status, headers, mut content) = reply;
        if let Some(Fault::OtherBytes) = fault {
            for byte in &mut content {
                *byte ^= 1;
            }
        }
        let head = format!(
            "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n",
            content.len()
        );
        out.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            if let Some(Fault::Cut) = fault {
                out.write_all(&content[..content.len() / 2])?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
            out.write_all(&content)?;
        }
    }
}

fn next_fault(state: &mut State, request: &Request) -> Option<Fault> {
    let (.., fault, times) = state.faults.iter_mut().find(|(method, part, _, times)| {
        *method == request.method && request.path.contains(part.as_str()) && *times > 0
    })?;
    *times -= 1;
    Some(fault.clone())
}

/// Adds to an upload; returns how much it has.
fn append(state: &mut State, path: &str, bytes: &[u8]) -> usize {
    let session = path.split('?').next().unwrap_or_default();
    let upload = state.uploaded.entry(session.to_owned()).or_default();
    upload.extend_from_slice(bytes);
    upload.len()
}

fn answer(
    state: &mut State,
    request: &Request,
    media_type: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let none = || (String::new(), Vec::new());
    let plain = |status: u16| {
        let (headers, body) = none();
        (status, headers, body)
    };
    let path = request.path.as_str();
    if path.starts_with("/token") {
        return (200, String::new(), br#"{"token":"given"}"#.to_vec());
    }
    if path.starts_with("/elsewhere") {
        return plain(if request.method == "PUT" { 201 } else { 202 });
    }
    if let Some(realm) = &state.realm
        && request.authorization.as_deref() != Some("Bearer given")
    {
        let wanted = format!(
            "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:a:push\"\r\n"
        );
        return (401, wanted, Vec::new());
    }
    let bare = path.split('?').next().unwrap_or_default();
    let last = bare.rsplit('/').next().unwrap_or_default();
    let start = request.start.unwrap_or(0);
    match request.method.as_str() {
        "HEAD" if state.blobs.contains_key(last) => plain(200),
        "GET" if path.contains("/manifests/") => match state.manifests.get(last) {
            Some((media_type, bytes)) => (
                200,
                format!("Content-Type: {media_type}\r\n"),
                bytes.clone(),
            ),
            None => plain(404),
        },
        "GET" if path.contains("/blobs/uploads/") => match state.uploaded.get(bare) {
            Some(upload) => {
                let last = upload.len().saturating_sub(1);
                (204, format!("Range: 0-{last}\r\n"), Vec::new())
            }
            None => plain(404),
        },
        "GET" if path.contains("/blobs/") => match state.blobs.get(last) {
            Some(bytes) if start > 0 && start < bytes.len() => {
                let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                let range = format!("Content-Range: {range}\r\n");
                (206, range, bytes[start..].to_vec())
            }
            Some(bytes) => (200, String::new(), bytes.clone()),
            None => plain(404),
        },
        "POST" => {
            state.sessions += 1;
            let place = match &state.uploads {
                Some(other) => format!("{other}/elsewhere?state=1"),
                None => format!("{bare}session-{}?state=1", state.sessions),
            };
            (202, format!("Location: {place}\r\n"), Vec::new())
        }
        "PATCH" => {
            let there = state.uploaded.get(bare).map_or(0, Vec::len);
            if there != start {
                return plain(416);
            }
            let last = append(state, path, body).saturating_sub(1);
            let headers = format!("Location: {path}\r\nRange: 0-{last}\r\n");
            (202, headers, Vec::new())
        }
        "PUT" if path.contains("/blobs/") => {
            let whole = state.uploaded.remove(bare).unwrap_or_default();
            let digest = format!("sha256:{}", Sha256::of(&whole));
            if !path
                .replace("%3A", ":")
                .ends_with(&format!("digest={digest}"))
            {
                return plain(400);
            }
            state.blobs.insert(digest, whole);
            plain(201)
        }
        "PUT" => {
            let digest = format!("sha256:{}", Sha256::of(body));
            for name in [last, &digest] {
                let one = (media_type.to_owned(), body.to_vec());
                state.manifests.insert(name.to_owned(), one);
            }
            let refers = String::from_utf8_lossy(body).contains("\"subject\"");
            if refers && state.lists_referrers {
                return (201, "OCI-Subject: sha256:0\r\n".to_owned(), Vec::new());
            }
            plain(201)
        }
        _ => plain(404),
    }
}
