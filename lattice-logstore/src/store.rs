//! The handle of an open log.

use lattice_backend::backend::{BackendError, Row};
use lattice_backend::engine::Engine;
use lattice_backend::engine::read::{Cursor, FeedError, Snapshot};
use lattice_backend::engine::write::{AppendError, Receipt};
use lattice_backend::machine::DataRead;
use lattice_backend::op::MAX_OP_BYTES;
use lattice_meta::StateHash;
use lattice_registry::{EngineOpener, TypedStore};

use crate::follow::entries;
use crate::run::Run;
use crate::{
    Append, Entries, Entry, Follow, LogMachine, LogRefusal, MAX_BATCH, Position, Selection,
};

/// Why nothing was appended.
pub type LogAppendError = AppendError<LogRefusal>;

/// Opener of logs, for a registry: `registry.register(store_type(), log_opener())`.
pub type LogOpener = EngineOpener<LogStore>;

/// Returns an opener of logs.
pub fn log_opener() -> LogOpener {
    EngineOpener::new(LogMachine::new)
}

/// An open log. Clones are cheap and share the log; any thread may use any of them.
///
/// ```
/// use lattice_logstore::{LogStore, Selection};
///
/// let log = LogStore::in_memory()?;
///
/// log.append("kettle on")?;
/// log.append_many(["tea", "milk", ""])?; // one op: all of them or none
/// assert_eq!(log.len()?, 4);
///
/// let newest = log.read(Selection::all().newest_first().limit(2))?;
/// let entries = newest.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(entries[0].content, b"");
/// assert_eq!(entries[1].content, b"milk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogStore {
    engine: Engine<LogMachine>,
}

impl TypedStore for LogStore {
    type Machine = LogMachine;

    fn from_engine(engine: Engine<LogMachine>) -> Self {
        Self { engine }
    }

    fn engine(&self) -> &Engine<LogMachine> {
        &self.engine
    }
}

impl LogStore {
    /// Appends one entry, which may be empty. The entry is durable when this returns.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, content: impl Into<Vec<u8>>) -> Result<Receipt, LogAppendError> {
        self.engine.append(Append {
            entries: Vec::from([content.into()]),
        })
    }

    /// Appends 1 to 65,536 entries as one op: all of them, or none. They are adjacent and in this
    /// order in the log of every replica.
    ///
    /// # Errors
    /// [`LogRefusal`] for no entries and for too many, [`AppendError::TooLong`] if they do not fit
    /// in an op (16 MiB); see [`AppendError`].
    pub fn append_many<I>(&self, entries: I) -> Result<Receipt, LogAppendError>
    where
        I: IntoIterator,
        I::Item: Into<Vec<u8>>,
    {
        // Stops collecting when the limit is exceeded: the iterator may be endless.
        let mut len = 0;
        let fits = |entry: &Vec<u8>| {
            let fitted = len <= MAX_OP_BYTES;
            len = len.saturating_add(entry.len());
            fitted
        };
        let given = entries.into_iter().take(MAX_BATCH + 1);
        let mut entries = Vec::with_capacity(given.size_hint().0);
        entries.extend(given.map(Into::into).take_while(fits));
        self.engine.append(Append { entries })
    }

    /// A snapshot of the log, for several reads that must be consistent.
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods that read.
    pub fn snapshot(&self) -> Result<LogSnapshot, BackendError> {
        Ok(LogSnapshot {
            snapshot: self.engine.snapshot()?,
        })
    }

    /// Reads entries of the current log, one after another. At most one op's entries are in memory,
    /// whatever the log's length.
    pub fn read(&self, selection: Selection) -> Result<Entries, BackendError> {
        Ok(self.snapshot()?.read(selection))
    }

    /// The newest `count` entries, oldest first.
    pub fn tail(&self, count: u64) -> Result<Vec<Entry>, BackendError> {
        self.snapshot()?.tail(count)
    }

    /// The entry at a position.
    pub fn get(&self, position: Position) -> Result<Option<Entry>, BackendError> {
        self.snapshot()?.get(position)
    }

    /// The number of entries; the time does not depend on the log's length.
    pub fn len(&self) -> Result<u64, BackendError> {
        self.snapshot()?.len()
    }

    /// Whether the log has no entries.
    pub fn is_empty(&self) -> Result<bool, BackendError> {
        self.snapshot()?.is_empty()
    }

    /// The entries from a cursor on, in the order in which this replica applies them, and then
    /// every new one: each once, none skipped. An entry of another replica may be anywhere in the
    /// log; [`Entry::position`] returns its position.
    ///
    /// ```
    /// # use lattice_logstore::LogStore;
    /// # let log = LogStore::in_memory()?;
    /// log.append("missed")?;
    /// let mut follow = log.follow(log.cursor()?)?;
    /// let writer = std::thread::spawn({
    ///     let log = log.clone();
    ///     move || log.append_many(["one", "two"])
    /// });
    /// assert_eq!(follow.next().expect("waits for it")?.content, b"one");
    /// let cursor = follow.cursor(); // keep it, and go on here after a restart
    /// drop(follow);
    /// assert_eq!(log.follow(cursor)?.next().expect("is there")?.content, b"two");
    /// # writer.join().expect("no panic")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FeedError::Rewound`] if the cursor does not belong to this history: the store was restored
    /// to an earlier state, or the cursor is from another replica.
    pub fn follow(&self, from: Cursor) -> Result<Follow, FeedError> {
        self.engine.changes(from, entries)
    }

    /// The cursor after all ops applied so far.
    ///
    /// # Errors
    /// Errors of the backend.
    pub fn cursor(&self) -> Result<Cursor, BackendError> {
        self.cursor_after(&self.snapshot()?)
    }

    /// The cursor after everything that a snapshot contains: a reader that follows from there gets
    /// exactly the entries that the snapshot does not have.
    ///
    /// # Errors
    /// Errors of the backend.
    pub fn cursor_after(&self, snapshot: &LogSnapshot) -> Result<Cursor, BackendError> {
        self.engine.cursor_after(snapshot.snapshot.op_count()?)
    }
}

/// A log as it was at one moment. Clones share the same view. While a snapshot exists, the file of
/// a log that is written grows.
#[derive(Debug, Clone)]
pub struct LogSnapshot {
    snapshot: Snapshot,
}

impl LogSnapshot {
    /// Reads entries, one after another. At most one op's entries are in memory, whatever the log's
    /// length.
    pub fn read(&self, selection: Selection) -> Entries {
        Entries::new(self.snapshot.clone(), selection)
    }

    /// The newest `count` entries, oldest first.
    ///
    /// # Errors
    /// Errors of the backend; the same holds for all methods below.
    pub fn tail(&self, count: u64) -> Result<Vec<Entry>, BackendError> {
        let newest = self.read(Selection::all().newest_first().limit(count));
        let mut entries = newest.collect::<Result<Vec<_>, _>>()?;
        entries.reverse();
        Ok(entries)
    }

    /// The entry at a position.
    pub fn get(&self, position: Position) -> Result<Option<Entry>, BackendError> {
        let key = &position.run_key();
        let Some(value) = &self.snapshot.get(key)? else {
            return Ok(None);
        };
        let run = Run::from_row(Row { key, value })?;
        let Some(next) = position
            .index
            .checked_add(1)
            .filter(|next| *next <= run.count)
        else {
            return Ok(None);
        };
        let entries = run.entries(&self.snapshot.history(), position.index..next)?;
        Ok(entries.into_iter().next())
    }

    /// The number of entries.
    pub fn len(&self) -> Result<u64, BackendError> {
        // Every entry is an element, and the host counts the elements.
        self.snapshot.element_count()
    }

    /// Whether the log has no entries.
    pub fn is_empty(&self) -> Result<bool, BackendError> {
        Ok(self.len()? == 0)
    }

    /// The hash of the log's whole state.
    pub fn state_hash(&self) -> Result<StateHash, BackendError> {
        self.snapshot.state_hash()
    }
}
