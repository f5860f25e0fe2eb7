//! `archiconda index`: makes a folder of packages a channel, and names what it left out.

use ::channel::{BaseUrl, ChannelRelations, Event, Location, Options, Outputs, Report};
use fetch::postgres::Address;
use serde_json::{Value, json};

use crate::arguments::index::{Database, Index, Outputs as Switches, Relation};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::say;

/// What conda-index takes where no URL is given.
const DEFAULT_DATABASE: &str = "postgresql:///conda_index";

/// Runs the command.
pub(crate) fn run(arguments: &Index) -> Result<Exit, Failure> {
    let options = options(arguments).map_err(|error| Failure::new(Exit::Usage, error))?;
    let Some(pause) = arguments.watch else {
        return once(arguments, &options);
    };
    // The cache makes a look cost little where nothing changed.
    loop {
        once(arguments, &options)?;
        std::thread::sleep(pause);
    }
}

/// The database, if the cache is to be in one.
fn database(arguments: &Index) -> anyhow::Result<Option<Address>> {
    let url = match (&arguments.db, &arguments.db_url) {
        (Database::Sqlite3, _) => return Ok(None),
        (Database::Postgresql, Some(url)) | (Database::Url(url), _) => url.as_str(),
        (Database::Postgresql, None) => DEFAULT_DATABASE,
    };
    Ok(Some(Address::parse(url)?))
}

/// The files that are written: those of a preset, and what the user says of each.
pub(crate) fn outputs(asked: &Switches, preset: Outputs) -> Outputs {
    let either = |yes: bool, no: bool, preset: bool| yes || (preset && !no);
    Outputs {
        monolithic: either(
            asked.write_monolithic,
            asked.no_write_monolithic,
            preset.monolithic,
        ),
        shards: either(asked.write_shards, asked.no_write_shards, preset.shards),
        zst: either(asked.zst, asked.no_zst, preset.zst),
        bz2: either(asked.bz2, asked.no_bz2, preset.bz2),
        run_exports: either(asked.run_exports, asked.no_run_exports, preset.run_exports),
        current_repodata: either(
            asked.current_repodata,
            asked.no_current_repodata,
            preset.current_repodata,
        ),
        channeldata: either(asked.channeldata, asked.no_channeldata, preset.channeldata),
        rss: either(asked.rss, asked.no_rss, preset.rss),
        html_dependencies: either(
            asked.html_dependencies,
            asked.no_html_dependencies,
            preset.html_dependencies,
        ),
        compact: either(asked.compact, asked.no_compact, preset.compact),
        repodata_next: either(
            asked.repodata_next,
            asked.no_repodata_next,
            preset.repodata_next,
        ),
        indexed_timestamp: either(
            asked.indexed_timestamp,
            asked.no_indexed_timestamp,
            preset.indexed_timestamp,
        ),
        attestations: either(
            asked.attestations,
            asked.no_attestations,
            preset.attestations,
        ),
    }
}

fn options(arguments: &Index) -> anyhow::Result<Options> {
    let asked = &arguments.outputs;
    let preset = if arguments.all {
        Outputs::all()
    } else {
        Outputs::default()
    };
    let outputs = outputs(asked, preset);
    let related = |wanted: Relation| {
        let paths = arguments.channel_relations.iter().rev();
        let mut paths = paths.filter(|(relation, _)| *relation == wanted);
        paths.next().map(|(_, path)| path.clone())
    };
    let output = arguments.output.as_ref();
    Ok(Options {
        outputs,
        output: output
            .map(|output| Location::parse(output.as_os_str()))
            .transpose()?,
        database: database(arguments)?,
        cache_dir: arguments
            .cache_dir
            .clone()
            .unwrap_or_else(fetch::default_cache_dir),
        subdirs: arguments.subdir.clone(),
        channel_name: arguments.channel_name.clone(),
        has_about: false,
        patch_generator: arguments.patch_generator.clone(),
        current_index_versions: arguments.current_index_versions_file.clone(),
        base_url: arguments
            .base_url
            .clone()
            .map_or(BaseUrl::Here, BaseUrl::Channel),
        channel_relations: ChannelRelations {
            base: related(Relation::Base),
            overrides: related(Relation::Overrides),
        },
        update_cache: !arguments.listing.no_update_cache,
        update_only: arguments.listing.update_only,
        upstream_stage: arguments.upstream_stage.clone(),
        import: arguments.import.clone(),
        only: arguments.only.clone(),
        verify: arguments.verify,
        grace: arguments.grace,
        patience: arguments.wait,
        zstd_level: arguments.zst_level,
        threads: arguments.threads.count,
    })
}

fn once(arguments: &Index, options: &Options) -> Result<Exit, Failure> {
    let progress = Progress::new(arguments.telling.quiet);
    if !options.subdirs.is_empty() && !options.subdirs.iter().any(|subdir| subdir == "noarch") {
        progress.warn("noarch is not among the platforms that are indexed");
    }
    let report = |event: Event<'_>| show(&progress, arguments, &event);
    let indexed = Location::parse(arguments.dir.as_os_str())
        .and_then(|location| ::channel::index(location, options, &report));
    progress.finish();
    let indexed =
        indexed.map_err(|error| Failure::from(error).context("cannot index the channel"))?;
    let silent = arguments.watch.is_some() && indexed.subdirs.iter().all(|one| !one.changed);
    if silent {
        // Nothing new.
    } else if arguments.telling.json {
        say::json(&as_json(&indexed))?;
    } else if !arguments.telling.quiet {
        say::result(&describe(&indexed))?;
    }
    let unusable = indexed.subdirs.iter().any(|one| !one.skipped.is_empty());
    Ok(if arguments.strict && unusable {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn show(progress: &Progress, arguments: &Index, event: &Event<'_>) {
    if let (Event::Indexed { subdir, file }, true) = (event, arguments.verbose) {
        progress.note(&format!("read {subdir}/{file}"));
    }
    show_event(progress, event);
}

/// Shows one event of an indexing.
pub(crate) fn show_event(progress: &Progress, event: &Event<'_>) {
    match event {
        Event::Waiting { owner } => {
            progress.warn(&format!("the channel is being indexed by {owner}: waiting"));
        }
        Event::CacheLost => {
            progress.warn("the cache is damaged or of another version: reading everything again");
        }
        Event::Imported {
            subdir,
            path,
            packages,
        } => progress.note(&format!(
            "{subdir}: took over what `{}` knows of {packages} packages",
            path.display()
        )),
        Event::Listed { packages } => progress.count("index", *packages),
        Event::Indexed { file, .. } => progress.one(file),
        Event::Skipped {
            subdir,
            file,
            reason,
        } => {
            progress.warn(&format!("left out `{subdir}/{file}`: {reason}"));
        }
        Event::Future { subdir, file } => progress.warn(&format!(
            "`{subdir}/{file}` says that it was built later than now"
        )),
        Event::Kept { subdir, file } => progress.warn(&format!(
            "`{subdir}/{file}` was not written by this tool and stays as it is; the hotfixes of the generator count"
        )),
        Event::LargeShard { subdir, name, size } => progress.warn(&format!(
            "the shard of `{name}` in {subdir} has {size} bytes before compression, which conda up to 26.7.0 refuses"
        )),
        Event::Published { .. } => {}
    }
}

fn as_json(report: &Report) -> Value {
    let subdirs = report.subdirs.iter().map(|subdir| {
        let skipped = subdir.skipped.iter();
        let skipped: Vec<_> = skipped
            .map(|skipped| json!({ "file": skipped.file, "reason": skipped.reason }))
            .collect();
        json!({
            "subdir": subdir.name, "packages": subdir.packages, "read": subdir.read,
            "changed": subdir.changed, "skipped": skipped,
        })
    });
    json!({ "subdirs": subdirs.collect::<Vec<_>>() })
}

fn describe(report: &Report) -> String {
    let line = |subdir: &::channel::Subdir| {
        let changed = if subdir.changed {
            "written"
        } else {
            "unchanged"
        };
        format!("{}: {} packages, {changed}\n", subdir.name, subdir.packages)
    };
    report.subdirs.iter().map(line).collect()
}
