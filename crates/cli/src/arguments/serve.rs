//! Options of `archiconda serve`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use conda::Subdir;
use ipnet::IpNet;

use super::Network;
use super::values::{platform, seconds, size};

pub(super) const EXAMPLES: &str = "\
Examples:
  archiconda serve channel
      the channel in the folder `channel`, at http://127.0.0.1:8000/ and under its name
  archiconda serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem main=/srv/main dev=/srv/dev
      two channels for everybody, with TLS
  archiconda serve channels/archiconda.toml
      a meta-channel, compiled here and again when its channels change
  archiconda serve --dynamic conda-forge
      meta-channels of conda-forge as addresses ask for them: http://127.0.0.1:8000/conda-forge/python,numpy
  archiconda serve token new --name ci --channel main --write
      a token, and the lines for the file that --tokens names

SIGTERM and SIGINT: running answers come to their end. SIGHUP: certificates, tokens and definitions are read anew.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

const PORT: u16 = 8000;

/// Options of `archiconda serve`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Serve {
    #[command(subcommand)]
    pub(crate) command: Option<ServeCommand>,
    /// A channel's folder, s3://BUCKET/PREFIX, or the definition of a meta-channel, which ends in .toml; several are served each under its
    /// name, which is the folder's or the definition's unless another is given.
    #[arg(
        required_unless_present = "dynamic",
        value_name = "[NAME=]DIR|s3://…|FILE"
    )]
    pub(crate) channels: Vec<String>,
    /// Where to listen; port 0 is any free one. May be given several times.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1:8000", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// The certificate and those above it, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Who may read and write what: a TOML file (docs/serve.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// Where /metrics is, if not beside the channels.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = address)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// How requests are written to standard error.
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) log: Log,
    /// Requests in a second that one address may send; 0 for any number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) rate_limit: u32,
    /// A proxy before this server, as an address or a network: the client is whom its X-Forwarded-For names. May be given
    /// several times.
    #[arg(long, value_name = "ADDR[/BITS]", value_parser = network)]
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// Connections at a time; others wait.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,
    /// How long the head of a request may take.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) header_timeout: Duration,
    /// How long a connection stays on which nothing is asked.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) idle_timeout: Duration,
    /// How long a client may take nothing of an answer, or send nothing of an upload.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) stall_timeout: Duration,
    /// How long running answers have when the server is told to stop.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// The longest package that may be put, in bytes, or like 500M or 4G.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = size)]
    pub(crate) max_upload: u64,
    /// How long repodata.json and its like may be older than the shards, when packages were put or taken away.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) index_delay: Duration,
    /// A channel of which addresses may ask for meta-channels, as /CHANNELS/CONSTRAINTS/SUBDIR/FILE: a name, or a name
    /// and what it stands for; may be given several times.
    #[arg(long, value_name = "NAME[=CHANNEL]")]
    pub(crate) dynamic: Vec<String>,
    /// A platform that such meta-channels are compiled for; may be given several times.
    #[arg(long, value_name = "PLATFORM", default_values = ["linux-64", "linux-aarch64"], requires = "dynamic", value_parser = platform)]
    pub(crate) dynamic_platform: Vec<Subdir>,
    /// Where their packages are: where they come from, or here once somebody asked for them.
    #[arg(
        long,
        value_name = "MIRROR",
        default_value = "none",
        requires = "dynamic"
    )]
    pub(crate) dynamic_mirror: DynamicMirror,
    /// The folder of files that --blacklist=NAME in an address means.
    #[arg(long, value_name = "DIR", requires = "dynamic")]
    pub(crate) blacklists: Option<PathBuf>,
    /// How many such meta-channels are kept; the one that was not asked for longest goes.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_questions: u32,
    /// How long somebody waits for such a meta-channel that nobody asked for before.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub(crate) question_timeout: Duration,
    /// Where meta-channels are kept that are compiled here [default: serve in the folder of --cache-dir], and where packages
    /// wait that are put into a bucket [default: TMPDIR].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How much stays of the packages that were fetched because somebody asked for them, like 20G; those go first that
    /// were not asked for longest [default: all stay].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_fetched: Option<u64>,
    /// How often the channels of definitions are asked whether they changed; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) refresh: Duration,
    #[command(flatten)]
    pub(crate) network: Network,
    /// Print the addresses as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What else there is to serving.
#[derive(Debug, Subcommand)]
pub(crate) enum ServeCommand {
    /// Make what clients show to read or write.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, print it once, and the lines for the file that --tokens names.
    New(NewToken),
}

/// Options of `archiconda serve token new`.
#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// What it is called in the file and in the log.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// A channel that it is for, or * for all; may be given several times.
    #[arg(long, value_name = "CHANNEL", required = true)]
    pub(crate) channel: Vec<String>,
    /// Whether packages may be put there and taken away, not only read.
    #[arg(long)]
    pub(crate) write: bool,
    /// A day like 2027-12-31, with whose beginning (in UTC) it ends.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) expires: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the packages of meta-channels are that addresses ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DynamicMirror {
    /// Where they come from
    None,
    /// Here, once somebody asked for them
    OnDemand,
}

/// How requests are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// A line of JSON for each
    Json,
    /// A line for each
    Text,
    /// Only warnings
    None,
}

/// `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`, or the same with a host's name.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok((address, PORT).into());
    }
    let named = if text.contains(':') {
        text.to_socket_addrs()
    } else {
        (text, PORT).to_socket_addrs()
    };
    let first = named.map_err(|error| error.to_string())?.next();
    first.ok_or_else(|| "this name has no address".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>(),
    };
    network.map_err(|_| "neither an address nor a network like 10.0.0.0/8".to_owned())
}

fn date(text: &str) -> Result<String, String> {
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date
        .then(|| text.to_owned())
        .ok_or_else(|| "expected a date like 2027-12-31".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:8000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("::1", "[::1]:8000"),
            ("[::1]", "[::1]:8000"),
            ("[::]:0", "[::]:0"),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()),
                Ok(expected.to_owned())
            );
        }
        for text in ["", "127.0.0.1:", "127.0.0.1:99999", "[::1", ":80"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            let found = network(text).map(|network| network.to_string());
            assert_eq!(found, Ok(expected.to_owned()));
        }
        for text in ["", "10.0.0.0/33", "localhost", "10.0.0.0/", "127.0.0.1:80"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("3k", Some(3072)),
            ("4G", Some(4 << 30)),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "4GB", "99999999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
