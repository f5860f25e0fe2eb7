//! `archiconda serve`: serves channels until it is told to stop, and makes tokens.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use ::channel::Location;
use anyhow::{Context as _, anyhow};
use serde_json::json;
use spec::{MetaChannel, Mirror};

use crate::arguments::serve::{DynamicMirror, Log, NewToken, Serve, ServeCommand, TokenCommand};
use crate::exit::{Exit, Failure};
use crate::network;
use crate::say;
use ::serve::{Compiling, Event, Limits, LogForm, Named, Origin, Questions, Settings, Tls};

/// What the meta-channels are called together that addresses ask for: in the list of tokens, the log and the numbers.
const DYNAMIC: &str = "dynamic";

/// Runs the command.
pub(crate) fn run(arguments: &Serve) -> Result<Exit, Failure> {
    if let Some(ServeCommand::Token {
        command: TokenCommand::New(arguments),
    }) = &arguments.command
    {
        return new_token(arguments);
    }
    let settings = settings(arguments)?;
    let report =
        |event: Event<'_>| say::verbatim(&describe(&event, arguments, &settings)).unwrap_or(());
    ::serve::run(&settings, Box::new(std::io::stderr()), &report)?;
    Ok(Exit::Done)
}

fn settings(arguments: &Serve) -> Result<Settings, Failure> {
    let channels = arguments.channels.iter().map(|text| named(text));
    let channels: anyhow::Result<Vec<_>> = channels.collect();
    let mut channels = channels.map_err(|error| Failure::new(Exit::Usage, error))?;
    if !arguments.dynamic.is_empty() {
        channels.push(Named {
            name: DYNAMIC.to_owned(),
            origin: Origin::Questions(questions(arguments)),
        });
    }
    let cache_dir = arguments.network.cache_dir.clone();
    let tls = arguments.tls_cert.clone().zip(arguments.tls_key.clone());
    Ok(Settings {
        listen: arguments.listen.clone(),
        metrics_listen: arguments.metrics_listen,
        compiling: compiling(arguments, &channels)?,
        channels,
        drafts: arguments
            .state_dir
            .clone()
            .unwrap_or_else(std::env::temp_dir),
        cache_dir: cache_dir.unwrap_or_else(fetch::default_cache_dir),
        tls: tls.map(|(certificate, key)| Tls { certificate, key }),
        tokens: arguments.tokens.clone(),
        limits: Limits {
            connections: usize::try_from(arguments.max_connections).unwrap_or(usize::MAX),
            rate: arguments.rate_limit,
            header: arguments.header_timeout,
            idle: arguments.idle_timeout,
            stall: arguments.stall_timeout,
            grace: arguments.grace,
            upload: arguments.max_upload,
            flat: arguments.index_delay,
            fetched: arguments.max_fetched,
            ..Limits::default()
        },
        proxies: arguments.trusted_proxy.clone(),
        log: match arguments.log {
            Log::Json => LogForm::Json,
            Log::Text => LogForm::Text,
            Log::None => LogForm::None,
        },
    })
}

/// What addresses may ask for.
fn questions(arguments: &Serve) -> Questions {
    let name = |text: &String| match text.split_once('=') {
        Some((name, channel)) => (name.trim_matches('/').to_owned(), channel.to_owned()),
        None => (text.clone(), text.clone()),
    };
    Questions {
        channels: arguments.dynamic.iter().map(name).collect(),
        platforms: arguments.dynamic_platform.clone(),
        mirror: match arguments.dynamic_mirror {
            DynamicMirror::None => Mirror::None,
            DynamicMirror::OnDemand => Mirror::OnDemand,
        },
        blacklists: arguments.blacklists.clone(),
        most: usize::try_from(arguments.max_questions).unwrap_or(usize::MAX),
        patience: arguments.question_timeout,
    }
}

/// How definitions are compiled, where there are any.
fn compiling(arguments: &Serve, channels: &[Named]) -> Result<Option<Compiling>, Failure> {
    let is_static =
        |channel: &Named| matches!(channel.origin, Origin::Folder(_) | Origin::Bucket { .. });
    if channels.iter().all(is_static) {
        return Ok(None);
    }
    let (client, cache_dir) = network::client(&arguments.network)?;
    let state = arguments.state_dir.clone();
    Ok(Some(Compiling {
        client: Arc::new(client),
        state: state.unwrap_or_else(|| cache_dir.join("serve")),
        refresh: Some(arguments.refresh).filter(|refresh| !refresh.is_zero()),
    }))
}

/// `NAME=` and a folder or a definition, or one of them alone: a folder's own name, or the definition's.
fn named(text: &str) -> anyhow::Result<Named> {
    let (name, place) = match text.split_once("=s3://") {
        Some((name, _)) => (Some(name), text.get(name.len() + 1..).unwrap_or_default()),
        None => (None, text),
    };
    if place.starts_with("s3://") {
        let Location::S3 { bucket, prefix } = Location::parse(OsStr::new(place))? else {
            return Err(anyhow!("`{place}` is no bucket"));
        };
        let last = prefix.rsplit('/').next().filter(|last| !last.is_empty());
        let own = last.unwrap_or(&bucket).to_owned();
        return Ok(Named {
            name: name.map_or(own, |name| name.trim_matches('/').to_owned()),
            origin: Origin::Bucket { bucket, prefix },
        });
    }
    let path = Path::new(text);
    let is_definition = |path: &Path| path.extension().is_some_and(|ending| ending == "toml");
    if let Some((name, origin)) = text.split_once('=')
        && !path.exists()
    {
        let origin = Path::new(origin);
        return Ok(Named {
            name: name.trim_matches('/').to_owned(),
            origin: if is_definition(origin) {
                Origin::Definition(origin.to_owned())
            } else {
                Origin::Folder(origin.to_owned())
            },
        });
    }
    if is_definition(path) && !path.is_dir() {
        let text = fs_err::read_to_string(path)?;
        let parsed = MetaChannel::parse(&text)
            .map_err(|error| anyhow!("{}", error.render(&path.display().to_string())))?;
        return Ok(Named {
            name: parsed.definition.name,
            origin: Origin::Definition(path.to_owned()),
        });
    }
    let real = fs_err::canonicalize(path).with_context(|| format!("cannot serve `{text}`"))?;
    let name = real.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| anyhow!("the folder `{text}` has no name: NAME=DIR gives it one"))?;
    Ok(Named {
        name: name.to_owned(),
        origin: Origin::Folder(path.to_owned()),
    })
}

fn describe(event: &Event<'_>, arguments: &Serve, settings: &Settings) -> String {
    let Event::Listening {
        addresses,
        metrics,
        channels,
    } = event;
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let urls: Vec<_> = addresses
        .iter()
        .map(|address| format!("{scheme}://{address}"))
        .collect();
    let metrics = metrics.map(|address| format!("http://{address}/metrics"));
    let names = settings.channels.iter().zip(*channels);
    if arguments.json {
        let channels: Vec<_> = names
            .map(|(channel, paths)| {
                let each = paths
                    .iter()
                    .flat_map(|path| urls.iter().map(move |url| (url, path)));
                let urls: Vec<_> = each.map(|(url, path)| format!("{url}{path}")).collect();
                json!({ "name": channel.name, "urls": urls })
            })
            .collect();
        return format!(
            "{}\n",
            json!({ "addresses": urls, "metrics": metrics, "channels": channels })
        );
    }
    let mut text = String::new();
    for (channel, paths) in names {
        for path in paths {
            for url in &urls {
                text.extend([channel.name.as_str(), ": ", url, path, "\n"]);
            }
        }
    }
    text.extend(metrics.map(|url| format!("metrics: {url}\n")));
    text
}

fn new_token(arguments: &NewToken) -> Result<Exit, Failure> {
    let (token, digest) = ::serve::new_token()?;
    let right = if arguments.write { "write" } else { "read" };
    // What is a string in JSON is one in TOML.
    let mut lines = format!(
        "[[tokens]]\nname = {}\nsha256 = \"{digest}\"\n{right} = {}\n",
        json!(arguments.name),
        json!(arguments.channel)
    );
    if let Some(date) = &arguments.expires {
        lines.extend(["expires = ", date, "\n"]);
    }
    let text = if arguments.json {
        format!(
            "{}\n",
            json!({ "token": token, "sha256": digest, "toml": lines })
        )
    } else {
        format!("{token}\n\n{lines}")
    };
    say::verbatim(&text)?;
    Ok(Exit::Done)
}
