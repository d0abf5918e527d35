//! Reading: snapshots, the change feed, held ops, and the ops that another replica lacks.

mod error;
pub(crate) mod exchange;
mod feed;
pub(crate) mod forks;
mod held;
mod mark;
mod snapshot;
mod state;
mod usage;
mod wait;

pub use error::{InfoError, MethodError};
pub use exchange::OpsAfter;
pub(crate) use feed::cursor_after;
pub use feed::{ChangeFeed, Cursor, CursorOp, Events, FeedError};
pub use held::HeldOps;
pub use mark::StoreMark;
pub use snapshot::Snapshot;
pub use state::StoreState;
pub use usage::StoreUsage;
pub(crate) use wait::wait_for_ops;

pub use crate::history::held::{HeldOp, HeldReason};
