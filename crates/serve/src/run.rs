//! A server's life: from its settings to the last answer.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::access::Access;
use crate::digests::Digests;
use crate::error::{Error, chain};
use crate::exchange::{Door, Shared};
use crate::limits::Permits;
use crate::listen::{self, Certificate, Listener};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::publish::{How, Publisher};
use crate::settings::Settings;
use crate::site::{Channel, Site};
use crate::workers::Workers;

/// How many wrong tokens one address may send at once, and how many more in a second.
const WRONG: (f64, f64) = (10.0, 0.2);

/// What happens to a server, apart from requests.
#[derive(Debug)]
pub enum Event<'a> {
    /// It takes requests.
    Listening {
        /// Where, with the real ports.
        addresses: &'a [SocketAddr],
        /// Where the numbers are, if elsewhere.
        metrics: Option<SocketAddr>,
        /// The paths of the channels, in the order of the settings; each begins with a slash. What addresses may ask
        /// for has several, with `CONSTRAINTS` where an address says what it wants.
        channels: &'a [Vec<String>],
    },
}

/// Serves until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reads certificates, tokens and definitions anew.
/// Requests and warnings are written to `log`.
pub fn run(
    settings: &Settings,
    log: Box<dyn Write + Send>,
    report: &dyn Fn(Event<'_>),
) -> Result<(), Error> {
    let site = Site::new(settings)?;
    let access = load(settings, &site)?;
    let certificate = settings.tls.as_ref().map(listen::certificate).transpose()?;
    let certificate: Certificate = Arc::new(RwLock::new(certificate));
    raise_handles();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::System)?;
    let log = Arc::new(Log::start(settings.log, log));
    let ready: Result<(), Error> = site
        .compiled()
        .try_for_each(|compiled| compiled.make_ready(&log));
    if let Err(error) = ready {
        log.flush();
        return Err(error);
    }
    let served = runtime.block_on(async {
        let (indexed, stop) = watch::channel(false);
        let how = How {
            delay: settings.limits.flat,
            cache_dir: settings.cache_dir.clone(),
            log: Arc::clone(&log),
        };
        let (publisher, indexers) = Publisher::start(site.indexed(), &how, &stop);
        for channel in site.channels() {
            if access.has_writers(channel) {
                // What the last server had no time for.
                publisher.teller(channel.number).changed(None);
            }
        }
        let (reload, reloads) = watch::channel(());
        for compiled in site.compiled() {
            tokio::spawn(Arc::clone(compiled).follow(Arc::clone(&log), reloads.clone()));
        }
        let names = site.channels().iter().map(|channel| channel.name.clone());
        let rate = f64::from(settings.limits.rate);
        let shared = Arc::new(Shared {
            metrics: Metrics::new(names.collect()),
            site,
            access: RwLock::new(Arc::new(access)),
            digests: Digests::default(),
            log: Arc::clone(&log),
            publisher,
            limits: settings.limits.clone(),
            drafts: settings.drafts.clone(),
            proxies: settings.proxies.clone(),
            rate: (settings.limits.rate > 0).then(|| Permits::new(rate, rate)),
            failures: Permits::new(WRONG.0, WRONG.1),
            has_metrics: settings.metrics_listen.is_none(),
        });
        let mut signals = Signals::new()?;
        serve(
            settings,
            &shared,
            &certificate,
            &mut signals,
            &reload,
            report,
        )
        .await?;
        let _ = indexed.send(true);
        tokio::select! {
            () = indexers.finish() => {}
            () = signals.stop() => {}
        }
        Ok(())
    });
    // Threads that read for somebody who is gone are not waited for.
    runtime.shutdown_background();
    log.flush();
    served
}

async fn serve(
    settings: &Settings,
    shared: &Arc<Shared>,
    certificate: &Certificate,
    signals: &mut Signals,
    again: &watch::Sender<()>,
    report: &dyn Fn(Event<'_>),
) -> Result<(), Error> {
    let mut listeners = Vec::new();
    for address in &settings.listen {
        listeners.push(Listener::bind(*address, Door::Channels, Arc::clone(certificate)).await?);
    }
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    let mut metrics = None;
    if let Some(address) = settings.metrics_listen {
        let listener = Listener::bind(address, Door::Metrics, Arc::default()).await?;
        metrics = Some(listener.address);
        listeners.push(listener);
    }
    let channels: Vec<_> = shared.site.channels().iter().map(Channel::paths).collect();
    let (stop, stopped) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    let workers = Arc::new(Workers::start().map_err(Error::System)?);
    let places = Arc::new(Semaphore::new(settings.limits.connections));
    for listener in listeners {
        // Whoever looks at the numbers does not wait behind those whom they are about.
        let places = match listener.door {
            Door::Channels => Arc::clone(&places),
            Door::Metrics => Arc::new(Semaphore::new(16)),
        };
        let (shared, workers) = (Arc::clone(shared), Arc::clone(&workers));
        let accept = listener.accept(shared, workers, places, stopped.clone(), alive.clone());
        tokio::spawn(accept);
    }
    drop(alive);
    report(Event::Listening {
        addresses: &addresses,
        metrics,
        channels: &channels,
    });
    while let Told::Reload = signals.next().await {
        reload(settings, shared, certificate);
        again.send_replace(());
    }
    shared
        .log
        .note("info", "stopping: running answers come to their end");
    // Nobody listens any more only if all are gone.
    let _ = stop.send(true);
    let grace = tokio::time::sleep(settings.limits.grace);
    tokio::select! {
        _ = ended.recv() => {}
        () = grace => shared.log.note("warning", "answers were cut: their time was over"),
        () = signals.stop() => {}
    }
    Ok(())
}

fn load(settings: &Settings, site: &Site) -> Result<Access, Error> {
    let tokens = settings.tokens.as_deref();
    Ok(tokens
        .map(|path| Access::load(path, site))
        .transpose()?
        .unwrap_or_default())
}

/// What cannot be read stays as it was.
fn reload(settings: &Settings, shared: &Shared, certificate: &Certificate) {
    let tokens = load(settings, &shared.site).map(|access| {
        *shared
            .access
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    });
    let tls = settings.tls.as_ref().map(listen::certificate).transpose();
    let tls = tls.map(|new| {
        *certificate.write().unwrap_or_else(PoisonError::into_inner) = new;
    });
    for (what, read) in [("tokens", tokens), ("certificates", tls)] {
        match read {
            Ok(()) => shared.log.note("info", &format!("read {what} anew")),
            Err(error) => {
                let text = format!("not read anew: {}", chain(&error));
                shared.log.note("error", &text);
            }
        }
    }
}

/// Each answer holds a connection and a file.
fn raise_handles() {
    let limit = getrlimit(Resource::Nofile);
    // Whoever may not have more has what there is.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

enum Told {
    Reload,
    Stop,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::System);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Told::Stop) {}
    }
}
