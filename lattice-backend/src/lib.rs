//! Everything that happens to a Lattice store's `state.db`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
mod backend;
#[cfg(feature = "std")]
mod bundle;
#[cfg(feature = "std")]
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "std")]
mod engine;
mod error;
#[cfg(feature = "std")]
mod history;
#[cfg(feature = "std")]
pub mod lthash;
#[cfg(feature = "std")]
mod memory;
mod op;
mod readable;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "std")]
mod staging;
#[cfg(feature = "std")]
mod state_hash;
mod state_machine;
#[cfg(feature = "std")]
mod storage;
#[cfg(feature = "std")]
mod system;
mod tx;
mod value;
#[cfg(feature = "std")]
mod watch;
#[cfg(feature = "std")]
mod xof;

#[cfg(feature = "std")]
pub use backend::{
    Access, FileError, OpenOptions, PeekError, Sharing, StateBackend, StateDb, Verdict, WriteBody,
};
#[cfg(feature = "std")]
pub use bundle::{
    BundleCounts, BundleError, BundlePart, BundleReader, BundleSummary, write_bundle,
};
#[cfg(feature = "std")]
pub use clock::{Clock, ManualClock, SystemClock};
#[cfg(feature = "std")]
pub use engine::{
    AppendAllError, AppendError, Authors, CreateError, Cursor, CursorOp, Depth, Difference,
    EffectFinding, Engine, Events, Feed, FeedError, Finding, Fork, HashDifference, InfoError,
    IngestReport, Integrity, LogicPolicy, MAX_HELD_BYTES, MAX_HELD_OPS, MethodError, OpDifference,
    OpFault, OpenError, OpenRequest, OpsAfter, Outcome, Rebuilt, Receipt, Rejection, RowDifference,
    Snapshot, Verification, create_store, rebuild_store,
};
pub use error::{BackendError, Cause};
#[cfg(feature = "std")]
pub use memory::MemoryBackend;
pub use op::{
    BranchTips, MAX_BATCH, MAX_DEPS, MAX_KEY_BYTES, MAX_OP_BYTES, MAX_PAYLOAD_BYTES, Op, OpDraft,
    OpError, OpHasher, OpKind, OpRef, OpView, SecretKey, SignatureError, Stamp,
};
pub use readable::{readable, readable_start};
#[cfg(feature = "redb")]
pub use redb::{FileDisk, RedbBackend};
#[cfg(feature = "std")]
pub use staging::Staged;
#[cfg(feature = "std")]
pub use state_hash::{Accumulator, EFFECT_BYTES, EffectHash, ElementHasher, Expansion};
pub use state_machine::{
    Effect, LogicVersion, LogicVersionError, MAX_LOGIC_VERSION_BYTES, StateMachine,
};
#[cfg(feature = "std")]
pub use storage::{Disk, FileId, FileMode, LockKind, LockRange, MemoryDisk, Storage};
#[cfg(feature = "conformance")]
pub use storage::{
    DiskCall, DiskFault, FailingDisk, Failure, FailurePoint, Lasting, RecordingDisk, Unsynced,
};
pub use tx::{
    DataRead, DataWrite, Direction, EVERYTHING, History, PrefixSpan, ReadTx, Result, Row,
    RowCursor, Rows, Span, Table, WriteTx,
};
pub use value::{Args, CallError, Method, MethodKind, Param, Value, ValueType};
#[cfg(feature = "std")]
pub use watch::{Progress, Stage, Watch};
