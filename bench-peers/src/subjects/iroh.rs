//! iroh-docs: signed entries on redb.
//!
//! Measures only the store of a replica, through its own API and without the network. An entry has
//! the key, the BLAKE3 hash and the length of a value, a time, and two signatures (of the author
//! and of the document). The value itself belongs in the blob store of iroh-blobs, which is not
//! written here: iroh-docs writes 100 bytes per key less than the others. `flush` commits the
//! pending redb transaction: a one-phase commit with immediate durability, in redb's exclusive mode
//! with its default cache of 1 GiB. The API offers no choice of mode and cache. The next insert
//! commits a transaction older than 500 ms, so a batch that takes longer is more than one commit.

use std::path::Path;

use iroh_docs::store::Query;
use iroh_docs::store::fs::Store;
use iroh_docs::{Author, NamespaceId, NamespaceSecret};

use super::Subject;
use crate::data::{Key, VALUE};

/// A document with one author.
pub struct Iroh {
    store: Store,
    document: NamespaceId,
    author: Author,
}

impl Iroh {
    /// Creates an empty document.
    pub fn new(dir: &Path) -> Self {
        let mut store = Store::persistent(dir.join("iroh.db")).expect("it opens");
        let author = Author::from_bytes(&[1; 32]);
        store.import_author(author.clone()).expect("an author");
        let secret = NamespaceSecret::from_bytes(&[2; 32]);
        let document = store.new_replica(secret).expect("a document").id();
        store.flush().expect("it commits");
        Self {
            store,
            document,
            author,
        }
    }
}

impl Subject for Iroh {
    fn name(&self) -> &'static str {
        "iroh-docs"
    }

    fn commit(&mut self, keys: &[Key]) {
        let mut replica = self.store.open_replica(&self.document).expect("it opens");
        for key in keys {
            let inserted = replica.hash_and_insert(key, &self.author, VALUE);
            pollster::block_on(inserted).expect("an entry");
        }
        drop(replica);
        self.store.close_replica(self.document);
        self.store.flush().expect("it commits");
    }

    fn get(&mut self, key: &Key) -> usize {
        let query = Query::single_latest_per_key().key_exact(key);
        let mut found = self.store.get_many(self.document, query).expect("it reads");
        found.next().map_or(0, |entry| {
            let len = entry.expect("it reads").content_len();
            usize::try_from(len).expect("it fits")
        })
    }

    fn scan(&mut self) -> usize {
        let found = self.store.get_many(self.document, Query::all());
        let entries = found.expect("it reads");
        entries
            .map(|entry| {
                let entry = entry.expect("it reads");
                std::hint::black_box((entry.key().len(), entry.content_len()));
            })
            .count()
    }
}
