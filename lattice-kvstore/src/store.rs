//! The handle of an open store.

use core::ops::RangeBounds;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::Engine;
use lattice_backend::engine::read::{Cursor, FeedError};
use lattice_backend::engine::write::{AppendError, Receipt};
use lattice_registry::{EngineOpener, TypedStore};

use crate::changes::changes;
use crate::{
    Batch, Changes, Command, ConflictedKeys, KvMachine, KvRefusal, KvSnapshot, Scan, Sibling,
};

/// Why nothing was written. A refusal by this store type is [`AppendError::Refused`].
pub type KvAppendError = AppendError<KvRefusal>;

/// Opener of key-value stores, for a registry: `registry.register(store_type(), kv_opener())`.
pub type KvOpener = EngineOpener<KvStore>;

/// Returns an opener of key-value stores.
pub fn kv_opener() -> KvOpener {
    EngineOpener::new(KvMachine::new)
}

/// An open key-value store. Clones are cheap and share the store; any thread may use any of
/// them.
///
/// Keys have 1 to 4,096 bytes and are in byte order. A value may be empty; key and value must fit
/// into one op (16 MiB). Each read sees the current state: take a [`snapshot`](Self::snapshot) for
/// several reads that must be consistent.
///
/// ```
/// use lattice_kvstore::KvStore;
///
/// let kv = KvStore::in_memory()?;
///
/// kv.put("fruit/apple", "red")?;
/// kv.batch().put("fruit/pear", "green").delete("fruit/plum").commit()?; // both or neither
/// assert_eq!(kv.get("fruit/apple")?.as_deref(), Some(&b"red"[..]));
///
/// let last = kv.prefix("fruit/")?.next_back().transpose()?;
/// assert_eq!(last, Some((b"fruit/pear".to_vec(), b"green".to_vec())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KvStore {
    engine: Engine<KvMachine>,
}

impl TypedStore for KvStore {
    type Machine = KvMachine;

    fn from_engine(engine: Engine<KvMachine>) -> Self {
        Self { engine }
    }

    fn engine(&self) -> &Engine<KvMachine> {
        &self.engine
    }
}

impl KvStore {
    /// Gives a key a value and replaces all values it has here. Durable when this returns.
    ///
    /// A concurrent put by another replica is not lost: [`conflicts`] returns both values.
    ///
    /// # Errors
    /// See [`AppendError`] and [`KvRefusal`]; the same holds for all methods that write.
    ///
    /// [`conflicts`]: Self::conflicts
    pub fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, KvAppendError> {
        let mut command = Command::new();
        command.put(key.as_ref(), value.as_ref());
        self.engine.append(command)
    }

    /// Removes all values that a key has here. It makes an op even if the key has no value. To get
    /// an error instead, use a batch that [expects](Batch::expect_present) the key.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<Receipt, KvAppendError> {
        let mut command = Command::new();
        command.delete(key.as_ref());
        self.engine.append(command)
    }

    /// Starts a batch: writes that are applied together, as one op, under conditions if it has any.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.engine)
    }

    /// A snapshot of the current store.
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods that read.
    pub fn snapshot(&self) -> Result<KvSnapshot, BackendError> {
        Ok(KvSnapshot::new(self.engine.snapshot()?))
    }

    /// The value of a key; of concurrent values, the one with the greatest `(hlc, op id)`. It takes
    /// one look-up, however many values the key has.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, BackendError> {
        self.snapshot()?.get(key)
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, BackendError> {
        self.snapshot()?.contains(key)
    }

    /// All keys and their values, in order of keys, lazily and from either end.
    pub fn iter(&self) -> Result<Scan, BackendError> {
        Ok(self.snapshot()?.iter())
    }

    /// The keys in a range and their values, lazily and from either end.
    ///
    /// ```
    /// # use lattice_kvstore::KvStore;
    /// # let kv = KvStore::in_memory()?;
    /// kv.batch().put("a", "1").put("b", "2").put("c", "3").commit()?;
    /// // Backwards and no more than two:
    /// for row in kv.scan("a"..="b")?.rev().take(2) {
    ///     let (key, value) = row?;
    ///     println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    /// }
    /// // Keys alone, which does not copy values:
    /// let keys: Vec<_> = kv.scan("b"..)?.keys().collect::<Result<_, _>>()?;
    /// assert_eq!(keys, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Scan, BackendError> {
        Ok(self.snapshot()?.scan(range))
    }

    /// The keys that start with a prefix and their values, lazily and from either end.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan, BackendError> {
        Ok(self.snapshot()?.prefix(prefix))
    }

    /// The number of keys with a value. Does not read the keys: it scans only those in conflict.
    pub fn count(&self) -> Result<u64, BackendError> {
        self.snapshot()?.count()
    }

    /// All concurrent values of a key, the current one first; at most one if there is no conflict.
    /// The next put or delete by an author who has seen them replaces them all.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use lattice_backend::backend::MemoryBackend;
    /// # use lattice_backend::engine::Engine;
    /// # use lattice_backend::engine::ingest::Authors;
    /// # use lattice_backend::engine::open::OpenRequest;
    /// # use lattice_backend::op::{BranchTips, SecretKey};
    /// # use lattice_kvstore::{KvMachine, KvStore, store_type};
    /// # use lattice_meta::{Genesis, Hlc, Nonce};
    /// # use lattice_registry::TypedStore;
    /// # let owner = SecretKey::from_bytes(&[7; 32]).public();
    /// # let nonce = Nonce::from_bytes([1; 16]);
    /// # let genesis = Genesis::new(store_type(), owner, nonce, Hlc::ZERO, None);
    /// # let open = |secret: [u8; 32]| -> Result<KvStore, Box<dyn std::error::Error>> {
    /// #     let backend = Arc::new(MemoryBackend::new());
    /// #     Engine::create(&*backend, "kv".as_ref(), &genesis, &KvMachine::new())?;
    /// #     let author = Arc::new(SecretKey::from_bytes(&secret));
    /// #     let request = OpenRequest::new(backend, "kv").identity(author);
    /// #     Ok(KvStore::from_engine(Engine::open(request, KvMachine::new())?))
    /// # };
    /// # let (ann, bob) = (open([1; 32])?, open([2; 32])?);
    /// ann.put("drink", "tea")?;
    /// bob.put("drink", "coffee")?; // on a replica of his own
    /// # let from_ann = ann.engine().ops_after(&BranchTips::default())?;
    /// # bob.engine().ingest(from_ann, &Authors::Any)?;
    /// // Then he takes in what Ann wrote.
    /// let siblings = bob.conflicts("drink")?;
    /// assert_eq!(siblings.len(), 2);
    /// assert_eq!(bob.get("drink")?.as_ref(), Some(&siblings[0].value));
    ///
    /// let seen = siblings.iter().map(|sibling| sibling.op);
    /// bob.batch().expect_siblings("drink", seen).put("drink", "tea or coffee").commit()?;
    /// assert_eq!(bob.conflicts("drink")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn conflicts(&self, key: impl AsRef<[u8]>) -> Result<Vec<Sibling>, BackendError> {
        self.snapshot()?.conflicts(key)
    }

    /// The keys with more than one value, ordered by length, then by bytes. The cost grows with
    /// their number, not with the number of all keys.
    pub fn conflicted_keys(&self) -> Result<ConflictedKeys, BackendError> {
        Ok(self.snapshot()?.conflicted_keys())
    }

    /// The changes of keys from a cursor on, in the order in which this replica applies them, and
    /// then every new change: each once, none skipped.
    ///
    /// ```
    /// # use lattice_backend::engine::read::Cursor;
    /// # use lattice_kvstore::KvStore;
    /// # let kv = KvStore::in_memory()?;
    /// kv.batch().put("fruit/apple", "red").put("nut", "brown").commit()?;
    /// let mut changes = kv.changes_to("fruit/", Cursor::START)?;
    /// let first = changes.next().expect("it is there")?;
    /// assert_eq!(first.key, b"fruit/apple");
    /// assert_eq!(first.value.as_deref(), Some(&b"red"[..]));
    /// let cursor = changes.cursor(); // keep it, and go on here after a restart
    /// kv.delete("fruit/apple")?;
    /// let next = kv.changes_to("fruit/", cursor)?.next().expect("it is there")?;
    /// assert_eq!(next.value, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FeedError::Rewound`] if the cursor does not belong to this history: the store was restored
    /// to an earlier state, or the cursor is from another replica.
    pub fn changes(&self, since: Cursor) -> Result<Changes, FeedError> {
        self.changes_to([], since)
    }

    /// The same for keys that start with a prefix.
    ///
    /// # Errors
    /// See [`changes`](Self::changes).
    pub fn changes_to(
        &self,
        prefix: impl AsRef<[u8]>,
        since: Cursor,
    ) -> Result<Changes, FeedError> {
        let prefix = prefix.as_ref().to_vec();
        let events = move |op: &lattice_backend::op::Op| changes(op, &prefix);
        self.engine.changes(since, events)
    }

    /// The cursor after all ops applied so far.
    ///
    /// # Errors
    /// Errors of the backend.
    pub fn cursor(&self) -> Result<Cursor, BackendError> {
        self.engine.cursor_after(u64::MAX)
    }
}
