//! Batches of an open store.

use lattice_backend::engine::Engine;
use lattice_backend::engine::write::Receipt;
use lattice_backend::op::OpRef;

use crate::{Command, Expectation, KvAppendError, KvMachine};

/// Writes that become one op: all of them or none, under conditions if there are any. If a batch
/// writes a key several times, the last write counts.
///
/// ```
/// # use std::sync::Arc;
/// # use lattice_backend::backend::MemoryBackend;
/// # use lattice_backend::engine::Engine;
/// # use lattice_backend::engine::open::OpenRequest;
/// # use lattice_backend::engine::write::AppendError;
/// # use lattice_backend::op::SecretKey;
/// # use lattice_kvstore::{Found, KvMachine, KvRefusal, KvStore, store_type};
/// # use lattice_meta::{Genesis, Hlc, Nonce};
/// # use lattice_registry::TypedStore;
/// # let backend = Arc::new(MemoryBackend::new());
/// # let me = Arc::new(SecretKey::from_bytes(&[7; 32]));
/// # let nonce = Nonce::from_bytes([1; 16]);
/// # let genesis = Genesis::new(store_type(), me.public(), nonce, Hlc::ZERO, None);
/// # Engine::create(&*backend, "kv".as_ref(), &genesis, &KvMachine::new())?;
/// # let request = OpenRequest::new(backend, "kv").identity(me);
/// # let kv = KvStore::from_engine(Engine::open(request, KvMachine::new())?);
/// kv.batch().put("from", "3").put("to", "0").commit()?;
///
/// let moved = |kv: &KvStore| {
///     kv.batch().expect_value("from", "3").put("from", "2").put("to", "1").commit()
/// };
/// moved(&kv)?;
/// // The second time the condition does not hold, and nothing is written.
/// match moved(&kv) {
///     Err(AppendError::Refused(KvRefusal::Expectation { found, .. })) => {
///         assert_eq!(found, Found::Value(b"2".to_vec()));
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is written before `commit`"]
pub struct Batch<'a> {
    engine: &'a Engine<KvMachine>,
    command: Command,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(engine: &'a Engine<KvMachine>) -> Self {
        Self {
            engine,
            command: Command::new(),
        }
    }

    /// Gives a key a value, and replaces all values it has.
    pub fn put(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.command.put(key.as_ref(), value.as_ref());
        self
    }

    /// Removes all values of a key.
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        self.command.delete(key.as_ref());
        self
    }

    /// Refuses the batch if the key has a value.
    pub fn expect_absent(self, key: impl AsRef<[u8]>) -> Self {
        self.expect(key, Expectation::Absent)
    }

    /// Refuses the batch unless the key has a value.
    pub fn expect_present(self, key: impl AsRef<[u8]>) -> Self {
        self.expect(key, Expectation::Present)
    }

    /// Refuses the batch unless [`get`](crate::KvStore::get) would return this value. Other
    /// concurrent values do not matter.
    pub fn expect_value(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.expect(key, Expectation::Value(value.as_ref().to_vec()))
    }

    /// Refuses the batch unless the key's values are the puts of exactly these ops, as
    /// [`conflicts`](crate::KvStore::conflicts) returned them.
    pub fn expect_siblings(
        self,
        key: impl AsRef<[u8]>,
        ops: impl IntoIterator<Item = OpRef>,
    ) -> Self {
        self.expect(key, Expectation::Siblings(ops.into_iter().collect()))
    }

    /// Adds a condition. It is checked against the state that the op changes.
    pub fn expect(mut self, key: impl AsRef<[u8]>, expectation: Expectation) -> Self {
        self.command.expect(key.as_ref(), expectation);
        self
    }

    /// Number of writes so far. A key that was written twice, with another between, counts twice.
    pub fn len(&self) -> usize {
        self.command.len()
    }

    /// Whether the batch has no writes yet.
    pub fn is_empty(&self) -> bool {
        self.command.is_empty()
    }

    /// Makes the op and applies it. The op is durable when this returns.
    ///
    /// # Errors
    /// [`KvRefusal`](crate::KvRefusal) for a batch that is empty or too large and for a condition
    /// that does not hold; see [`KvAppendError`].
    pub fn commit(self) -> Result<Receipt, KvAppendError> {
        self.engine.append(self.command)
    }
}

/// Puts a value under each key.
impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(K, V)> for Batch<'_> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, rows: I) {
        for (key, value) in rows {
            self.command.put(key.as_ref(), value.as_ref());
        }
    }
}
