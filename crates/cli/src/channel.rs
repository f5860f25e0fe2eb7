//! `archiconda channel`: builds meta-channels, and tells why packages are in them or not; what else is done with
//! channels is in `verify` and `transfer`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ::channel::meta::{self, Answer, Cut, Event, Outcome, Proof, Report};
use ::channel::{Outputs, meta::Options};
use anyhow::{Context as _, anyhow};
use conda::{MatchSpec, ParseMatchSpecOptions};
use serde_json::{Value, json};
use spec::MetaChannel;

use crate::arguments::channel::{Channel, ChannelBuild, ChannelWhy, Definition};
use crate::environment::source_date_epoch;
use crate::exit::{Exit, Failure};
use crate::progress::{Progress, megabytes};
use crate::say;
use crate::{index, network};

mod transfer;
mod verify;

/// Runs the command.
pub(crate) fn run(arguments: &Channel) -> Result<Exit, Failure> {
    match arguments {
        Channel::Build(arguments) => build(arguments),
        Channel::Why(arguments) => why(arguments),
        Channel::Verify(arguments) => verify::run(arguments),
        Channel::Export(arguments) => transfer::export(arguments),
        Channel::Import(arguments) => transfer::import(arguments),
    }
}

fn build(arguments: &ChannelBuild) -> Result<Exit, Failure> {
    let asked = &arguments.definition;
    let progress = Progress::new(asked.telling.quiet);
    let definition = read(asked, &progress)?;
    let (client, cache_dir) = network::client(&asked.network)?;
    let options = Options {
        output: arguments.output_dir.clone(),
        proof: !arguments.no_proof,
        plan: arguments.plan,
        index: ::channel::Options {
            outputs: index::outputs(&arguments.outputs, Outputs::all()),
            cache_dir,
            channel_name: Some(definition.name.clone()),
            grace: arguments.grace,
            patience: arguments.wait,
            zstd_level: arguments.zst_level,
            threads: arguments.threads.count,
            ..::channel::Options::default()
        },
        ..options(asked)?
    };
    progress.doing("read the channels");
    let built = meta::build(&definition, &client, &options, &|event| {
        show(&progress, &event);
    });
    progress.finish();
    let built = built?;
    if asked.telling.json {
        say::json(&as_json(&built, arguments.plan))?;
    } else if arguments.plan || !asked.telling.quiet {
        say::result(&describe(&built, arguments.plan))?;
    }
    if built.failures == 0 {
        return Ok(Exit::Done);
    }
    progress.warn(&format!(
        "{} of {} roots and sets have no solution, or another one than on the whole channels",
        built.failures,
        built.proofs.len()
    ));
    Ok(if arguments.strict {
        Exit::NoSolution
    } else {
        Exit::Done
    })
}

fn why(arguments: &ChannelWhy) -> Result<Exit, Failure> {
    let asked = &arguments.definition;
    let wanted = MatchSpec::from_str(&arguments.wanted, ParseMatchSpecOptions::lenient());
    let wanted = wanted
        .with_context(|| format!("`{}` is no match spec", arguments.wanted))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let progress = Progress::new(asked.telling.quiet);
    let definition = read(asked, &progress)?;
    let (client, _) = network::client(&asked.network)?;
    progress.doing("read the channels");
    let report = |event: Event<'_>| {
        // What is proved on the way is not what was asked.
        if !matches!(event, Event::Proved(_)) {
            show(&progress, &event);
        }
    };
    let answers = meta::why(&definition, &client, &options(asked)?, &wanted, &report);
    progress.finish();
    let answers = answers?;
    if asked.telling.json {
        say::json(&answers.iter().map(answer_as_json).collect::<Value>())?;
    } else {
        let texts = answers.iter();
        let texts = texts.map(|answer| tell(answer, answers.len() > 1));
        say::result(&texts.collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn read(asked: &Definition, progress: &Progress) -> Result<MetaChannel, Failure> {
    let name = asked.spec.display().to_string();
    let text = fs_err::read_to_string(&asked.spec)
        .with_context(|| format!("cannot read the definition `{name}`"))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let parsed = MetaChannel::parse(&text)
        .map_err(|error| Failure::new(Exit::Usage, anyhow!("{}", error.render(&name))))?;
    for warning in &parsed.warnings {
        progress.warn(&warning.render(&name));
    }
    Ok(parsed.definition)
}

fn options(asked: &Definition) -> Result<Options, Failure> {
    let base = asked
        .spec
        .parent()
        .filter(|base| !base.as_os_str().is_empty());
    let seconds: Option<i64> = source_date_epoch()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Ok(Options {
        base: base.unwrap_or(Path::new(".")).to_owned(),
        lock: asked
            .lock
            .clone()
            .unwrap_or_else(|| asked.spec.with_extension("lock")),
        output: Path::new(".").to_owned(),
        platforms: asked.platform.clone(),
        locked: asked.locked,
        proof: true,
        plan: true,
        served: false,
        now_ms: seconds.map_or(now_ms, |seconds| seconds.saturating_mul(1000)),
        index: ::channel::Options::default(),
    })
}

fn show(progress: &Progress, event: &Event<'_>) {
    match event {
        Event::Loading { channel, subdir } => progress.message(&format!("{channel}/{subdir}")),
        Event::Fetch(event) => progress.fetch(event),
        Event::Compiled { platform, packages } => {
            progress.doing(&format!("{platform}: {packages} packages stay"));
        }
        Event::Proved(proof) => prove(progress, proof),
        Event::Warning(text) => progress.warn(text),
        Event::Index(event) => index::show_event(progress, event),
    }
}

fn prove(progress: &Progress, proof: &Proof) {
    let specs = proof.specs.join(", ");
    let platform = &proof.platform;
    match &proof.outcome {
        Outcome::Same(packages) => progress.message(&format!(
            "{platform}: {specs}: the same {packages} packages"
        )),
        Outcome::None(_) if proof.specs.len() > 1 => progress.note(&format!(
            "{platform}: {specs} do not fit together, on the whole channels neither"
        )),
        Outcome::None(_) => progress.warn(&format!(
            "{platform}: {specs} has no solution, on the whole channels neither"
        )),
        Outcome::Different(whole, part) => progress.note(&format!(
            "{platform}: {specs} comes to {} other packages, {} instead of {}",
            part.len(),
            said(part),
            said(whole)
        )),
        Outcome::Lost(explanation) => progress.warn(&format!(
            "{platform}: {specs} has a solution on the whole channels and none any more\n{explanation}"
        )),
        Outcome::Gained => progress.warn(&format!(
            "{platform}: {specs} has no solution on the whole channels, but has one here"
        )),
    }
}

/// The first of many packages.
fn said(files: &[String]) -> String {
    match files {
        [] => "none".to_owned(),
        files => say::some(files, 3),
    }
}

fn describe(built: &Report, plan: bool) -> String {
    let mut text = String::new();
    for subdir in &built.subdirs {
        let of = match subdir.upstream_packages {
            Some(all) => format!(" of {all}"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "{}: {}{of} packages, {} of {} names",
            subdir.name, subdir.packages, subdir.names, subdir.upstream_names
        );
    }
    let (packages, missing) = (&built.plan, built.plan.missing);
    let _ = write!(
        text,
        "{} packages, {:.1} MB",
        packages.packages,
        megabytes(packages.bytes)
    );
    if missing > 0 {
        let verb = if plan { "to fetch" } else { "fetched" };
        let _ = write!(
            text,
            "; {missing} {verb}, {:.1} MB",
            megabytes(packages.missing_bytes)
        );
    }
    text.push('\n');
    if !plan {
        let state = if built.changed {
            "written"
        } else {
            "unchanged"
        };
        let _ = writeln!(text, "{} {state}", built.channel.display());
    }
    text
}

fn as_json(built: &Report, plan: bool) -> Value {
    let subdirs: Vec<_> = built
        .subdirs
        .iter()
        .map(|subdir| {
            json!({
                "subdir": subdir.name, "packages": subdir.packages, "names": subdir.names,
                "upstream_packages": subdir.upstream_packages, "upstream_names": subdir.upstream_names,
            })
        })
        .collect();
    let proofs: Vec<_> = built.proofs.iter().map(proof_as_json).collect();
    json!({
        "channel": built.channel,
        "planned": plan,
        "changed": built.changed,
        "subdirs": subdirs,
        "packages": built.plan.packages,
        "bytes": built.plan.bytes,
        "missing": built.plan.missing,
        "missing_bytes": built.plan.missing_bytes,
        "proofs": proofs,
        "failures": built.failures,
    })
}

fn proof_as_json(proof: &Proof) -> Value {
    let mut value = json!({ "platform": proof.platform, "specs": proof.specs });
    let more = match &proof.outcome {
        Outcome::Same(packages) => json!({ "outcome": "same", "packages": packages }),
        Outcome::None(explanation) => json!({ "outcome": "none", "explanation": explanation }),
        Outcome::Different(whole, part) => {
            json!({ "outcome": "different", "upstream": whole, "here": part })
        }
        Outcome::Lost(explanation) => json!({ "outcome": "lost", "explanation": explanation }),
        Outcome::Gained => json!({ "outcome": "gained" }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// Why a package is left out, for a sentence, and in one word.
fn cut(cut: &Cut) -> (String, &'static str) {
    match cut {
        Cut::Twin => ("the same package is there as .conda".to_owned(), "twin"),
        Cut::Channel => (
            "a more important channel has the name".to_owned(),
            "channel",
        ),
        Cut::Excluded(pattern) => (format!("`exclude` has `{pattern}`"), "excluded"),
        Cut::Blacklisted(line) => (format!("the blacklist has `{line}`"), "blacklisted"),
        Cut::Pinned => ("no pin fits".to_owned(), "pinned"),
        Cut::Newer => ("it is newer than `exclude_newer`".to_owned(), "newer"),
        Cut::BuildNumber => ("there is a higher build number".to_owned(), "build_number"),
        Cut::DeadEnd(spec) => (format!("nothing is left for its `{spec}`"), "dead_end"),
        Cut::Keep => ("`keep` has no room for it".to_owned(), "keep"),
        Cut::Unreached => ("nothing that stays asks for it".to_owned(), "unreached"),
    }
}

fn tell(answer: &Answer, names_platform: bool) -> String {
    let mut text = String::new();
    if names_platform {
        let _ = writeln!(text, "{}:", answer.platform);
    }
    if answer.packages.is_empty() {
        text.push_str("  no such package\n");
    }
    for told in &answer.packages {
        let verb = if told.way.is_some() {
            "stays"
        } else {
            "left out"
        };
        let _ = write!(text, "  {} ({}) {verb}", told.package, told.channel);
        if let Some(reason) = &told.cut {
            let _ = write!(text, ": {}", cut(reason).0);
        }
        text.push('\n');
        for (asker, spec) in told.way.iter().flatten() {
            let _ = writeln!(text, "    {asker} asks for {spec}");
        }
    }
    text
}

fn answer_as_json(answer: &Answer) -> Value {
    let packages: Vec<_> = answer
        .packages
        .iter()
        .map(|told| {
            let way: Option<Vec<_>> = told.way.as_ref().map(|way| {
                way.iter()
                    .map(|(asker, spec)| json!({ "asker": asker, "spec": spec }))
                    .collect()
            });
            let reason = told.cut.as_ref().map(cut);
            json!({
                "package": told.package, "channel": told.channel, "stays": told.way.is_some(), "way": way,
                "cut": reason.as_ref().map(|(_, word)| word), "reason": reason.as_ref().map(|(text, _)| text),
            })
        })
        .collect();
    json!({ "platform": answer.platform, "packages": packages })
}
