//! Channels over HTTP: what lies in folders is served as files, with what clients and caches need to ask no
//! more than they must; meta-channels are compiled into folders (`compiled`, `dynamic`), and their packages come from elsewhere
//! when they are asked for (`packages`), and go when there is no room for them (`fetched`). [`run`] binds, answers and stops; what a request goes through is in `exchange`:
//! limits → address → access → the channel's own answer. Asynchronous inside only.

mod access;
mod body;
mod bucket;
mod compiled;
mod conditions;
mod connection;
mod content;
mod digests;
mod dynamic;
mod error;
mod exchange;
mod fetched;
mod file;
mod folder;
mod hot;
mod limits;
mod listen;
mod log;
mod metrics;
mod packages;
mod path;
mod proxies;
mod publish;
mod reply;
mod run;
mod settings;
mod site;
mod upload;
mod workers;

pub use access::new_token;
pub use error::Error;
pub use run::{Event, run};
pub use settings::{Compiling, Limits, LogForm, Named, Origin, Questions, Settings, Tls};
