//! What a storage backend is: it opens `state.db` files and gives transactions over them.

mod error;
#[cfg(feature = "std")]
mod integrity;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod state_db;
pub(crate) mod tx;

pub use error::{BackendError, Cause};
#[cfg(feature = "std")]
pub use integrity::Integrity;
#[cfg(feature = "std")]
pub use memory::MemoryBackend;
#[cfg(feature = "std")]
pub use state_db::{
    Access, FileError, OpenOptions, PeekError, Sharing, StateBackend, StateDb, Verdict, WriteBody,
};
#[cfg(feature = "std")]
pub(crate) use state_db::{copy_store, read_meta};
pub use tx::{
    Direction, EVERYTHING, PrefixSpan, ReadTx, Result, Row, RowCursor, Rows, Span, Table, WriteTx,
};
