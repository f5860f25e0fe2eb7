//! Numbers for Prometheus, in its text format (version 0.0.4). The names of channels are those of the
//! settings, so that no request can make a new line.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::{Method, StatusCode};

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "other"];
const STATUSES: [u16; 27] = [
    200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414,
    416, 422, 429, 500, 502, 503, 507, 0,
];
/// In microseconds: up to the bounds of most downloads.
const BOUNDS: [u64; 12] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    120_000_000,
];

/// What was counted since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    channels: Vec<String>,
    requests: Vec<AtomicU64>,
    sent: Vec<AtomicU64>,
    received: AtomicU64,
    cut: AtomicU64,
    in_flight: AtomicU64,
    connections: AtomicU64,
    accepted: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// What one exchange came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome<'a> {
    /// The channel's place among all of them, if the request was about one.
    pub(crate) channel: Option<usize>,
    pub(crate) method: &'a Method,
    pub(crate) status: StatusCode,
    /// Bytes of the body.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Whether all that was promised was sent.
    pub(crate) whole: bool,
    pub(crate) took: Duration,
}

fn zeros(count: usize) -> Vec<AtomicU64> {
    std::iter::repeat_with(AtomicU64::default)
        .take(count)
        .collect()
}

impl Metrics {
    pub(crate) fn new(channels: Vec<String>) -> Self {
        let rows = channels.len() + 1;
        Self {
            requests: zeros(rows * METHODS.len() * STATUSES.len()),
            sent: zeros(rows),
            received: AtomicU64::default(),
            cut: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            connections: AtomicU64::default(),
            accepted: AtomicU64::default(),
            buckets: Default::default(),
            microseconds: AtomicU64::default(),
            channels,
        }
    }

    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self, outcome: Outcome<'_>) {
        self.in_flight.fetch_sub(1, Relaxed);
        let row = outcome.channel.unwrap_or(self.channels.len());
        let last = METHODS.len() - 1;
        let method = METHODS
            .iter()
            .position(|name| *name == outcome.method.as_str());
        let method = method.unwrap_or(last);
        let code = outcome.status.as_u16();
        let status = STATUSES.iter().position(|known| *known == code);
        let status = status.unwrap_or(STATUSES.len() - 1);
        let index = (row * METHODS.len() + method) * STATUSES.len() + status;
        add(self.requests.get(index), 1);
        add(self.sent.get(row), outcome.sent);
        self.received.fetch_add(outcome.received, Relaxed);
        self.cut.fetch_add(u64::from(!outcome.whole), Relaxed);
        let took = u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| took <= *bound);
        add(self.buckets.get(bucket.unwrap_or(BOUNDS.len())), 1);
        self.microseconds.fetch_add(took, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// All numbers, as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
            let _ = writeln!(
                text,
                "# HELP archiconda_{name} {help}\n# TYPE archiconda_{name} {kind}"
            );
            for (labels, value) in samples {
                let _ = writeln!(text, "archiconda_{name}{labels} {value}");
            }
        };
        let one = |value: &AtomicU64| vec![(String::new(), value.load(Relaxed).to_string())];
        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        family(
            "build_info",
            "gauge",
            "The program.",
            &[(version, "1".to_owned())],
        );
        family(
            "http_requests_total",
            "counter",
            "Requests that were answered.",
            &self.request_samples(),
        );
        let named = self.channels.iter().map(String::as_str).chain([""]);
        let sent: Vec<_> = named
            .zip(&self.sent)
            .map(|(channel, sent)| (format!("{{channel=\"{}\"}}", escaped(channel)), sent))
            .map(|(labels, sent)| (labels, sent.load(Relaxed).to_string()))
            .collect();
        family(
            "http_sent_bytes_total",
            "counter",
            "Bytes of answers, without their heads.",
            &sent,
        );
        family(
            "http_received_bytes_total",
            "counter",
            "Bytes of uploads.",
            &one(&self.received),
        );
        family(
            "http_cut_responses_total",
            "counter",
            "Answers that did not reach their end.",
            &one(&self.cut),
        );
        family(
            "http_requests_in_flight",
            "gauge",
            "Requests that are being answered.",
            &one(&self.in_flight),
        );
        family(
            "connections",
            "gauge",
            "Connections that are open.",
            &one(&self.connections),
        );
        family(
            "connections_total",
            "counter",
            "Connections that were taken.",
            &one(&self.accepted),
        );
        self.histogram(&mut text);
        text
    }

    fn request_samples(&self) -> Vec<(String, String)> {
        let mut samples = Vec::new();
        let channels = self.channels.iter().map(String::as_str).chain([""]);
        let mut counts = self.requests.iter();
        for channel in channels {
            for method in METHODS {
                for (status, count) in STATUSES.iter().zip(counts.by_ref()) {
                    let count = count.load(Relaxed);
                    if count > 0 {
                        let channel = escaped(channel);
                        let labels = format!(
                            "{{channel=\"{channel}\",method=\"{method}\",status=\"{status}\"}}"
                        );
                        samples.push((labels, count.to_string()));
                    }
                }
            }
        }
        samples
    }

    fn histogram(&self, text: &mut String) {
        const NAME: &str = "archiconda_http_request_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {NAME} From the head of a request to the end of its answer.\n# TYPE {NAME} histogram"
        );
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound));
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&self.buckets) {
            sum += count.load(Relaxed);
            let _ = writeln!(text, "{NAME}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let total = seconds(self.microseconds.load(Relaxed));
        let _ = writeln!(text, "{NAME}_sum {total}\n{NAME}_count {sum}");
    }
}

fn add(counter: Option<&AtomicU64>, count: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(count, Relaxed);
    }
}

fn seconds(microseconds: u64) -> String {
    let (whole, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let text = format!("{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_the_format_of_prometheus() {
        let metrics = Metrics::new(vec!["demo".to_owned(), "a\"b".to_owned()]);
        let outcome = |channel, method, status, micros| {
            metrics.began();
            metrics.ended(Outcome {
                channel,
                method,
                status,
                sent: 10,
                received: 0,
                whole: true,
                took: Duration::from_micros(micros),
            });
        };
        outcome(Some(0), &Method::GET, StatusCode::OK, 400);
        outcome(Some(0), &Method::GET, StatusCode::OK, 2_000_000);
        outcome(Some(1), &Method::HEAD, StatusCode::NOT_FOUND, 700);
        outcome(None, &Method::PATCH, StatusCode::IM_A_TEAPOT, 999_000_000);
        metrics.began();
        let text = metrics.text();
        for line in [
            "archiconda_http_requests_total{channel=\"demo\",method=\"GET\",status=\"200\"} 2",
            "archiconda_http_requests_total{channel=\"a\\\"b\",method=\"HEAD\",status=\"404\"} 1",
            "archiconda_http_requests_total{channel=\"\",method=\"other\",status=\"0\"} 1",
            "archiconda_http_sent_bytes_total{channel=\"demo\"} 20",
            "archiconda_http_requests_in_flight 1",
            "archiconda_http_request_duration_seconds_bucket{le=\"0.0005\"} 1",
            "archiconda_http_request_duration_seconds_bucket{le=\"0.001\"} 2",
            "archiconda_http_request_duration_seconds_bucket{le=\"5\"} 3",
            "archiconda_http_request_duration_seconds_bucket{le=\"+Inf\"} 4",
            "archiconda_http_request_duration_seconds_sum 1001.0011",
            "archiconda_http_request_duration_seconds_count 4",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "no `{line}` in\n{text}"
            );
        }
    }
}
