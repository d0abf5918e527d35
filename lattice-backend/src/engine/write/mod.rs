//! Writing: commands of this author, and the transactions that all writes go through.

mod append;
mod batch;
mod copied;
mod error;
pub(crate) mod group_commit;
pub(crate) mod recorder;
pub(crate) mod signing;
pub(crate) mod state;

pub(crate) use append::{Answer, append};
pub(crate) use batch::append_all;
pub use copied::{CopyConfirmation, PeerSays, mark_copied};
pub(crate) use copied::{confirm_copy, continue_copy};
pub use error::{AppendAllError, AppendError};

use lattice_meta::Hlc;

use crate::op::{ApplyIndex, OpRef};

/// The receipt of a local op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The op.
    pub op: OpRef,
    /// Its timestamp.
    pub hlc: Hlc,
    /// Its apply index.
    pub index: ApplyIndex,
}
