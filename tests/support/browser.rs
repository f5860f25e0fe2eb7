//! A real browser without a window: Chromium, driven through its `chromedriver` by the `WebDriver`
//! protocol (W3C `WebDriver`, level 2). A client of the protocol is a POST of JSON to loopback, so it is
//! written out here. The browser ends with the value.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::requirements;
use super::run::Place;

/// The browser with one page.
pub(crate) struct Browser {
    driver: Child,
    /// Held open: it would end on a closed pipe.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
}

/// Keys as `WebDriver` names them.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const UP: &str = "\u{e013}";
pub(crate) const DOWN: &str = "\u{e015}";

/// How long a page may take: a busy machine is slow.
const PATIENCE: Duration = Duration::from_mins(1);

impl Browser {
    /// Starts one, if there is one.
    pub(crate) fn start(place: &Place) -> Option<Browser> {
        let driver = ["/usr/bin/chromedriver", "/usr/lib/chromium/chromedriver"]
            .iter()
            .find(|path| Path::new(path).is_file());
        let driver = requirements::require("Chromium (apt-get install chromium-driver)", driver)?;
        let mut driver = place
            .command(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let output = driver.stdout.take().expect("its output");
        let mut output = BufReader::new(output);
        let port = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split("successfully on port ").nth(1)?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says its port");
        let mut browser = Browser {
            driver,
            _output: output,
            port,
            session: String::new(),
        };
        let profile = place.join("profile");
        fs_err::create_dir(&profile).expect("a folder for the profile");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = browser.ask("POST", "/session", &wanted);
        browser.session = format!("/session/{}", text(&session["sessionId"]));
        Some(browser)
    }

    /// Opens a page and waits until it has loaded.
    pub(crate) fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text that a JavaScript expression is.
    pub(crate) fn read(&self, expression: &str) -> String {
        let value = self.script(&format!("return {expression}"));
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Waits until a JavaScript expression is true.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.script(&format!("return Boolean({expression})")) != json!(true) {
            assert!(
                start.elapsed() < PATIENCE,
                "never true: {expression}\n{}",
                self.read("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let keys: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": keys });
        self.command("/actions", &json!({ "actions": [keyboard] }));
    }

    /// A command of the `DevTools` protocol.
    pub(crate) fn tools(&self, command: &str, parameters: &Value) {
        let wanted = json!({ "cmd": command, "params": parameters });
        self.command("/goog/cdp/execute", &wanted);
    }

    /// What the pages wrote to the console, and what the browser refused them.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        let log = log.as_array().expect("a log");
        log.iter().map(|entry| text(&entry["message"])).collect()
    }

    /// The addresses of everything that was asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "performance" }));
        let log = log.as_array().expect("a log");
        log.iter()
            .filter_map(|entry| {
                let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
                let event = &event["message"];
                (event["method"] == "Network.requestWillBeSent")
                    .then(|| text(&event["params"]["request"]["url"]))
            })
            .collect()
    }

    fn command(&self, path: &str, parameters: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), parameters)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.exchange(method, path, body);
        let answer: Value = serde_json::from_str(&answer).expect("chromedriver answers in JSON");
        assert_eq!(status, 200, "{method} {path} {body}: {answer:#}");
        answer["value"].clone()
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver");
        let body = if method == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream
            .write_all((head + &body).as_bytes())
            .expect("a request");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut answer = String::new();
        reader
            .take(length)
            .read_to_string(&mut answer)
            .expect("a body");
        (status.expect("a status"), answer)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.exchange("DELETE", &self.session, &Value::Null);
        } else if !self.session.is_empty() {
            // Another panic would end the whole test run; the driver ends the browser on this signal.
            let _ = Command::new("kill")
                .arg(self.driver.id().to_string())
                .status();
            let _ = self.driver.wait();
            return;
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
