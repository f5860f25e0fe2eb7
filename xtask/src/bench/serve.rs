//! `serve`: our server beside Debian's nginx, on the same files, asked by wrk on the same machine.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use super::Bench;
use super::input::PLATFORM;
use super::input::stock::{self, Content, Stock};
use super::measure::median;
use super::report::{Bound, Outcome};
use crate::process;

const OURS: &str = "archiconda serve";
const NGINX: &str = "nginx";
const CONNECTIONS: &str = "64";

/// A server, while it runs.
struct Server {
    child: Child,
    url: String,
}

/// What wrk says of one run.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Requests in a second.
    requests: f64,
    /// Megabytes in a second.
    megabytes: f64,
    /// The slowest of a hundred, in milliseconds.
    p99: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let channel = bench.folder.join("channel");
    let stock = Stock {
        packages: if bench.quick { 200 } else { 2000 },
        content: Content::Small,
        bzipped: 0,
    };
    stock::fill(&channel, stock)?;
    process::quietly(&mut bench.tools.indexer(&channel, &["--zst", "--write-shards"]))?;
    let package = channel.join(PLATFORM).join("megabyte-1.0-0.conda");
    fs::write(&package, vec![b'a'; 1_000_000])?;
    let index = format!("{PLATFORM}/repodata.json.zst");
    let length = fs::metadata(channel.join(&index))?.len();
    let about = format!(
        "repodata.json.zst of {} KB and a package of 1 MB, asked over and over by wrk on {CONNECTIONS} connections with \
         keep-alive, from the same two cores; nginx is Debian's, with one worker for each core and sendfile, and neither \
         writes a log. 304 is the answer to who has repodata.json.zst already.",
        length / 1000
    );
    let mut outcome = Outcome::new("serve", about, Vec::new());
    for program in ["nginx", "wrk"] {
        if process::find(program).is_none() {
            let reason = format!("{program}: as root, apt-get install nginx-light wrk");
            outcome.missing.push(reason);
        }
    }
    if !outcome.missing.is_empty() {
        return Ok(outcome);
    }
    let servers = [
        (OURS, ours(bench, &channel)?),
        (NGINX, nginx(bench, &channel)?),
    ];
    let tag = |server: &Server| -> Result<String> {
        let mut curl = Command::new("curl");
        let head = process::output(curl.args(["-sI", &format!("{}/{index}", server.url)]))?;
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: ").or(line.strip_prefix("ETag: ")));
        Ok(line.context("no tag")?.trim().to_owned())
    };
    let kinds: [(&str, String, bool); 3] = [
        ("repodata.json.zst", index.clone(), false),
        ("304", index.clone(), true),
        (
            "1 MB package",
            format!("{PLATFORM}/megabyte-1.0-0.conda"),
            false,
        ),
    ];
    let seconds = if bench.quick { "1s" } else { "5s" };
    let mut rows = vec![
        ["", "requests/s", "MB/s", "p99 ms", "peak MB"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (kind, path, known) in &kinds {
        let mut loads: [Vec<Load>; 2] = Default::default();
        // By turns, after a round that does not count.
        for round in 0..=bench.runs {
            for ((_, server), loads) in servers.iter().zip(&mut loads) {
                let tag = if *known { Some(tag(server)?) } else { None };
                let load = wrk(&format!("{}/{path}", server.url), tag.as_deref(), seconds)?;
                if round > 0 {
                    loads.push(load);
                }
            }
        }
        for ((name, server), loads) in servers.iter().zip(&loads) {
            let middle = |value: fn(&Load) -> f64| median(loads.iter().map(value).collect());
            rows.push(vec![
                format!("{name}, {kind}"),
                format!("{:.0}", middle(|load| load.requests)),
                format!("{:.0}", middle(|load| load.megabytes)),
                format!("{:.2}", middle(|load| load.p99)),
                format!("{:.1}", peak(server.child.id())?),
            ]);
        }
        let [ours, theirs] = &loads;
        let share = |value: fn(&Load) -> f64| {
            let shares = ours
                .iter()
                .zip(theirs)
                .map(|(ours, theirs)| value(ours) / value(theirs));
            median(shares.collect())
        };
        let (what, found, bound) = if *kind == "1 MB package" {
            ("bytes/s", share(|load| load.megabytes), 0.5)
        } else {
            ("requests/s", share(|load| load.requests), 0.8)
        };
        let what = format!("{what} of {OURS} : {NGINX}, {kind}");
        outcome.target(what, found, "", Bound::AtLeast(bound));
    }
    outcome.figures = rows;
    Ok(outcome)
}

fn ours(bench: &Bench<'_>, channel: &Path) -> Result<Server> {
    let mut command = bench.tools.archiconda();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "none"])
        .arg(channel);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let url = line.split_once(": ").map(|(_, url)| url.trim().to_owned());
    Ok(Server {
        child,
        url: url.context("the server does not start")?,
    })
}

fn nginx(bench: &Bench<'_>, channel: &Path) -> Result<Server> {
    let folder = bench.folder.join("nginx");
    fs::create_dir_all(&folder)?;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cores = std::thread::available_parallelism()?;
    let user = if process::is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    let settings = format!(
        "daemon off;\n{user}\nworker_processes {cores};\npid nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\n{temporary}sendfile on;\ntcp_nopush on;\nkeepalive_requests 100000000;\n\
         server {{ listen {address}; root {}; }}\n}}\n",
        channel.display()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, settings)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(&file)
        .args(["-e", "stderr"]);
    let child = command.stderr(Stdio::null()).spawn()?;
    let server = Server {
        child,
        url: format!("http://{address}"),
    };
    for _ in 0..500 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(server);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bail!("nginx does not start");
}

impl Drop for Server {
    fn drop(&mut self) {
        // It takes its workers with it.
        let mut kill = Command::new("kill");
        drop(
            kill.args(["-s", "TERM", &self.child.id().to_string()])
                .status(),
        );
        drop(self.child.wait());
    }
}

fn wrk(url: &str, tag: Option<&str>, seconds: &str) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args(["-t2", "-c", CONNECTIONS, "-d", seconds, "--latency"]);
    if let Some(tag) = tag {
        command.args(["-H", &format!("If-None-Match: {tag}")]);
    }
    let text = process::output(command.arg(url))?;
    read(&text).with_context(|| format!("wrk says\n{text}"))
}

fn read(text: &str) -> Option<Load> {
    // Whatever is no 2xx or 3xx, or breaks, is no measurement.
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let field = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        let value = value.trim();
        let unit = value.find(|letter: char| letter.is_ascii_alphabetic());
        let (number, unit) = value.split_at(unit.unwrap_or(value.len()));
        let factor = match unit {
            "" | "MB" | "ms" => 1.0,
            "B" => 1e-6,
            "KB" | "us" => 1e-3,
            "GB" | "s" => 1e3,
            _ => return None,
        };
        Some(number.parse::<f64>().ok()? * factor)
    };
    Some(Load {
        requests: field("Requests/sec:")?,
        megabytes: field("Transfer/sec:")?,
        p99: field("99%")?,
    })
}

/// The most memory that a server had in RAM, with its children, in megabytes.
fn peak(id: u32) -> Result<f64> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let ids = children
        .split_whitespace()
        .map(str::to_owned)
        .chain([id.to_string()]);
    let mut sum = 0.0;
    for id in ids {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        sum += kilobytes.context("no peak")? * 1024.0 / 1e6;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let text = "Running 1s test @ http://127.0.0.1\n  Latency Distribution\n     50%  500.00us\n     99%    1.50ms\n  \
                    100 requests in 1.00s, 2.00GB read\nRequests/sec:  12345.67\nTransfer/sec:      1.25GB\n";
        let load = read(text).expect("a load");
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(
            close(load.requests, 12345.67) && close(load.megabytes, 1250.0) && close(load.p99, 1.5)
        );
        assert!(read(&format!("{text}  Non-2xx or 3xx responses: 7\n")).is_none());
    }
}
