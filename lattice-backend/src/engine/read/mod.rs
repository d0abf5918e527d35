//! Reading: snapshots, the change feed, held ops, and what a replication asks for.

mod error;
pub(crate) mod exchange;
mod feed;
pub(crate) mod forks;
mod held;
mod lacking;
mod mark;
mod ops_after;
pub(crate) mod replica;
mod snapshot;
mod state;
mod usage;
pub(crate) mod wait;

pub use error::{InfoError, MethodError};
pub(crate) use feed::cursor_after;
pub use feed::{ChangeFeed, Cursor, CursorOp, Events, FeedError};
pub use held::HeldOps;
pub use mark::StoreMark;
pub use ops_after::OpsAfter;
pub use replica::{OpSlice, SinceTip};
pub use snapshot::Snapshot;
pub use state::StoreState;
pub use usage::StoreUsage;

pub use crate::history::held::{HeldOp, HeldReason};
pub use crate::history::peers::{MAX_PEER_ROW_BYTES, PeerRow};
