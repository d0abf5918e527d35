//! Store handles independent of the store's type.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use lattice_backend::backend::{Access, BackendError, Cause, JournalInfo, StateBackend};
use lattice_backend::engine::ingest::{Authors, IngestError, IngestReport};
use lattice_backend::engine::read::{
    HeldOps, InfoError, MethodError, OpSlice, OpsAfter, PeerRow, SinceTip, StoreState, StoreUsage,
};
use lattice_backend::engine::verify::{Depth, Verification};
use lattice_backend::engine::write::{CopyConfirmation, PeerSays};
use lattice_backend::engine::{Counters, Engine, Fork};
use lattice_backend::machine::manifest::StoreCode;
use lattice_backend::machine::{LogicVersion, Method, StateMachine, Value};
use lattice_backend::op::{
    ApplyIndex, BranchTips, Lacking, Op, OpKind, OpOrder, OpRef, OpsEnd, ReplicaView,
};
use lattice_backend::progress::ProgressSink;
use lattice_meta::{Genesis, MetaInfo, OpId, PubKey, SchemaVersion, StateHash, StoreId, StoreType};

/// An open store of any type. It describes its methods, calls them by name, and reads and ingests
/// history. [`downcast_ref`](#method.downcast_ref) returns the handle of the store's own type.
pub trait StoreHandle: Any + Debug + Send + Sync {
    /// The store's id.
    fn store_id(&self) -> StoreId;

    /// The store's type.
    fn store_type(&self) -> &StoreType;

    /// The store's genesis record.
    fn genesis(&self) -> &Genesis;

    /// The version of the logic that the store was opened with.
    fn logic_version(&self) -> LogicVersion;

    /// The layout of the rows.
    fn schema_version(&self) -> SchemaVersion;

    /// The access that the store was opened with.
    fn access(&self) -> Access;

    /// The file that was opened.
    fn path(&self) -> &Path;

    /// The information that peek returns.
    ///
    /// # Errors
    /// See [`InfoError`].
    fn info(&self) -> Result<MetaInfo, InfoError>;

    /// The methods that can be called by name.
    fn methods(&self) -> Vec<Method>;

    /// Calls a command or a query by name.
    ///
    /// # Errors
    /// See [`MethodError`].
    fn call(&self, method: &str, args: Value) -> Result<Value, MethodError>;

    /// The last applied op of each author.
    ///
    /// # Errors
    /// See [`InfoError`].
    fn tips(&self) -> Result<BTreeMap<PubKey, OpId>, InfoError>;

    /// The frontier of history.
    ///
    /// # Errors
    /// What the backend reports; this holds for all methods below.
    fn frontier(&self) -> Result<Vec<OpRef>, BackendError>;

    /// The ends of all branches of all authors.
    fn branch_tips(&self) -> Result<BranchTips, BackendError>;

    /// The forks found so far, with their evidence.
    fn forks(&self) -> Result<Vec<Fork>, BackendError>;

    /// The hash of the whole state.
    fn state_hash(&self) -> Result<StateHash, BackendError>;

    /// The number of elements of the state, which the store keeps.
    fn element_count(&self) -> Result<u64, BackendError>;

    /// The space that the store takes; see [`Snapshot::usage`].
    ///
    /// [`Snapshot::usage`]: lattice_backend::engine::read::Snapshot::usage
    fn usage(&self) -> Result<Option<StoreUsage>, BackendError>;

    /// What the journal holds that the file does not; see [`Engine::journal`].
    fn journal(&self) -> Result<Option<JournalInfo>, BackendError>;

    /// The number of applied ops.
    fn op_count(&self) -> Result<u64, BackendError>;

    /// The op at an apply index; `None` after the last.
    fn op_at(&self, index: ApplyIndex) -> Result<Option<Op>, BackendError>;

    /// Describes an op for people: a few words without line breaks.
    fn describe(&self, op: &Op) -> String;

    /// Waits until more than `index` ops are applied, for at most `timeout`. Returns the number of
    /// applied ops.
    fn wait_for_ops(&self, index: u64, timeout: Duration) -> Result<u64, BackendError>;

    /// Ingests ops of other authors, in any order.
    fn ingest(
        &self,
        ops: &mut dyn Iterator<Item = Result<Vec<u8>, Cause>>,
        whose: &Authors,
    ) -> Result<IngestReport, IngestError<Cause>>;

    /// Whether the store is a copy that nothing has confirmed; see
    /// [`Engine::is_unconfirmed_copy`].
    fn is_unconfirmed_copy(&self) -> Result<bool, BackendError>;

    /// Lets this handle's author write to an unconfirmed copy; see [`Engine::continue_copy`].
    fn continue_copy(&self) -> Result<bool, BackendError>;

    /// The same on the word of a peer; see [`Engine::confirm_copy`].
    fn confirm_copy(&self, says: PeerSays<'_>) -> Result<CopyConfirmation, BackendError>;

    /// The held ops: this code could not apply them, or they follow such an op.
    fn held_ops(&self) -> Result<HeldOps, BackendError>;

    /// The ops that a replica with these tips lacks, in causal order.
    fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError>;

    /// The same, with the state of the same moment; see [`Engine::ops_and_state`].
    fn ops_and_state(&self, known: &BranchTips) -> Result<(OpsAfter, StoreState), BackendError>;

    /// How far the two orders of the store reach.
    fn ops_end(&self) -> Result<OpsEnd, BackendError>;

    /// Waits until the orders reach elsewhere; see [`Engine::wait_for_change`].
    fn wait_for_change(&self, seen: OpsEnd, timeout: Duration) -> Result<OpsEnd, BackendError>;

    /// What this replica has; see [`Engine::replica_view`].
    fn replica_view(&self) -> Result<ReplicaView, BackendError>;

    /// Ops by their positions; see [`Engine::op_slice`].
    fn op_slice(
        &self,
        order: OpOrder,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Result<OpSlice, BackendError>;

    /// The tips of the authors of ops from an apply index on; see [`Engine::tips_since`].
    fn tips_since(&self, from: u64) -> Result<(Vec<SinceTip>, OpsEnd), BackendError>;

    /// For each op, whether it is applied or held.
    fn has_ops(&self, ops: &[OpRef]) -> Result<Vec<bool>, BackendError>;

    /// Tips and older ops of the branches of these authors.
    fn tips_of(&self, authors: &BTreeSet<PubKey>) -> Result<BranchTips, BackendError>;

    /// The ops before a place that another replica lacks; see [`Engine::ops_lacking`].
    fn ops_lacking(&self, lacking: &Lacking, until: OpsEnd) -> Result<OpsAfter, BackendError>;

    /// Ingests ops, and with the last of them a row about a peer; see [`Engine::ingest_noted`].
    fn ingest_noted(
        &self,
        ops: &mut dyn Iterator<Item = Result<Vec<u8>, Cause>>,
        whose: &Authors,
        row: Option<(&PubKey, &[u8])>,
    ) -> Result<(IngestReport, bool), IngestError<Cause>>;

    /// Reads a row about a peer.
    fn peer_row(&self, peer: &PubKey, row: PeerRow) -> Result<Option<Vec<u8>>, BackendError>;

    /// The rows about all peers; see [`Engine::peer_rows`].
    fn peer_rows(&self) -> Result<Vec<(PubKey, PeerRow, Vec<u8>)>, BackendError>;

    /// Writes a row about a peer; see [`Engine::set_peer_row`].
    fn set_peer_row(&self, peer: &PubKey, row: PeerRow, value: &[u8]) -> Result<(), BackendError>;

    /// Hashes the effects of a replay in canonical order; see [`Engine::trace`].
    fn trace(
        &self,
        at: &[u64],
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<(u64, Vec<[u8; 16]>), BackendError>;

    /// What identifies the current state.
    fn state(&self) -> Result<StoreState, BackendError>;

    /// Verifies the store in its current state; see [`Engine::verify`].
    fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<Verification, BackendError>;

    /// Checks that the history consists of exactly the applied ops; see [`Engine::check_ops`].
    fn check_ops(&self, progress: &ProgressSink) -> Result<(), BackendError>;

    /// Frees unused space in the file; see [`Engine::compact`].
    fn compact(&self, progress: &ProgressSink) -> Result<(), BackendError>;

    /// What this handle has done since it was opened; see [`Engine::counters`].
    fn counters(&self) -> Counters;

    /// Whether the store is open, its storage has not failed, and no other file has replaced its
    /// file.
    fn is_usable(&self) -> bool;

    /// Whether callers hold clones of this handle's typed form.
    fn is_shared(&self) -> bool;

    /// Closes the store and all its handles, and releases the file before it returns.
    fn close(&self) -> Result<(), BackendError>;
}

impl dyn StoreHandle {
    /// The typed handle, if its type is `T`. Typed handles are cheap to clone.
    pub fn downcast_ref<T: StoreHandle>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// A typed handle over an engine. A type that implements this trait is a [`StoreHandle`], and
/// [`EngineOpener`](crate::EngineOpener) can open its stores.
pub trait TypedStore: Debug + Clone + Send + Sync + 'static {
    /// The state machine of the handle.
    type Machine: StateMachine;

    /// Makes a handle from an open engine.
    fn from_engine(engine: Engine<Self::Machine>) -> Self;

    /// The handle's engine.
    fn engine(&self) -> &Engine<Self::Machine>;
}

/// A typed handle whose stores all have one type, so that the handle type alone names the stores to
/// create.
pub trait NamedType: TypedStore {
    /// The store type.
    const STORE_TYPE: &'static str;
}

/// An engine is itself a handle, for store types without methods of their own in Rust.
impl<M: StateMachine> TypedStore for Engine<M> {
    type Machine = M;

    fn from_engine(engine: Engine<M>) -> Self {
        engine
    }

    fn engine(&self) -> &Engine<M> {
        self
    }
}

impl<M: StoreCode> NamedType for Engine<M> {
    const STORE_TYPE: &'static str = M::STORE_TYPE;
}

impl<T: TypedStore> StoreHandle for T {
    fn store_id(&self) -> StoreId {
        self.engine().store_id()
    }

    fn store_type(&self) -> &StoreType {
        self.engine().machine().logic().store_type()
    }

    fn genesis(&self) -> &Genesis {
        self.engine().genesis()
    }

    fn logic_version(&self) -> LogicVersion {
        self.engine().machine().logic().version().clone()
    }

    fn schema_version(&self) -> SchemaVersion {
        self.engine().schema_version()
    }

    fn access(&self) -> Access {
        self.engine().access()
    }

    fn path(&self) -> &Path {
        self.engine().path()
    }

    fn info(&self) -> Result<MetaInfo, InfoError> {
        self.engine().info()
    }

    fn methods(&self) -> Vec<Method> {
        let methods = self.engine().machine().methods().iter();
        methods.map(|entry| entry.method.clone()).collect()
    }

    fn call(&self, method: &str, args: Value) -> Result<Value, MethodError> {
        self.engine().call(method, args)
    }

    fn tips(&self) -> Result<BTreeMap<PubKey, OpId>, InfoError> {
        Ok(self.engine().info()?.tips)
    }

    fn frontier(&self) -> Result<Vec<OpRef>, BackendError> {
        self.engine().frontier()
    }

    fn branch_tips(&self) -> Result<BranchTips, BackendError> {
        self.engine().branch_tips()
    }

    fn forks(&self) -> Result<Vec<Fork>, BackendError> {
        self.engine().forks()
    }

    fn state_hash(&self) -> Result<StateHash, BackendError> {
        self.engine().state_hash()
    }

    fn element_count(&self) -> Result<u64, BackendError> {
        self.engine().snapshot()?.element_count()
    }

    fn usage(&self) -> Result<Option<StoreUsage>, BackendError> {
        self.engine().snapshot()?.usage()
    }

    fn journal(&self) -> Result<Option<JournalInfo>, BackendError> {
        self.engine().journal()
    }

    fn op_count(&self) -> Result<u64, BackendError> {
        self.engine().op_count()
    }

    fn op_at(&self, index: ApplyIndex) -> Result<Option<Op>, BackendError> {
        self.engine().op_at(index)
    }

    fn describe(&self, op: &Op) -> String {
        match op.kind() {
            OpKind::Application => self.engine().machine().describe(op.payload()),
            OpKind::Merge => "merge".into(),
            _ => "an op of a kind that is not known here".into(),
        }
    }

    fn wait_for_ops(&self, index: u64, timeout: Duration) -> Result<u64, BackendError> {
        self.engine().wait_for_ops(index, timeout)
    }

    fn ingest(
        &self,
        ops: &mut dyn Iterator<Item = Result<Vec<u8>, Cause>>,
        whose: &Authors,
    ) -> Result<IngestReport, IngestError<Cause>> {
        self.engine().ingest(ops, whose)
    }

    fn is_unconfirmed_copy(&self) -> Result<bool, BackendError> {
        self.engine().is_unconfirmed_copy()
    }

    fn continue_copy(&self) -> Result<bool, BackendError> {
        self.engine().continue_copy()
    }

    fn confirm_copy(&self, says: PeerSays<'_>) -> Result<CopyConfirmation, BackendError> {
        self.engine().confirm_copy(says)
    }

    fn held_ops(&self) -> Result<HeldOps, BackendError> {
        self.engine().held_ops()
    }

    fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError> {
        self.engine().ops_after(known)
    }

    fn ops_and_state(&self, known: &BranchTips) -> Result<(OpsAfter, StoreState), BackendError> {
        self.engine().ops_and_state(known)
    }

    fn ops_end(&self) -> Result<OpsEnd, BackendError> {
        self.engine().ops_end()
    }

    fn wait_for_change(&self, seen: OpsEnd, timeout: Duration) -> Result<OpsEnd, BackendError> {
        self.engine().wait_for_change(seen, timeout)
    }

    fn replica_view(&self) -> Result<ReplicaView, BackendError> {
        self.engine().replica_view()
    }

    fn op_slice(
        &self,
        order: OpOrder,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Result<OpSlice, BackendError> {
        self.engine().op_slice(order, range, max_bytes)
    }

    fn tips_since(&self, from: u64) -> Result<(Vec<SinceTip>, OpsEnd), BackendError> {
        self.engine().tips_since(from)
    }

    fn has_ops(&self, ops: &[OpRef]) -> Result<Vec<bool>, BackendError> {
        self.engine().has_ops(ops)
    }

    fn tips_of(&self, authors: &BTreeSet<PubKey>) -> Result<BranchTips, BackendError> {
        self.engine().tips_of(authors)
    }

    fn ops_lacking(&self, lacking: &Lacking, until: OpsEnd) -> Result<OpsAfter, BackendError> {
        self.engine().ops_lacking(lacking, until)
    }

    fn ingest_noted(
        &self,
        ops: &mut dyn Iterator<Item = Result<Vec<u8>, Cause>>,
        whose: &Authors,
        row: Option<(&PubKey, &[u8])>,
    ) -> Result<(IngestReport, bool), IngestError<Cause>> {
        self.engine().ingest_noted(ops, whose, row)
    }

    fn peer_row(&self, peer: &PubKey, row: PeerRow) -> Result<Option<Vec<u8>>, BackendError> {
        self.engine().peer_row(peer, row)
    }

    fn peer_rows(&self) -> Result<Vec<(PubKey, PeerRow, Vec<u8>)>, BackendError> {
        self.engine().peer_rows()
    }

    fn set_peer_row(&self, peer: &PubKey, row: PeerRow, value: &[u8]) -> Result<(), BackendError> {
        self.engine().set_peer_row(peer, row, value)
    }

    fn trace(
        &self,
        at: &[u64],
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<(u64, Vec<[u8; 16]>), BackendError> {
        self.engine().trace(at, backend, progress)
    }

    fn state(&self) -> Result<StoreState, BackendError> {
        self.engine().snapshot()?.state()
    }

    fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<Verification, BackendError> {
        self.engine().verify(depth, backend, progress)
    }

    fn check_ops(&self, progress: &ProgressSink) -> Result<(), BackendError> {
        self.engine().check_ops(progress)
    }

    fn compact(&self, progress: &ProgressSink) -> Result<(), BackendError> {
        self.engine().compact(progress)
    }

    fn counters(&self) -> Counters {
        self.engine().counters()
    }

    fn is_usable(&self) -> bool {
        self.engine().is_usable()
    }

    fn is_shared(&self) -> bool {
        self.engine().is_shared()
    }

    fn close(&self) -> Result<(), BackendError> {
        self.engine().close()
    }
}
