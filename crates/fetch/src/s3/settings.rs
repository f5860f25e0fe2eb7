//! From the user's settings to a client. A variable of the environment counts before the files of the AWS
//! tools, and those before what the machine says.

use std::time::Duration;

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};
use tokio::runtime::Runtime;
use url::{Host, Url};

use super::error::{Error, Failures};
use super::profile::Profile;

/// How long a server may be silent, before an answer or within one; the bytes of a file that is
/// written count as silence.
const SILENCE: Duration = Duration::from_mins(5);

/// Machines that have credentials to give do so at once.
const ASKING_THE_MACHINE: Duration = Duration::from_secs(5);

/// The client of a bucket.
pub(super) fn connect(
    name: &str,
    failures: &Failures,
    runtime: &Runtime,
) -> Result<AmazonS3, Error> {
    let builder = configure(name, failures, HeaderMap::new())?;
    let build = |builder: AmazonS3Builder| {
        builder.build().map_err(|error| {
            failures.refused("the settings do not fit together".to_owned(), &error)
        })
    };
    if has_credentials(&builder) {
        return build(builder);
    }
    if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value == "true") {
        return Err(failures.settings(no_credentials()));
    }
    // Without any other source the machine is asked, which takes long where nobody answers.
    let asking = builder.clone().with_retry(RetryConfig {
        max_retries: 1,
        retry_timeout: ASKING_THE_MACHINE,
        ..RetryConfig::default()
    });
    let provider = build(asking)?.credentials().clone();
    let answer = runtime.block_on(async {
        tokio::time::timeout(ASKING_THE_MACHINE, provider.get_credential()).await
    });
    match answer {
        Ok(Ok(_)) => build(builder.with_credentials(provider)),
        Ok(Err(error)) => Err(failures.refused(no_credentials(), &error)),
        Err(_) => Err(failures.settings(no_credentials())),
    }
}

/// The same client, which makes objects only where there is none, also of parts: the library can say that of an object
/// that is written at once, and of no other.
pub(super) fn creating(
    name: &str,
    failures: &Failures,
    store: &AmazonS3,
) -> Result<AmazonS3, Error> {
    let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
    configure(name, failures, headers)?
        .with_credentials(store.credentials().clone())
        .build()
        .map_err(|error| failures.refused("the settings do not fit together".to_owned(), &error))
}

/// `headers` go with every request.
fn configure(
    name: &str,
    failures: &Failures,
    headers: HeaderMap,
) -> Result<AmazonS3Builder, Error> {
    let options = ClientOptions::new()
        .with_default_headers(headers)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(15))
        .with_config(
            ClientConfigKey::ReadTimeout,
            format!("{} seconds", SILENCE.as_secs()),
        )
        .with_config(
            ClientConfigKey::UserAgent,
            concat!("archiconda/", env!("CARGO_PKG_VERSION")),
        );
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(15),
                base: 2.0,
            },
            max_retries: 8,
            retry_timeout: Duration::from_mins(3),
        });
    let environment = environment();
    let has = |key: Key| environment.iter().any(|(known, _)| *known == key);
    let profile = Profile::of_user();
    // A key of one source never goes with a secret of another.
    let own_login = has(Key::AccessKeyId) || has(Key::SecretAccessKey);
    let skips = has(Key::SkipSignature);
    let other_login = has(Key::WebIdentityTokenFile)
        || has(Key::ContainerCredentialsRelativeUri)
        || has(Key::ContainerCredentialsFullUri);
    for (key, name, is_login) in [
        (Key::AccessKeyId, "aws_access_key_id", true),
        (Key::SecretAccessKey, "aws_secret_access_key", true),
        (Key::Token, "aws_session_token", true),
        (Key::Region, "region", false),
        (Key::Endpoint, "endpoint_url", false),
    ] {
        if let Some(value) = profile.get(name)
            && !(is_login && (own_login || skips))
        {
            builder = builder.with_config(key, value);
        }
    }
    if has(Key::DefaultRegion) && !has(Key::Region) {
        // The library would prefer the profile's.
        let region = environment
            .iter()
            .find(|(key, _)| *key == Key::DefaultRegion);
        if let Some((_, region)) = region {
            builder = builder.with_region(region);
        }
    }
    for (key, value) in environment {
        builder = builder.with_config(key, value);
    }
    let mut builder = builder.with_bucket_name(name);
    let secrets: Vec<_> = [Key::AccessKeyId, Key::SecretAccessKey, Key::Token]
        .iter()
        .filter_map(|key| builder.get_config_value(key))
        .filter(|secret| !secret.is_empty())
        .collect();
    let is_static = !secrets.is_empty();
    failures.hide(secrets);
    if !is_static
        && !skips
        && !other_login
        && let Some(key) = profile.foreign_login()
    {
        return Err(failures.settings(format!(
            "the profile `{}` gets its credentials by `{key}`, which only the AWS tools can: \
             `eval \"$(aws configure export-credentials --format env)\"` hands them on",
            profile.name
        )));
    }
    let endpoint = builder
        .get_config_value(&Key::S3Endpoint)
        .or_else(|| builder.get_config_value(&Key::Endpoint));
    if let Some(endpoint) = endpoint {
        let url = Url::parse(&endpoint).map_err(|_| {
            failures.settings(format!(
                "the endpoint `{}` is no URL",
                conda::credentials::redact_text(&endpoint)
            ))
        })?;
        if url.scheme() == "http" {
            let allowed = builder
                .get_config_value(&Key::Client(ClientConfigKey::AllowHttp))
                .is_some_and(|value| value == "true");
            if is_loopback(&url) {
                builder = builder.with_allow_http(true);
            } else if !allowed {
                return Err(failures.settings(
                    "the endpoint is http without TLS, which must be allowed with AWS_ALLOW_HTTP=true",
                ));
            }
        }
    }
    Ok(builder)
}

/// The variables `AWS_*` that the library knows.
fn environment() -> Vec<(Key, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            if !name.starts_with("AWS_") || value.is_empty() {
                return None;
            }
            Some((name.to_lowercase().parse().ok()?, value))
        })
        .collect()
}

fn has_credentials(builder: &AmazonS3Builder) -> bool {
    let set = |key| builder.get_config_value(&key).is_some();
    let skips = builder
        .get_config_value(&Key::SkipSignature)
        .is_some_and(|value| value == "true");
    skips
        || set(Key::AccessKeyId)
        || set(Key::WebIdentityTokenFile)
        || set(Key::ContainerCredentialsRelativeUri)
        || set(Key::ContainerCredentialsFullUri)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn no_credentials() -> String {
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for the \
     files in ~/.aws; AWS_SKIP_SIGNATURE=true goes without"
        .to_owned()
}
