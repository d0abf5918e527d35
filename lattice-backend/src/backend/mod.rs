//! Storage backends: they open `state.db` files and provide transactions over them.

mod busy;
#[cfg(any(feature = "std", not(target_arch = "wasm32")))]
mod error;
#[cfg(feature = "std")]
pub(crate) mod file_error;
#[cfg(feature = "std")]
mod first_failure;
#[cfg(feature = "std")]
mod integrity;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
pub(crate) mod merge;
#[cfg(not(any(feature = "std", not(target_arch = "wasm32"))))]
mod no_error;
#[cfg(feature = "std")]
mod raw_rows;
#[cfg(feature = "std")]
mod rows;
#[cfg(feature = "std")]
mod state_db;
#[cfg(feature = "std")]
mod transaction;
pub(crate) mod tx;

pub use busy::{Busy, Holder};
#[cfg(any(feature = "std", not(target_arch = "wasm32")))]
pub use error::{BackendError, Cause};
#[cfg(feature = "std")]
pub use file_error::{FileError, PeekError};
#[cfg(feature = "std")]
pub use first_failure::FirstFailure;
#[cfg(feature = "std")]
pub use integrity::Integrity;
#[cfg(feature = "std")]
pub use memory::MemoryBackend;
#[cfg(not(any(feature = "std", not(target_arch = "wasm32"))))]
pub use no_error::BackendError;
#[cfg(feature = "std")]
pub use raw_rows::{RawPlace, RawRow, RawRows};
#[cfg(feature = "std")]
pub use rows::peek_open;
#[cfg(feature = "std")]
pub(crate) use rows::{CountedRows, check_journal, copy_store, read_meta, read_peek};
#[cfg(feature = "std")]
pub use state_db::{
    Access, CommitMark, Copied, Journal, JournalInfo, OpenOptions, Peek, Sharing, StateBackend,
    StateDb, TurnHold, Waiting, WriterLock,
};
#[cfg(feature = "std")]
pub use transaction::{Ticket, Transaction};
pub use tx::{
    Direction, EVERYTHING, PrefixSpan, ReadTx, Result, Row, RowCursor, Rows, Span, Table,
    TableUsage, WriteTx,
};
