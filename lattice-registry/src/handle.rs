//! A store seen without its type.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use lattice_backend::backend::{Access, BackendError, Cause, StateBackend};
use lattice_backend::engine::ingest::{Authors, IngestError, IngestReport};
use lattice_backend::engine::read::{HeldOps, InfoError, MethodError, OpsAfter};
use lattice_backend::engine::verify::{Depth, Verification};
use lattice_backend::engine::{Engine, Fork};
use lattice_backend::machine::manifest::StoreCode;
use lattice_backend::machine::{LogicVersion, Method, StateMachine, Value};
use lattice_backend::op::{ApplyIndex, BranchTips, Op, OpKind, OpRef};
use lattice_backend::progress::ProgressSink;
use lattice_meta::{Genesis, MetaInfo, OpId, PubKey, StateHash, StoreId, StoreType};

/// An open store, whatever its type: it describes its methods, can be called by name, and gives
/// and takes history. Its own type is one [downcast](#method.downcast_ref) away.
pub trait StoreHandle: Any + Debug + Send + Sync {
    /// The store's id.
    fn store_id(&self) -> StoreId;

    /// The store's type.
    fn store_type(&self) -> &StoreType;

    /// The record that the store began with.
    fn genesis(&self) -> &Genesis;

    /// The fingerprint of the logic that the store is open with.
    fn logic_version(&self) -> LogicVersion;

    /// What the store was opened for.
    fn access(&self) -> Access;

    /// The file that was opened.
    fn path(&self) -> &Path;

    /// What peek would say.
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

    /// Of each author, the last op applied.
    ///
    /// # Errors
    /// See [`InfoError`].
    fn tips(&self) -> Result<BTreeMap<PubKey, OpId>, InfoError>;

    /// The frontier of history.
    ///
    /// # Errors
    /// What the engine underneath reports; so for all methods below.
    fn frontier(&self) -> Result<Vec<OpRef>, BackendError>;

    /// The ends of all authors' branches.
    fn branch_tips(&self) -> Result<BranchTips, BackendError>;

    /// The forks found so far, with their evidence.
    fn forks(&self) -> Result<Vec<Fork>, BackendError>;

    /// The hash of the whole state.
    fn state_hash(&self) -> Result<StateHash, BackendError>;

    /// How many ops have been applied.
    fn op_count(&self) -> Result<u64, BackendError>;

    /// The op with an apply index; nothing after the last.
    fn op_at(&self, index: ApplyIndex) -> Result<Option<Op>, BackendError>;

    /// What an op does, in a few words for people: a line without line ends.
    fn describe(&self, op: &Op) -> String;

    /// Waits until more than `index` ops are applied, for at most `timeout`; returns how many are.
    fn wait_for_ops(&self, index: u64, timeout: Duration) -> Result<u64, BackendError>;

    /// Takes in ops of others, in any order.
    fn ingest(
        &self,
        ops: &mut dyn Iterator<Item = Result<Vec<u8>, Cause>>,
        whose: &Authors,
    ) -> Result<IngestReport, IngestError<Cause>>;

    /// The ops that are held: this code could not apply them, or they follow such an op.
    fn held_ops(&self) -> Result<HeldOps, BackendError>;

    /// The ops that a replica which has these lacks, in causal order.
    fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError>;

    /// Verifies the store as it is now; see [`Engine::verify`].
    fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<Verification, BackendError>;

    /// Looks whether the history is made of the ops that were applied; see [`Engine::check_ops`].
    fn check_ops(&self) -> Result<(), BackendError>;

    /// Gives unused space of the file back; see [`Engine::compact`].
    fn compact(&self) -> Result<(), BackendError>;

    /// Whether the store has not been closed and its storage has not failed.
    fn is_usable(&self) -> bool;

    /// Whether there are clones of this handle, of its own type, that callers still hold.
    fn is_shared(&self) -> bool;

    /// Closes the store and all its handles; the file is released before this returns.
    fn close(&self) -> Result<(), BackendError>;
}

impl dyn StoreHandle {
    /// The store as what it is, if that is `T`: handles are cheap to clone from there.
    pub fn downcast_ref<T: StoreHandle>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// A typed handle over an engine. Implementing this makes it a [`StoreHandle`], and
/// [`EngineOpener`](crate::EngineOpener) an opener for it.
pub trait TypedStore: Debug + Clone + Send + Sync + 'static {
    /// The logic behind the handle.
    type Machine: StateMachine;

    /// The handle over an open engine.
    fn from_engine(engine: Engine<Self::Machine>) -> Self;

    /// The engine underneath.
    fn engine(&self) -> &Engine<Self::Machine>;
}

/// A typed handle whose stores are all of one type, so that they can be made by the handle's name.
pub trait NamedType: TypedStore {
    /// The store type.
    const STORE_TYPE: &'static str;
}

/// An engine is a handle itself, for store types that need no methods of their own in Rust.
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

    fn held_ops(&self) -> Result<HeldOps, BackendError> {
        self.engine().held_ops()
    }

    fn ops_after(&self, known: &BranchTips) -> Result<OpsAfter, BackendError> {
        self.engine().ops_after(known)
    }

    fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        progress: &ProgressSink,
    ) -> Result<Verification, BackendError> {
        self.engine().verify(depth, backend, progress)
    }

    fn check_ops(&self) -> Result<(), BackendError> {
        self.engine().check_ops()
    }

    fn compact(&self) -> Result<(), BackendError> {
        self.engine().compact()
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
