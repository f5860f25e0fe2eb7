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
    /// The connection is closed in the middle of the request.
    Cut,
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
    blobs: HashMap<String, usize>,
    manifests: HashMap<String, Vec<u8>>,
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
        self.state().manifests.get(name).cloned()
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
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            match &*name.to_lowercase() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            authorization,
        };
        let fault = {
            let mut state = shared.state.lock().expect("the state");
            state.requests.push(request.clone());
            next_fault(&mut state, &request)
        };
        if let Some(Fault::Cut) = fault {
            let mut some = vec![0; length / 2];
            reader.read_exact(&mut some)?;
            return stream.shutdown(std::net::Shutdown::Both);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let reply = match fault {
            Some(Fault::Status(status)) => {
                let text = r#"{"errors":[{"code":"TROUBLE","message":"for a test"}]}"#;
                (status, "Retry-After: 0\r\n".to_owned(), text.to_owned())
            }
            Some(Fault::OtherDigest) => {
                let other = format!("Docker-Content-Digest: sha256:{}\r\n", Sha256::of(b"other"));
                (201, other, String::new())
            }
            _ => answer(
                &mut shared.state.lock().expect("the state"),
                &request,
                &body,
            ),
        };
        let (status, headers, text) = reply;
        let head = format!(
            "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n",
            text.len()
        );
        let mut out = stream;
        out.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            out.write_all(text.as_bytes())?;
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

fn answer(state: &mut State, request: &Request, body: &[u8]) -> (u16, String, String) {
    let none = String::new;
    let path = request.path.as_str();
    if path.starts_with("/token") {
        return (200, none(), r#"{"token":"given"}"#.to_owned());
    }
    if path.starts_with("/elsewhere") {
        return (201, none(), none());
    }
    if let Some(realm) = &state.realm
        && request.authorization.as_deref() != Some("Bearer given")
    {
        let wanted = format!(
            "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:a:push\"\r\n"
        );
        return (401, wanted, none());
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    match request.method.as_str() {
        "HEAD" if state.blobs.contains_key(last) => (200, none(), none()),
        "POST" => {
            let place = match &state.uploads {
                Some(other) => format!("{other}/elsewhere?state=1"),
                None => format!("{path}session?state=1"),
            };
            (202, format!("Location: {place}\r\n"), none())
        }
        "PUT" if path.contains("/blobs/") => {
            let digest = format!("sha256:{}", Sha256::of(body));
            if !path
                .replace("%3A", ":")
                .ends_with(&format!("digest={digest}"))
            {
                return (400, none(), none());
            }
            state.blobs.insert(digest, body.len());
            (201, none(), none())
        }
        "PUT" => {
            state.manifests.insert(last.to_owned(), body.to_vec());
            (201, none(), none())
        }
        _ => (404, none(), none()),
    }
}
