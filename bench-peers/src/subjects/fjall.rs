//! fjall, with every commit synced.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Subject;
use crate::data::{CACHE_BYTES, Key, VALUE, look};

/// One keyspace.
pub struct Fjall {
    database: Database,
    rows: Keyspace,
}

impl Fjall {
    /// Creates an empty store.
    pub fn new(dir: &Path) -> Self {
        let database = Database::builder(dir.join("fjall"))
            .cache_size(u64::try_from(CACHE_BYTES).expect("it fits"))
            .open()
            .expect("it opens");
        let rows = database
            .keyspace("rows", KeyspaceCreateOptions::default)
            .expect("a keyspace");
        Self { database, rows }
    }
}

impl Subject for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn commit(&mut self, keys: &[Key]) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for key in keys {
            batch.insert(&self.rows, &key[..], &VALUE[..]);
        }
        batch.commit().expect("it commits");
    }

    fn get(&mut self, key: &Key) -> usize {
        let found = self.rows.get(key).expect("it reads");
        found.map_or(0, |value| look(&value))
    }

    fn scan(&mut self) -> usize {
        let mut count = 0;
        for row in self.rows.iter() {
            let (key, value) = row.into_inner().expect("it reads");
            std::hint::black_box((key.len(), look(&value)));
            count += 1;
        }
        count
    }
}
