//! The tables. One row of `archiconda_index_version` says which version of them is there; an older
//! one, which holds nothing that cannot be had again, is replaced.

use tokio_postgres::Client;

use super::{Address, Error};

/// What this program writes.
const VERSION: i32 = 1;

/// Text is compared by its bytes, so that ranges of keys are those of a sorted map.
const TABLES: &str = "
DROP TABLE IF EXISTS archiconda_index_queue, archiconda_index_notes, archiconda_index_packages,
    archiconda_index_files, archiconda_index_owners, archiconda_index_version;
CREATE TABLE archiconda_index_version (version int4 NOT NULL);
CREATE TABLE archiconda_index_owners (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
CREATE TABLE archiconda_index_files (
    owner int8 NOT NULL, key text COLLATE \"C\" NOT NULL, value bytea NOT NULL, PRIMARY KEY (owner, key)
);
CREATE TABLE archiconda_index_packages (
    owner int8 NOT NULL, key text COLLATE \"C\" NOT NULL, value bytea NOT NULL, PRIMARY KEY (owner, key)
);
CREATE TABLE archiconda_index_notes (
    owner int8 NOT NULL, key text COLLATE \"C\" NOT NULL, value bytea NOT NULL, PRIMARY KEY (owner, key)
);
CREATE TABLE archiconda_index_queue (
    owner int8 NOT NULL, key text COLLATE \"C\" NOT NULL, weight int8 NOT NULL, PRIMARY KEY (owner, key)
);
CREATE INDEX ON archiconda_index_queue (owner, weight DESC);
INSERT INTO archiconda_index_version VALUES (1);
";

/// Makes the tables where they are missing, and returns the number of the owner.
pub(super) async fn prepare(client: &Client, address: &Address, owner: &str) -> Result<i64, Error> {
    let failed = |error: tokio_postgres::Error| address.query_failed(&error);
    // The server notices a machine that is gone, and so lets go what it held.
    client
        .batch_execute(
            "SET client_min_messages = warning; SET tcp_keepalives_idle = 30; \
             SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
             SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; \
             SET synchronous_commit = off; \
             BEGIN; SELECT pg_advisory_xact_lock(hashtext('archiconda index tables'))",
        )
        .await
        .map_err(failed)?;
    let there = client
        .query(
            "SELECT to_regclass('archiconda_index_version') IS NOT NULL",
            &[],
        )
        .await
        .map_err(failed)?;
    let there: bool = there
        .first()
        .is_some_and(|row| row.try_get(0).unwrap_or(false));
    let found = if there {
        let rows = client
            .query("SELECT version FROM archiconda_index_version", &[])
            .await
            .map_err(failed)?;
        rows.first().map_or(0, |row| row.try_get(0).unwrap_or(0))
    } else {
        0
    };
    if found > VERSION {
        return Err(Error::Newer {
            database: address.to_string(),
            found,
            known: VERSION,
        });
    }
    if found < VERSION {
        client.batch_execute(TABLES).await.map_err(failed)?;
    }
    let rows = client
        .query(
            "INSERT INTO archiconda_index_owners (name) VALUES ($1) \
             ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING id",
            &[&owner],
        )
        .await
        .map_err(failed)?;
    let id = rows.first().map_or(Ok(0), |row| row.try_get(0));
    let id = id.map_err(failed)?;
    client.batch_execute("COMMIT").await.map_err(failed)?;
    Ok(id)
}
