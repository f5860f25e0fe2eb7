//! `archiconda serve` on a free port of the loopback interface, and clients that say exactly what a test
//! wants, byte by byte. The server ends with the value.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::run::Place;

/// The server.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it printed when it began.
    pub(crate) printed: serde_json::Value,
    log: PathBuf,
}

/// What a server sent back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case; what stands several times is joined with commas.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Serving {
    /// Starts a server in a place, with these arguments.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Serving {
        Self::with(place, &mut place.archiconda(), arguments)
    }

    /// The same with a command that knows more.
    pub(crate) fn with(place: &Place, command: &mut Command, arguments: &[&str]) -> Serving {
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--json",
            "--log",
            "json",
        ]);
        Serving::of(place, command.args(arguments))
    }

    fn of(place: &Place, command: &mut Command) -> Serving {
        let log = place.join(format!("serve-{}.log", number(place)));
        let stderr = fs_err::File::create(&log).expect("a file").into_file();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("a server");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let read = || fs_err::read_to_string(&log).unwrap_or_default();
        let printed: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("no addresses, {error}: {line}\n{}", read()));
        let url = printed["addresses"][0].as_str().expect("an address");
        let address = url.rsplit('/').next().and_then(|text| text.parse().ok());
        Serving {
            child,
            address: address.expect("an address"),
            printed,
            log,
        }
    }

    /// `http://ADDRESS/`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has written this.
    pub(crate) fn says(&self, text: &str) {
        until(|| self.log().contains(text));
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", name, &self.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its end. The exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().expect("its end").code()
    }

    /// A connection.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A request with these header lines.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        self.send(method, path, headers, b"")
    }

    /// The same with a body.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for header in headers {
            head.extend([header, "\r\n"]);
        }
        if !body.is_empty() {
            head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        // Who refuses does not read to the end.
        let _ = stream.write_all(body);
        receive(&mut stream, method == "HEAD")
    }

    /// The content of a file.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let text = self.log();
            let lines: Vec<_> = text.lines().rev().take(30).collect();
            #[expect(
                clippy::print_stderr,
                reason = "a test that fails says what the server said"
            )]
            for line in lines.iter().rev() {
                eprintln!("server: {line}");
            }
        }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A header's value; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that does not wait forever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    let minute = Some(Duration::from_mins(1));
    stream.set_read_timeout(minute).expect("a time limit");
    stream.set_write_timeout(minute).expect("a time limit");
    stream
}

/// Takes one answer from a connection, which may go on.
pub(crate) fn receive(stream: &mut TcpStream, is_head: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let count = stream.read(&mut byte).expect("an answer");
        assert!(
            count == 1,
            "the head ends early: {:?}",
            String::from_utf8_lossy(&head)
        );
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = head.trim_end().lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        let value = value.trim();
        headers
            .entry(name.to_lowercase())
            .and_modify(|known| known.extend([", ", value]))
            .or_insert_with(|| value.to_owned());
    }
    let status = status.expect("a status");
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().expect("a length"));
    let mut body = vec![0; if is_head || status == 304 { 0 } else { length }];
    stream.read_exact(&mut body).expect("the whole body");
    Answer {
        status,
        headers,
        body,
    }
}

/// Waits for something that another process does.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number that no other server of the place has.
fn number(place: &Place) -> usize {
    fs_err::read_dir(place.path()).expect("a folder").count()
}
