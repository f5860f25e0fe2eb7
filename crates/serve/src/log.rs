//! One line for each request, written by a thread of its own so that nobody waits for a terminal. What a
//! line says was cleaned before: no token, no value of a query.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::settings::LogForm;

/// How many lines may wait. Then they are left out and counted, rather than that clients wait.
const WAITING: usize = 1 << 14;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log {
    form: LogForm,
    lines: SyncSender<Message>,
    lost: AtomicU64,
}

enum Message {
    Line(String),
    /// All before this is written when the other side is gone.
    Flush(SyncSender<()>),
}

/// What is told of a request.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) protocol: &'static str,
    pub(crate) status: u16,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) whole: bool,
    pub(crate) took: Duration,
    pub(crate) channel: &'a str,
    /// The name of the token.
    pub(crate) token: &'a str,
    pub(crate) agent: &'a str,
}

impl Log {
    pub(crate) fn start(form: LogForm, output: Box<dyn Write + Send>) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        std::thread::spawn(move || write_all(&waiting, output));
        Self {
            form,
            lines,
            lost: AtomicU64::default(),
        }
    }

    /// Whether requests are written down.
    pub(crate) fn takes_requests(&self) -> bool {
        self.form != LogForm::None
    }

    pub(crate) fn request(&self, line: &Line<'_>) {
        if self.form == LogForm::None {
            return;
        }
        let time = now();
        let milliseconds = line.took.as_secs_f64() * 1000.0;
        self.send(match self.form {
            LogForm::Json => {
                let mut text = json!({
                    "time": time, "peer": line.peer, "method": line.method, "path": line.path,
                    "protocol": line.protocol, "status": line.status, "bytes": line.sent,
                    "ms": (milliseconds * 1000.0).round() / 1000.0,
                });
                if !line.whole {
                    text["cut"] = true.into();
                }
                if line.received > 0 {
                    text["received"] = line.received.into();
                }
                for (key, value) in [
                    ("channel", line.channel),
                    ("token", line.token),
                    ("agent", line.agent),
                ] {
                    if !value.is_empty() {
                        text[key] = value.into();
                    }
                }
                text.to_string()
            }
            LogForm::Text | LogForm::None => {
                let mut text = format!(
                    "{time} {} {} {} {} {} {milliseconds:.1}ms",
                    line.peer, line.method, line.path, line.status, line.sent
                );
                if !line.whole {
                    text.push_str(" cut");
                }
                if !line.token.is_empty() {
                    let _ = write!(text, " token={}", line.token);
                }
                text
            }
        });
    }

    /// Something that the operator should know.
    pub(crate) fn note(&self, level: &str, message: &str) {
        let time = now();
        self.send(match self.form {
            LogForm::Json => {
                json!({ "time": time, "level": level, "message": message }).to_string()
            }
            LogForm::Text | LogForm::None => format!("{time} {level}: {}", printable(message)),
        });
    }

    /// Waits until all is written.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn send(&self, line: String) {
        let lost = self.lost.load(Relaxed);
        let told = || Message::Line(format!("{lost} lines left out"));
        if lost > 0 && self.lines.try_send(told()).is_ok() {
            self.lost.fetch_sub(lost, Relaxed);
        }
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

fn write_all(waiting: &Receiver<Message>, mut output: Box<dyn Write + Send>) {
    let mut text = String::new();
    while let Ok(first) = waiting.recv() {
        // What came meanwhile goes with it.
        let others = std::iter::from_fn(|| waiting.try_recv().ok());
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(others.take(WAITING)) {
            match message {
                Message::Line(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                Message::Flush(done) => flushed.push(done),
            }
        }
        // Nobody is left to tell if standard error is closed.
        let _ = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
        text.clear();
    }
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// A text in which nothing steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the text").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(form: LogForm) -> String {
        let memory = Memory::default();
        let log = Log::start(form, Box::new(memory.clone()));
        log.request(&Line {
            peer: IpAddr::from([127, 0, 0, 1]),
            method: "GET",
            path: "/demo/a",
            protocol: "HTTP/1.1",
            status: 200,
            sent: 5,
            received: 0,
            whole: false,
            took: Duration::from_micros(1500),
            channel: "demo",
            token: "ci",
            agent: "conda/1 \"x\"\u{1b}",
        });
        log.note("warning", "two\nlines");
        log.flush();
        let bytes = memory.0.lock().expect("the text").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_are_for_machines_or_people() {
        let text = written(LogForm::Json);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["ms"], 1.5);
        assert_eq!(lines[0]["cut"], true);
        assert_eq!(lines[0]["agent"], "conda/1 \"x\"\u{1b}");
        assert_eq!(lines[1]["message"], "two\nlines");
        let text = written(LogForm::Text);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].ends_with(" 127.0.0.1 GET /demo/a 200 5 1.5ms cut token=ci"),
            "{text}"
        );
        assert!(lines[1].ends_with(" warning: two lines"), "{text}");
        assert_eq!(written(LogForm::None).lines().count(), 1);
    }
}
