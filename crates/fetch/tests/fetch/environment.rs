//! What comes from the environment: proxies, netrc, root certificates. A test may not change its
//! own environment, so that each runs this program again, with `child` alone.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::{Place, Reply, Server, bytes, chain, skip, wanted};

const BODY: usize = 1000;

/// Fetches `URL` into `FOLDER`, and fails where that fails.
#[test]
#[ignore = "run by the tests below, with an environment"]
fn child() {
    let url = std::env::var("FETCH_TEST_URL").expect("a URL");
    let place = Place::new();
    place
        .client()
        .packages(&[wanted(&url, &bytes(BODY, 1))], &|_| ())
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
}

/// Whether a child with these variables gets the package, and what it said.
fn fetched(url: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "environment::child", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("FETCH_TEST_URL", url)
        .envs(variables.iter().copied())
        .output()
        .expect("a child");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("running 1 test"), "{said}");
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

#[test]
fn a_proxy_is_used() {
    let proxy = Server::start(|request| {
        assert_eq!(request.path, "http://conda.invalid/xz-5.2-0.conda");
        Reply::file(request, &bytes(BODY, 1), "\"1\"")
    });
    let url = "http://conda.invalid/xz-5.2-0.conda";
    fetched(url, &[("http_proxy", &proxy.url(""))]).expect("through the proxy");
    assert_eq!(proxy.gets().len(), 1);
    fetched(
        url,
        &[
            ("http_proxy", &proxy.url("")),
            ("no_proxy", "conda.invalid"),
        ],
    )
    .expect_err("no such host");
    assert_eq!(proxy.gets().len(), 1);
}

#[test]
fn netrc_is_read() {
    // `me:s3cret` in base64 (RFC 7617).
    let server = Server::start(|request| {
        if request.header("authorization") == Some("Basic bWU6czNjcmV0") {
            Reply::file(request, &bytes(BODY, 1), "\"1\"")
        } else {
            Reply::status(401)
        }
    });
    let place = Place::new();
    let netrc = place.path().join("netrc");
    std::fs::write(&netrc, "machine 127.0.0.1 login me password s3cret\n").expect("a file");
    let url = server.url("xz-5.2-0.conda");
    fetched(&url, &[("NETRC", &netrc.display().to_string())]).expect("with netrc");
    let said = fetched(&url, &[]).expect_err("without");
    assert!(said.contains("401"), "{said}");
}

#[test]
fn ssl_cert_file_is_trusted_and_plain_http_needs_no_roots() {
    let place = Place::new();
    std::fs::write(place.path().join("xz-5.2-0.conda"), bytes(BODY, 1)).expect("a file");
    let Some(server) = TlsServer::start(&place) else {
        return;
    };
    let url = format!("https://localhost:{}/xz-5.2-0.conda", server.port);
    let certificate = place.path().join("certificate.pem").display().to_string();
    fetched(&url, &[("SSL_CERT_FILE", &certificate)]).expect("a root that is trusted");
    let said = fetched(&url, &[]).expect_err("a root that nobody knows");
    assert!(said.contains("certificate"), "{said}");
    let absent = [
        ("SSL_CERT_FILE", "/absent.pem"),
        ("SSL_CERT_DIR", "/absent"),
    ];
    fetched(&url, &absent).expect_err("no roots at all");
    let plain = Server::start(|request| Reply::file(request, &bytes(BODY, 1), "\"1\""));
    fetched(&plain.url("xz-5.2-0.conda"), &absent).expect("no certificate is needed");
}

/// `openssl s_server`, serving a folder.
struct TlsServer {
    child: Child,
    port: u16,
}

impl TlsServer {
    fn start(place: &Place) -> Option<Self> {
        let openssl = || {
            let mut command = Command::new("openssl");
            command.current_dir(place.path()).stderr(Stdio::null());
            command
        };
        let made = openssl()
            .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(' '))
            .args(
                "-keyout key.pem -out certificate.pem -addext basicConstraints=critical,CA:FALSE"
                    .split(' '),
            )
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            skip("openssl is absent");
            return None;
        }
        let mut child = openssl()
            .args("s_server -WWW -accept 0 -key key.pem -cert certificate.pem".split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl");
        let port = BufReader::new(child.stdout.take().expect("its output"))
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("ACCEPT ")?
                    .rsplit(':')
                    .next()?
                    .parse()
                    .ok()
            });
        Some(Self {
            child,
            port: port.expect("a port"),
        })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
