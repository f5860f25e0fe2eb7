//! Where a database is: a URL as libpq and `SQLAlchemy` understand it. What it does not say comes from libpq's
//! environment variables.

use std::fmt;
use std::path::{Path, PathBuf};

use conda::credentials;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

use super::Error;
use crate::Cause;

/// Where Debian, and PostgreSQL's own builds, put the socket.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// PostgreSQL's own.
const PORT: u16 = 5432;

/// The address of a database. Shown without user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

/// How a connection is protected (libpq's `sslmode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    Never,
    /// Encrypted, with whoever is there.
    Unverified,
    /// Encrypted, with a server whose certificate is signed by one of these, or by those that the system trusts.
    Verified(Option<PathBuf>),
}

impl Address {
    /// Reads a URL: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`, all parts of which may be missing, also
    /// with a driver in it as `SQLAlchemy` writes it (`postgresql+psycopg2://…`).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Address {
            reason: reason.to_owned(),
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse("it does not begin with postgresql://"))?;
        if !matches!(scheme.split('+').next(), Some("postgresql" | "postgres")) {
            return Err(refuse("it does not begin with postgresql://"));
        }
        let mut url =
            Url::parse(&format!("postgresql://{rest}")).map_err(|_| refuse("it is no URL"))?;
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (mut mode, mut root) = (variable("PGSSLMODE"), variable("PGSSLROOTCERT"));
        let mut rest = Vec::new();
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => root = Some(value.into_owned()),
                _ => rest.push((key.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            // `+` would be read as such.
            let query: Vec<_> = rest
                .iter()
                .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
                .collect();
            url.set_query(Some(&query.join("&")));
        }
        let mut config: Config = url
            .as_str()
            .parse()
            .map_err(|error: tokio_postgres::Error| refuse(&Cause::of(&error).line()))?;
        complete(&mut config, &variable)?;
        let root = root.map(PathBuf::from);
        let (tls, ssl) = match mode.as_deref().unwrap_or("prefer") {
            "disable" => (Tls::Never, SslMode::Disable),
            "allow" | "prefer" => (Tls::Unverified, SslMode::Prefer),
            // A root certificate is there to be used, says libpq, too.
            "require" if root.is_none() => (Tls::Unverified, SslMode::Require),
            "require" | "verify-ca" | "verify-full" => (Tls::Verified(root), SslMode::Require),
            other => return Err(refuse(&format!("there is no sslmode `{other}`"))),
        };
        config.ssl_mode(ssl);
        Ok(Self { config, tls })
    }

    /// An error on the way to a connection.
    pub(super) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::Connect {
            database: self.to_string(),
            source: self.cause(error),
        }
    }

    /// An error of a statement.
    pub(super) fn query_failed(&self, error: &tokio_postgres::Error) -> Error {
        Error::Query {
            database: self.to_string(),
            source: self.cause(error),
        }
    }

    fn cause(&self, error: &(dyn std::error::Error + 'static)) -> Cause {
        let password = self.config.get_password().map(String::from_utf8_lossy);
        Cause::new(error, &|text| match &password {
            Some(password) => credentials::hide(text, password),
            None => text.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.config.get_dbname().unwrap_or_default();
        write!(formatter, "`{name}` at ")?;
        let port = port(&self.config);
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Some(Host::Tcp(host)) => write!(formatter, "{host}:{port}"),
            Some(Host::Unix(path)) => write!(formatter, "{}", path.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

fn port(config: &Config) -> u16 {
    config.get_ports().first().copied().unwrap_or(PORT)
}

/// What libpq takes from elsewhere.
fn complete(config: &mut Config, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        let host = variable("PGHOST").or_else(|| {
            let port = port(config);
            let there = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
            SOCKETS.into_iter().find(there).map(str::to_owned)
        });
        config.host(host.unwrap_or_else(|| "localhost".to_owned()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = variable("PGPORT")
    {
        let port = port.parse().map_err(|_| Error::Address {
            reason: format!("PGPORT is no number: `{port}`"),
        })?;
        config.port(port);
    }
    if config.get_user().is_none()
        && let Some(user) = variable("PGUSER")
    {
        config.user(user);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none()
        && let Some(name) = variable("PGDATABASE")
    {
        config.dbname(name);
    }
    if config.get_application_name().is_none() {
        config.application_name("archiconda index");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(15));
    }
    Ok(())
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_libpq_and_sqlalchemy() {
        let read = |text| Address::parse(text).expect(text);
        let address =
            read("postgresql+psycopg2://me:hush@db.example:5433/index?sslmode=verify-full");
        assert_eq!(address.to_string(), "`index` at db.example:5433");
        assert_eq!(address.config.get_ports(), [5433]);
        assert_eq!(address.config.get_user(), Some("me"));
        assert_eq!(address.config.get_password(), Some(&b"hush"[..]));
        assert_eq!(address.tls, Tls::Verified(None));
        assert!(!format!("{address:?}").contains("hush"));
        let address = read("postgres:///index?host=%2Frun%2Fsocket%20s&sslmode=disable&port=1");
        assert_eq!(address.to_string(), "`index` at /run/socket s");
        assert_eq!(
            (address.tls, address.config.get_ports()),
            (Tls::Never, &[1][..])
        );
        let address = read("postgresql://h/d?sslmode=require&sslrootcert=/ca.pem");
        assert_eq!(address.tls, Tls::Verified(Some("/ca.pem".into())));
        assert_eq!(read("postgresql://h/d").tls, Tls::Unverified);
        assert!(!read("postgresql:///d").config.get_hosts().is_empty());
    }

    #[test]
    fn other_text_is_refused_without_showing_a_password() {
        for text in [
            "",
            "index",
            "mysql://u:hush@h/d",
            "sqlite:///file",
            "postgresql://u:hush@h:port/d",
            "postgresql://u:hush@h/d?sslmode=perhaps",
            "postgresql://u:hush@h/d?nonsense=1",
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
