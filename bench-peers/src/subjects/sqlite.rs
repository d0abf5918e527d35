//! SQLite in WAL mode, with every commit synced.

use std::path::Path;

use rusqlite::Connection;

use super::Subject;
use crate::data::{Key, VALUE, look};

/// A table without row ids.
pub struct Sqlite(Connection);

impl Sqlite {
    /// Creates an empty table.
    pub fn new(dir: &Path) -> Self {
        let connection = Connection::open(dir.join("sqlite.db")).expect("it opens");
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-1048576;
                 CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
            )
            .expect("a table");
        Self(connection)
    }
}

impl Subject for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn commit(&mut self, keys: &[Key]) {
        let tx = self.0.transaction().expect("it writes");
        {
            let mut insert = tx
                .prepare_cached("INSERT INTO rows VALUES (?1, ?2)")
                .expect("it is SQL");
            for key in keys {
                insert.execute((&key[..], &VALUE[..])).expect("a row");
            }
        }
        tx.commit().expect("it commits");
    }

    fn get(&mut self, key: &Key) -> usize {
        let mut select = self
            .0
            .prepare_cached("SELECT value FROM rows WHERE key = ?1")
            .expect("it is SQL");
        let value: Vec<u8> = select
            .query_row([&key[..]], |row| row.get(0))
            .expect("a row");
        look(&value)
    }

    fn scan(&mut self) -> usize {
        let mut select = self
            .0
            .prepare_cached("SELECT key, value FROM rows ORDER BY key")
            .expect("it is SQL");
        let mut rows = select.query([]).expect("it reads");
        let mut count = 0;
        while let Some(row) = rows.next().expect("it reads") {
            let key = row
                .get_ref(0)
                .expect("a column")
                .as_blob()
                .expect("bytes")
                .len();
            let value = row.get_ref(1).expect("a column").as_blob().expect("bytes");
            std::hint::black_box((key, look(value)));
            count += 1;
        }
        count
    }
}
