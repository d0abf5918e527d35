//! Lattice.

use std::path::Path;

use lattice_backend::backend::Sharing;
use lattice_kvstore::KvStore;

use super::Subject;
use crate::data::{Key, VALUE, look, make_kv};

/// A key-value store of Lattice; a commit is one signed op.
pub struct Lattice(pub KvStore);

impl Lattice {
    /// Creates an empty store.
    pub fn new(dir: &Path, sharing: Sharing) -> Self {
        Self(make_kv(&dir.join("lattice.db"), sharing))
    }
}

impl Subject for Lattice {
    fn name(&self) -> &'static str {
        "Lattice"
    }

    fn commit(&mut self, keys: &[Key]) {
        if let [key] = keys {
            self.0.put(key, VALUE).expect("a key is put");
            return;
        }
        let batch = keys
            .iter()
            .fold(self.0.batch(), |batch, key| batch.put(key, VALUE));
        batch.commit().expect("a batch is written");
    }

    fn get(&mut self, key: &Key) -> usize {
        self.0
            .get(key)
            .expect("it reads")
            .map_or(0, |value| look(&value))
    }

    fn scan(&mut self) -> usize {
        self.0
            .iter()
            .expect("it reads")
            .map(|row| look(&row.expect("it reads").1))
            .count()
    }
}
