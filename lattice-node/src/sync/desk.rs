//! The threads of a store with sessions: they answer the state machine's questions about it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, SyncSender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use lattice_backend::engine::read::PeerRow;
use lattice_backend::op::OpsEnd;
use lattice_meta::{GenesisHash, PubKey, StoreId};
use lattice_sync::host::{Answer, Input, Loaded, Mode, Request, SessionId, Ticket};
use lattice_sync::wire::{Cursor, RefuseReason};

use crate::sync::cursors::row;
use crate::sync::driver::Message;
use crate::sync::ingest::Writer;
use crate::sync::look::Reader;
use crate::sync::{Options, StoreError};
use crate::{Access, ManagerError, Node, StoreHandle};

/// How long a peer waits that asks for a store that another process uses.
const BUSY_MS: u64 = 1000;
/// How long the thread that waits for ops waits at a time: a store that it waits for stays open so
/// long after the last session.
const WATCH: Duration = Duration::from_millis(250);

/// A question of a session.
pub(super) struct Question {
    pub(super) ticket: Ticket,
    pub(super) peer: PubKey,
    pub(super) request: Request,
}

/// What the reading thread gets.
pub(super) enum Look {
    At(Box<Question>),
    DropPlan(SessionId),
}

/// What the writing thread gets.
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

    // The threads end with the desk: a question whose answer panics has failed.

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
        let (handle, failed) = match self.options.mode.takes {
            false => (history()?, None),
            true => match manager.open(store_id, Access::ReadWrite) {
                Ok(handle) => (handle, None),
                // Its history can be read without its code, and without the right to write.
                Err(error) if self.options.mode.gives && !error.is_in_use() => {
                    (history()?, Some(error))
                }
                Err(error) => return Err(error.into()),
            },
        };
        if handle.genesis().hash() != self.genesis {
            // The id is part of the hash. No peer names another one by accident.
            return Err(missing().into());
        }
        open.handle = Some(Arc::clone(&handle));
        // The driver takes this lock, and must not wait for a thread that waits for its inbox.
        drop(open);
        self.changed.notify_all();
        if let Some(error) = failed {
            self.fail(error.into());
        }
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
                view: handle.replica_view()?,
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
        Input::Changed {
            store: self.genesis,
            visible: end,
            durable: end,
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

/// The answer; a panic, which has been printed, is a failure of the store.
pub(super) fn unless_it_panics(answer: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or(Answer::Failed)
}
