//! Reading: snapshots, the change feed, and what another replica lacks.

mod error;
pub(crate) mod exchange;
mod feed;
mod snapshot;

pub use error::{InfoError, MethodError};
pub use exchange::OpsAfter;
pub use feed::{Cursor, CursorOp, Events, Feed, FeedError};
pub use snapshot::Snapshot;
