//! Tables of keys and values in PostgreSQL that several processes share, and a queue of keys that each
//! takes its part of. Calls block. What keys and values mean is for others.
//!
//! A part of the queue is held by the locks of its rows, for as long as the transaction is open: when
//! a process dies, the server ends its transaction, and others find its part again.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, pin_mut};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

mod address;
mod schema;
mod tls;

pub use address::Address;

use crate::Cause;

/// How many rows one statement writes.
const ROWS: usize = 10_000;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Text that is no address of a database.
    #[error("the database's URL cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no connection.
    #[error("could not connect to the database {database}")]
    Connect {
        /// The database, without credentials.
        database: String,
        /// What the server or the network said.
        #[source]
        source: Cause,
    },
    /// A statement failed.
    #[error("the database {database} does not do what is asked for")]
    Query {
        /// The database, without credentials.
        database: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The tables, or what is in them, are of a newer version.
    #[error(
        "what is in the database {database} is of version {found}, and this program knows up to {known}: \
         use the newer program everywhere, or another database"
    )]
    Newer {
        /// The database, without credentials.
        database: String,
        /// Their version.
        found: i32,
        /// Ours.
        known: i32,
    },
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Small values that are read often.
    Files,
    /// Large values.
    Packages,
    /// Anything else.
    Notes,
}

/// New values, or none for what is to be removed.
pub type Changes = BTreeMap<(Table, String), Option<Vec<u8>>>;

/// Takes a key and its value.
pub type Take<'a, E> = dyn FnMut(&str, &[u8]) -> Result<(), E> + 'a;

/// A connection, and the part of the tables that belongs to one owner.
pub struct Database {
    client: Client,
    runtime: Option<Runtime>,
    address: Address,
    owner: i64,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Files => "archiconda_index_files",
            Self::Packages => "archiconda_index_packages",
            Self::Notes => "archiconda_index_notes",
        }
    }
}

impl Database {
    /// Connects, makes the tables where there are none, and looks the owner up by name.
    pub fn open(address: &Address, owner: &str) -> Result<Self, Error> {
        let failed = |error: &(dyn std::error::Error + 'static)| address.failed(error);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("postgres")
            .build()
            .map_err(|error| failed(&error))?;
        let client = runtime.block_on(tls::connect(address))?;
        let mut database = Self {
            client,
            runtime: Some(runtime),
            address: address.clone(),
            owner: 0,
        };
        database.owner = database.block_on(schema::prepare(&database.client, address, owner))?;
        Ok(database)
    }

    /// The error of who finds values of a newer version.
    pub fn newer(&self, found: i32, known: i32) -> Error {
        Error::Newer {
            database: self.address.to_string(),
            found,
            known,
        }
    }

    /// A value.
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let statement = format!(
            "SELECT value FROM {} WHERE owner = $1 AND key = $2",
            table.name()
        );
        let row = self.query(&statement, &[&self.owner, &key])?;
        row.first().map(|row| self.bytes(row, 0)).transpose()
    }

    /// Hands on all values whose keys are at least `start` and below `end`, sorted by key, until `take` fails.
    pub fn range<E: From<Error>>(
        &self,
        table: Table,
        (start, end): (&str, &str),
        take: &mut Take<'_, E>,
    ) -> Result<(), E> {
        let statement = format!(
            "SELECT key, value FROM {} WHERE owner = $1 AND key >= $2 AND key < $3 ORDER BY key",
            table.name()
        );
        let failed = |error: tokio_postgres::Error| self.query_failed(&error);
        self.block_on(async {
            let parameters: [&(dyn ToSql + Sync); 3] = [&self.owner, &start, &end];
            let rows = self.client.query_raw(&statement, parameters).await;
            let rows = rows.map_err(failed)?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                let row = row.map_err(failed)?;
                let key: &str = row.try_get(0).map_err(failed)?;
                let value: &[u8] = row.try_get(1).map_err(failed)?;
                take(key, value)?;
            }
            Ok(())
        })
    }

    /// Whether nothing belongs to the owner.
    pub fn is_empty(&self) -> Result<bool, Error> {
        let statement = "SELECT EXISTS (SELECT FROM archiconda_index_files WHERE owner = $1)";
        let rows = self.query(statement, &[&self.owner])?;
        Ok(!rows
            .first()
            .is_some_and(|row| row.try_get(0).unwrap_or(false)))
    }

    /// Makes all changes, or none.
    pub fn write(&self, changes: &Changes) -> Result<(), Error> {
        self.block_on(async {
            self.execute("BEGIN").await?;
            self.change(changes).await?;
            self.execute("COMMIT").await
        })
    }

    /// Removes all that belongs to the owner.
    pub fn clear(&self) -> Result<(), Error> {
        self.block_on(async {
            self.execute("BEGIN").await?;
            for table in ["files", "packages", "notes", "queue"] {
                let statement = format!("DELETE FROM archiconda_index_{table} WHERE owner = $1");
                self.run(&statement, &[&self.owner]).await?;
            }
            self.execute("COMMIT").await
        })
    }

    /// Puts keys with their weights into the queue that are not in it.
    pub fn enqueue(&self, keys: &[(String, u64)]) -> Result<(), Error> {
        self.block_on(async {
            self.execute("BEGIN").await?;
            // One process at a time, so that none finds the queue empty that another is filling.
            self.run(
                "SELECT pg_advisory_xact_lock(hashtext('archiconda index queue'), $1::int8::int4)",
                &[&self.owner],
            )
            .await?;
            for keys in keys.chunks(ROWS) {
                let (names, weights): (Vec<&str>, Vec<i64>) = keys
                    .iter()
                    .map(|(key, weight)| (key.as_str(), i64::try_from(*weight).unwrap_or(i64::MAX)))
                    .unzip();
                self.run(
                    "INSERT INTO archiconda_index_queue (owner, key, weight) \
                     SELECT $1::int8, * FROM unnest($2::text[], $3::int8[]) ON CONFLICT DO NOTHING",
                    &[&self.owner, &names, &weights],
                )
                .await?;
            }
            self.execute("COMMIT").await
        })
    }

    /// Takes keys that no other process has from the queue, the heaviest first: as many as weigh about `weight`
    /// together, and at most `count`. They are ours until [`Database::finish`], or the end of the connection.
    pub fn claim(&self, weight: u64, count: u32) -> Result<Vec<String>, Error> {
        self.block_on(async {
            self.execute("BEGIN").await?;
            let heaviest = self
                .client
                .query(
                    "SELECT weight FROM archiconda_index_queue WHERE owner = $1 \
                     ORDER BY weight DESC LIMIT 1 FOR UPDATE SKIP LOCKED",
                    &[&self.owner],
                )
                .await
                .map_err(|error| self.query_failed(&error))?;
            let heaviest: i64 = heaviest
                .first()
                .map_or(0, |row| row.try_get(0).unwrap_or(0));
            let heaviest = u64::try_from(heaviest).unwrap_or(0).max(1);
            let most = (weight / heaviest).clamp(1, u64::from(count));
            let rows = self
                .client
                .query(
                    "SELECT key FROM archiconda_index_queue WHERE owner = $1 \
                     ORDER BY weight DESC LIMIT $2 FOR UPDATE SKIP LOCKED",
                    &[&self.owner, &i64::try_from(most).unwrap_or(1)],
                )
                .await
                .map_err(|error| self.query_failed(&error))?;
            if rows.is_empty() {
                self.execute("COMMIT").await?;
            }
            rows.iter()
                .map(|row| row.try_get(0).map_err(|error| self.query_failed(&error)))
                .collect()
        })
    }

    /// Makes changes, takes the keys of the last [`Database::claim`] out of the queue, and lets them go.
    pub fn finish(&self, keys: &[String], changes: &Changes) -> Result<(), Error> {
        self.block_on(async {
            self.change(changes).await?;
            self.run(
                "DELETE FROM archiconda_index_queue WHERE owner = $1 AND key = ANY($2)",
                &[&self.owner, &keys],
            )
            .await?;
            self.execute("COMMIT").await
        })
    }

    /// How many keys are in the queue, those that are held included.
    pub fn queued(&self) -> Result<u64, Error> {
        let statement = "SELECT count(*) FROM archiconda_index_queue WHERE owner = $1";
        let rows = self.query(statement, &[&self.owner])?;
        let count: i64 = rows.first().map_or(0, |row| row.try_get(0).unwrap_or(0));
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn change(&self, changes: &Changes) -> Result<(), Error> {
        for table in [Table::Files, Table::Packages, Table::Notes] {
            let of_table = || {
                changes
                    .iter()
                    .filter(move |((other, _), _)| *other == table)
                    .map(|((_, key), value)| (key.as_str(), value.as_deref()))
            };
            let new: Vec<_> = of_table()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect();
            for rows in new.chunks(ROWS) {
                let (keys, values): (Vec<&str>, Vec<&[u8]>) = rows.iter().copied().unzip();
                let statement = format!(
                    "INSERT INTO {} (owner, key, value) \
                     SELECT $1::int8, * FROM unnest($2::text[], $3::bytea[]) \
                     ON CONFLICT (owner, key) DO UPDATE SET value = EXCLUDED.value",
                    table.name()
                );
                self.run(&statement, &[&self.owner, &keys, &values]).await?;
            }
            let gone: Vec<_> = of_table()
                .filter(|(_, value)| value.is_none())
                .map(|(key, _)| key)
                .collect();
            if !gone.is_empty() {
                let statement = format!(
                    "DELETE FROM {} WHERE owner = $1 AND key = ANY($2)",
                    table.name()
                );
                self.run(&statement, &[&self.owner, &gone]).await?;
            }
        }
        Ok(())
    }

    async fn execute(&self, statement: &str) -> Result<(), Error> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|error| self.query_failed(&error))
    }

    async fn run(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        let done = self.client.execute(statement, parameters).await;
        done.map(drop).map_err(|error| self.query_failed(&error))
    }

    fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.block_on(self.client.query(statement, parameters))
            .map_err(|error| self.query_failed(&error))
    }

    fn bytes(&self, row: &Row, column: usize) -> Result<Vec<u8>, Error> {
        row.try_get(column)
            .map_err(|error| self.query_failed(&error))
    }

    fn query_failed(&self, error: &tokio_postgres::Error) -> Error {
        self.address.query_failed(error)
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime is taken in `drop` only"),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
