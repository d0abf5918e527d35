//! The threads of a store with sessions: they answer the state machine's questions about it.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use lattice_backend::backend::BackendError;
use lattice_backend::engine::read::{OpOrder, OpsAfter, OpsEnd, PeerRow, ReplicaView};
use lattice_backend::progress::ProgressSink;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{Cid, GenesisHash, PubKey, StoreId};
use lattice_sync::host::{
    Answer, Input, Loaded, Mode, Order, Place, Request, SessionId, Ticket, View,
};
use lattice_sync::wire::{Cursor, RefuseReason, Tip, Token};

use crate::sync::driver::Message;
use crate::sync::ingest::Writer;
use crate::sync::weigh::weigh;
use crate::sync::{Options, StoreError};
use crate::{Access, ManagerError, Node, StoreHandle};

/// How long a peer waits that asks for a store that another process uses.
const BUSY_MS: u64 = 1000;
/// How long the thread that waits for ops waits at a time: a store that it waits for stays open so
/// long after the last session.
const WATCH: Duration = Duration::from_millis(250);
/// The length of a cursor's row: number and token.
const CURSOR_BYTES: usize = 8 + 16;

/// A question of a session.
pub(super) struct Question {
    pub(super) ticket: Ticket,
    pub(super) peer: PubKey,
    pub(super) request: Request,
}

/// What the reading thread is told.
enum Look {
    At(Box<Question>),
    DropPlan(SessionId),
}

/// What the writing thread is told.
pub(super) enum Write {
    /// Opens the store. What came before is ingested first, also that of sessions that are over:
    /// it is not asked for again, and not sent back.
    Load(Box<Question>),
    Ingest(Box<Question>),
    Note(PubKey, Cursor),
    /// A peer has the same ops.
    Equal,
    /// No session is left.
    Rest,
}

/// The threads of a store.
pub(super) struct Desk {
    reads: Sender<Look>,
    writes: Sender<Write>,
    store: Arc<Store>,
    threads: [JoinHandle<()>; 2],
}

impl Desk {
    pub(super) fn start(
        node: &Arc<Node>,
        store: GenesisHash,
        options: &Options,
        inbox: &SyncSender<Message>,
    ) -> io::Result<Self> {
        let store = Arc::new(Store {
            node: Arc::clone(node),
            genesis: store,
            options: options.clone(),
            inbox: inbox.clone(),
            open: Mutex::default(),
            changed: Condvar::new(),
        });
        let (reads, looks) = channel();
        let (writes, orders) = channel();
        let named = |name: &str| Builder::new().name(format!("lattice-sync-{name}"));
        let watching = Arc::clone(&store);
        named("watch").spawn(move || watching.watch())?;
        let looking = Arc::clone(&store);
        let reader = named("look").spawn(move || Reader::new(looking).run(&looks))?;
        let writing = Arc::clone(&store);
        let writer = named("ingest").spawn(move || Writer::new(writing).run(&orders))?;
        Ok(Self {
            reads,
            writes,
            store,
            threads: [reader, writer],
        })
    }

    // A thread that has ended has panicked, and the sessions wait until their peers give up.

    pub(super) fn ask(&self, question: Question) {
        let question = Box::new(question);
        match question.request {
            Request::Load { .. } => drop(self.writes.send(Write::Load(question))),
            Request::Ingest { .. } => drop(self.writes.send(Write::Ingest(question))),
            _ => drop(self.reads.send(Look::At(question))),
        }
    }

    pub(super) fn note(&self, peer: PubKey, served: Cursor) {
        drop(self.writes.send(Write::Note(peer, served)));
    }

    pub(super) fn drop_plan(&self, session: SessionId) {
        drop(self.reads.send(Look::DropPlan(session)));
    }

    pub(super) fn confirm_equal(&self) {
        drop(self.writes.send(Write::Equal));
    }

    /// No session is left.
    pub(super) fn rest(&self) {
        drop(self.writes.send(Write::Rest));
    }

    /// Ends the threads, after what they were told.
    pub(super) fn stop(self) -> Rest {
        drop((self.reads, self.writes));
        self.store.lock().is_over = true;
        self.store.changed.notify_all();
        Rest(self.threads)
    }
}

/// Threads that are about to end.
pub(super) struct Rest([JoinHandle<()>; 2]);

impl Rest {
    pub(super) fn is_finished(&self) -> bool {
        self.0.iter().all(JoinHandle::is_finished)
    }
}

/// What the threads of a store share.
pub(super) struct Store {
    node: Arc<Node>,
    genesis: GenesisHash,
    pub(super) options: Options,
    inbox: SyncSender<Message>,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    handle: Option<Arc<dyn StoreHandle>>,
    is_over: bool,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store, if it is not open. Returns the directions that it is open for.
    fn open(&self) -> Result<(Arc<dyn StoreHandle>, Mode), StoreError> {
        let mut open = self.lock();
        if let Some(handle) = &open.handle {
            return Ok((Arc::clone(handle), self.mode(&**handle)));
        }
        let store_id = StoreId::certifying(&self.genesis);
        let manager = self.node.manager();
        let path = manager.store_path(store_id);
        let missing = || ManagerError::NoSuchStore {
            store_id,
            dir: manager.stores_dir(),
        };
        if !path.exists() {
            return Err(missing().into());
        }
        let history = || manager.open_history(&path);
        let handle = match self.options.mode.takes {
            false => history()?,
            true => match manager.open(store_id, Access::ReadWrite) {
                Ok(handle) => handle,
                Err(error) if self.options.mode.gives && !error.is_in_use() => {
                    // Its history can be read without its code, and without the right to write.
                    let handle = history()?;
                    self.fail(error.into());
                    handle
                }
                Err(error) => return Err(error.into()),
            },
        };
        if handle.genesis().hash() != self.genesis {
            // The id is part of the hash. No peer names another one by accident.
            return Err(missing().into());
        }
        open.handle = Some(Arc::clone(&handle));
        drop(open);
        self.changed.notify_all();
        let mode = self.mode(&*handle);
        Ok((handle, mode))
    }

    fn mode(&self, handle: &dyn StoreHandle) -> Mode {
        Mode {
            gives: self.options.mode.gives,
            takes: self.options.mode.takes && handle.access() == Access::ReadWrite,
        }
    }

    /// Opens the store for a session.
    pub(super) fn load(&self, peer: &PubKey) -> Answer {
        let loaded = self.open().and_then(|(handle, mode)| {
            Ok(Loaded {
                view: view_of(handle.replica_view()?),
                mine: row(&*handle, peer, PeerRow::Mine)?,
                served: row(&*handle, peer, PeerRow::Served)?,
                mode,
            })
        });
        match loaded {
            Ok(loaded) => Answer::Loaded(Box::new(loaded)),
            Err(StoreError::Open(ManagerError::NoSuchStore { .. })) => {
                Answer::Declined(RefuseReason::NotHere)
            }
            Err(StoreError::Open(error)) if error.is_in_use() => {
                self.fail(error.into());
                Answer::Declined(RefuseReason::Busy { retry_ms: BUSY_MS })
            }
            Err(error) => {
                self.fail(error);
                Answer::Declined(RefuseReason::NotHere)
            }
        }
    }

    /// The key that the node writes with.
    pub(super) fn author(&self) -> Option<PubKey> {
        self.node.manager().author()
    }

    pub(super) fn handle(&self) -> Option<Arc<dyn StoreHandle>> {
        self.lock().handle.clone()
    }

    /// Lets go of the store.
    pub(super) fn rest(&self) {
        let handle = self.lock().handle.take();
        if let Some(handle) = handle.filter(|_| self.options.closes) {
            let closed = match handle.access() {
                // A handle for reading history is this one's own.
                Access::ReadOnly => handle.close().map_err(StoreError::from),
                Access::ReadWrite => {
                    let manager = self.node.manager();
                    manager.close(handle.store_id()).map_err(StoreError::from)
                }
            };
            if let Err(error) = closed {
                self.fail(error);
            }
        }
    }

    // A driver that has ended needs neither answers nor news.

    pub(super) fn answer(&self, ticket: Ticket, answer: Answer, changed: Option<OpsEnd>) {
        let changed = changed.map(|end| self.changed_to(end));
        let message = Message::Answered {
            ticket,
            answer,
            changed,
        };
        drop(self.inbox.send(message));
    }

    pub(super) fn fail(&self, error: StoreError) {
        let store = self.genesis;
        drop(self.inbox.send(Message::Failed { store, error }));
    }

    fn changed_to(&self, end: OpsEnd) -> Input {
        // Readers see durable ops only.
        let place = place_of(end);
        Input::Changed {
            store: self.genesis,
            visible: place,
            durable: place,
        }
    }

    /// Waits for ops, of whichever process writes them, until the desk is given up.
    fn watch(&self) {
        let mut seen = OpsEnd::default();
        let mut is_failing = false;
        loop {
            let open = self.lock();
            let wait = |open: &mut Open| !open.is_over && (open.handle.is_none() || is_failing);
            let open = self.changed.wait_timeout_while(open, WATCH, wait);
            let (open, _) = open.unwrap_or_else(PoisonError::into_inner);
            if open.is_over {
                return;
            }
            let Some(handle) = open.handle.clone() else {
                continue;
            };
            drop(open);
            // The threads that answer say what is wrong with the store.
            let end = handle.wait_for_change(seen, WATCH);
            is_failing = end.is_err();
            if let Ok(end) = end
                && end != seen
            {
                seen = end;
                if self
                    .inbox
                    .send(Message::Input(self.changed_to(end)))
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}

/// The reading thread.
struct Reader {
    store: Arc<Store>,
    plans: BTreeMap<SessionId, OpsAfter>,
    /// The module that was asked for last.
    module: Option<(Cid, Vec<u8>)>,
}

impl Reader {
    const fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            plans: BTreeMap::new(),
            module: None,
        }
    }

    fn run(mut self, looks: &Receiver<Look>) {
        for look in looks {
            match look {
                Look::DropPlan(session) => {
                    self.plans.remove(&session);
                }
                Look::At(question) => {
                    let ticket = question.ticket;
                    let answer = self.answer(*question);
                    self.store.answer(ticket, answer, None);
                }
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        let Question {
            ticket, request, ..
        } = question;
        let Some(handle) = self.store.handle() else {
            return Answer::Failed;
        };
        let answer = self.look(&*handle, ticket.session(), request);
        answer.unwrap_or_else(|error| {
            self.store.fail(error.into());
            Answer::Failed
        })
    }

    fn look(
        &mut self,
        handle: &dyn StoreHandle,
        session: SessionId,
        request: Request,
    ) -> Result<Answer, BackendError> {
        Ok(match request {
            Request::View => Answer::View(view_of(handle.replica_view()?)),
            Request::TipsSince { from } => {
                let (tips, end) = handle.tips_since(from)?;
                let tips = tips.into_iter().map(|tip| Tip {
                    op: tip.op,
                    after: tip.after,
                });
                Answer::Tips {
                    tips: tips.collect(),
                    place: place_of(end),
                }
            }
            Request::Weigh { tips } => {
                let (standing, known) = weigh(handle, &self.store, &tips)?;
                Answer::Weighed { standing, known }
            }
            Request::Plan { lacking, until } => {
                let plan = handle.ops_lacking(&lacking_of(lacking), end_of(until))?;
                let ops = u64::try_from(plan.len()).unwrap_or(u64::MAX);
                self.plans.insert(session, plan);
                Answer::Planned { ops, bytes: 0 }
            }
            Request::ReadPlan { max_bytes } => {
                let Some(plan) = self.plans.get_mut(&session) else {
                    return Ok(Answer::Failed);
                };
                let ops = plan.next_slice(max_bytes)?.unwrap_or_else(Vec::new);
                let last = plan.len() == 0;
                if last {
                    self.plans.remove(&session);
                }
                let next = 0;
                Answer::Slice { ops, next, last }
            }
            Request::Read {
                order,
                from,
                until,
                max_bytes,
            } => {
                let order = match order {
                    Order::Applied => OpOrder::Applied,
                    Order::Held => OpOrder::Held,
                };
                let slice = handle.op_slice(order, from..until, max_bytes)?;
                Answer::Slice {
                    ops: slice.ops,
                    next: slice.next,
                    last: false,
                }
            }
            Request::Blob {
                cid,
                offset,
                max_bytes,
            } => self.blob(handle, cid, offset, max_bytes),
            Request::Trace { at } => {
                let none = ProgressSink::none();
                let (ops, hashes) = handle.trace(&at, &RedbBackend::on_files(), &none)?;
                Answer::Traced { ops, hashes }
            }
            Request::Load { .. } | Request::Ingest { .. } => Answer::Failed,
        })
    }

    /// A part of the code that the store records; of no other code.
    fn blob(
        &mut self,
        handle: &dyn StoreHandle,
        cid: Cid,
        offset: u64,
        max_bytes: usize,
    ) -> Answer {
        let none = Answer::Blob {
            length: None,
            bytes: Vec::new(),
        };
        if handle.logic_version().as_str() != cid.to_string() {
            return none;
        }
        if self.module.as_ref().is_none_or(|(kept, _)| *kept != cid) {
            let modules = self.store.options.modules.as_ref();
            self.module = modules
                .and_then(|modules| modules(&cid))
                .map(|bytes| (cid, bytes));
        }
        let Some((_, module)) = &self.module else {
            return none;
        };
        let start = usize::try_from(offset).map_or(module.len(), |at| at.min(module.len()));
        let end = start.saturating_add(max_bytes).min(module.len());
        let (length, bytes) = (module.len(), module[start..end].to_vec());
        if end == module.len() {
            self.module = None;
        }
        Answer::Blob {
            length: u64::try_from(length).ok(),
            bytes,
        }
    }
}

pub(super) const fn place_of(end: OpsEnd) -> Place {
    Place {
        applied: end.applied,
        held: end.held,
    }
}

const fn end_of(place: Place) -> OpsEnd {
    OpsEnd {
        applied: place.applied,
        held: place.held,
    }
}

fn view_of(view: ReplicaView) -> View {
    View {
        place: place_of(view.end),
        held: view.held,
        tips: view.tips,
        state: view.state,
    }
}

fn lacking_of(lacking: lattice_sync::host::Lacking) -> lattice_backend::engine::read::Lacking {
    use lattice_backend::engine::read;
    use lattice_sync::host::{Has, Lacking};
    match lacking {
        Lacking::All => read::Lacking::All,
        Lacking::Of(authors) => read::Lacking::Of(
            authors
                .into_iter()
                .map(|lack| read::Lack {
                    author: lack.author,
                    has: match lack.has {
                        Has::Ops(ops) => read::Has::Ops(ops),
                        Has::Before(index) => read::Has::Before(index),
                    },
                })
                .collect(),
        ),
    }
}

/// A row about a peer. One that does not decode is as good as none: it costs a comparison.
fn row(
    handle: &dyn StoreHandle,
    peer: &PubKey,
    row: PeerRow,
) -> Result<Option<Cursor>, BackendError> {
    let bytes = handle.peer_row(peer, row)?;
    Ok(bytes.and_then(|bytes| {
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (upto, token) = bytes.split_first_chunk::<8>()?;
        Some(Cursor {
            upto: u64::from_le_bytes(*upto),
            token: Token(token.try_into().ok()?),
        })
    }))
}

/// The row of a cursor.
pub(super) fn row_of(cursor: &Cursor) -> Vec<u8> {
    [&cursor.upto.to_le_bytes()[..], &cursor.token.0].concat()
}
