//! Replication of a node's stores with peers over any stream of bytes.
//!
//! [`Syncer`] runs the state machine of `lattice-sync`: it owns the streams, the clock and the
//! threads, and answers from the stores of a [`Node`]. One thread runs the state machine; each
//! stream has a thread that reads it and one that writes it; each store with a session has one that
//! reads it, one that writes it, and one that waits for new ops, of whichever process writes them.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use lattice_node::sync::{Happened, Mode, Options, Side, Stream, Syncer};
//! use lattice_node::{KvStore, Node};
//! # let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
//!
//! let (one, two) = (Node::open(one.path())?, Node::open(two.path())?);
//! let store = one.open_or_create::<KvStore>("settings")?;
//! store.put("colour", "green")?;
//! let genesis = store.engine().genesis().clone();
//! two.manager().create_replica(&genesis)?;
//!
//! let any = || Options { authors: lattice_node::Authors::Any, ..Options::default() };
//! let (one, two) = (Arc::new(one), Arc::new(two));
//! let one = Syncer::start(one, any())?;
//! let there = Syncer::start(Arc::clone(&two), any())?;
//! let (near, far) = Stream::pair();
//! there.connect(far, Side::Accepted);
//! let conn = one.connect(near, Side::Dialled);
//! one.sync(conn, genesis.hash(), Mode::BOTH);
//! while let Some(happened) = one.next_event(Duration::from_secs(10)) {
//!     if let Happened::Event(lattice_sync::Event::Equal { ops, .. }) = happened {
//!         assert_eq!(ops, 1);
//!         break;
//!     }
//! }
//! one.close();
//! there.close();
//! let copy = two.open_as::<KvStore>(genesis.store_id(), lattice_node::Access::ReadOnly)?;
//! assert_eq!(copy.get("colour")?, Some(b"green".to_vec()));
//! # use lattice_registry::TypedStore;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursors;
mod desk;
mod driver;
mod find;
mod ingest;
mod look;
mod stream;
mod weigh;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lattice_backend::engine::ingest::Authors;
use lattice_meta::{Cid, GenesisHash, PubKey, StoreId};
use lattice_sync::host::Input;
use lattice_sync::{Config, Core, SessionStatus};

pub use cursors::{KnownPeer, known_peers};
pub use lattice_sync::Event;
pub use lattice_sync::host::{ConnId, Mode, SessionId, Side};
pub use stream::Stream;

use self::driver::{Driver, Message};
use crate::{ManagerError, Node};

/// The inputs that wait for the state machine. Those who read streams and stores wait if there are
/// more.
const INBOX: usize = 64;

/// Gives the bytes of a module, if this node has it.
pub type Modules = Arc<dyn Fn(&Cid) -> Option<Vec<u8>> + Send + Sync>;

/// What peers may do.
#[derive(Clone)]
pub struct Options {
    /// Whose ops are taken.
    pub authors: Authors,
    /// The directions that are allowed: whether ops are sent, and whether they are taken.
    pub mode: Mode,
    /// The stores about which a peer may open a session. [`Syncer::sync`] ignores it.
    pub offers: Offers,
    /// Where the modules of store types come from, for peers whose store needs one.
    pub modules: Option<Modules>,
    /// Whether a store is closed when its last session ends, so that other processes can have it
    /// for themselves. All handles of the node to this store are closed with it.
    pub closes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authors: Authors::Known,
            mode: Mode::BOTH,
            offers: Offers::All,
            modules: None,
            closes: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("authors", &self.authors)
            .field("mode", &self.mode)
            .field("offers", &self.offers)
            .field("closes", &self.closes)
            .finish_non_exhaustive()
    }
}

/// Stores that a peer may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Offers {
    /// All stores of the data directory.
    #[default]
    All,
    /// These.
    These(BTreeSet<StoreId>),
    /// None.
    Nothing,
}

impl Offers {
    fn contains(&self, store_id: &StoreId) -> bool {
        match self {
            Self::All => true,
            Self::These(stores) => stores.contains(store_id),
            Self::Nothing => false,
        }
    }
}

/// Something that a user may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Happened {
    /// The state machine says so.
    Event(Event),
    /// A store could not be opened, read or written. Its sessions end, or take nothing.
    Store {
        /// The store.
        store: GenesisHash,
        /// What went wrong.
        error: StoreError,
    },
    /// A stream could not be read or written. [`Event::Lost`] follows.
    Stream {
        /// The connection.
        conn: ConnId,
        /// What went wrong.
        error: io::Error,
    },
}

/// Why a store does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] ManagerError),
    /// The system gives no thread for it.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The names of stores cannot be read.
    #[error(transparent)]
    Alias(#[from] crate::AliasError),
    /// The directory of stores cannot be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The directory.
        path: std::path::PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Backend(#[from] lattice_backend::backend::BackendError),
}

/// Why replication does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Replicates the stores of a node. This process and others can use the stores at the same time.
pub struct Syncer {
    inbox: SyncSender<Message>,
    events: Mutex<Receiver<Happened>>,
    next_conn: std::sync::atomic::AtomicU64,
    driver: Option<JoinHandle<()>>,
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").finish_non_exhaustive()
    }
}

impl Syncer {
    /// Starts without connections. A node without an identity gets a key for this run, by which
    /// peers tell connections apart.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn start(node: Arc<Node>, options: Options) -> Result<Self, SyncError> {
        let mut random = [0; 64];
        getrandom::fill(&mut random).map_err(SyncError::Random)?;
        let (key, seed) = random.split_at(32);
        let key: [u8; 32] = key.try_into().expect("the halves have 32 bytes");
        let seed: [u8; 32] = seed.try_into().expect("the halves have 32 bytes");
        let own = node.manager().author();
        let own = own.unwrap_or_else(|| PubKey::from_bytes(key));
        let core = Core::new(Config::new(own), seed);
        let (inbox, inputs) = mpsc::sync_channel(INBOX);
        let (report, events) = mpsc::channel();
        let driver = Driver::new(node, options, core, inbox.clone(), report);
        let driver = std::thread::Builder::new()
            .name("lattice-sync".into())
            .spawn(move || driver.run(&inputs))
            .map_err(SyncError::Thread)?;
        Ok(Self {
            inbox,
            events: Mutex::new(events),
            next_conn: std::sync::atomic::AtomicU64::new(1),
            driver: Some(driver),
        })
    }

    /// Adds a connection.
    pub fn connect(&self, stream: Stream, side: Side) -> ConnId {
        let next = &self.next_conn;
        let conn = ConnId(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.tell(Message::Connect { conn, stream, side });
        conn
    }

    /// Ends a connection.
    pub fn disconnect(&self, conn: ConnId) {
        self.tell(Message::Input(Input::Close { conn }));
    }

    /// Asks the peer of a connection for the record of a store that is not here, by its id, the
    /// first digits of one (at least eight), or a name that it has at the peer. [`Event::Found`]
    /// brings it; `lattice_sync::wire::StoreRecord` decodes it.
    pub fn find(&self, conn: ConnId, name: &str) {
        let name = name.to_owned();
        self.tell(Message::Input(Input::Find { conn, name }));
    }

    /// Proposes a session about a store of the node. [`Event::Opened`] and [`Event::Over`] say what
    /// became of it.
    pub fn sync(&self, conn: ConnId, store: GenesisHash, mode: Mode) {
        self.tell(Message::Input(Input::Sync { conn, store, mode }));
    }

    /// Proposes a session about a store of the peer that exchanges no ops, and for which the store
    /// need not be here: for [`fetch`](Self::fetch). Its other events mean nothing.
    pub fn look(&self, conn: ConnId, store: GenesisHash) {
        self.tell(Message::Look { conn, store });
    }

    /// Ends a session.
    pub fn end(&self, session: SessionId) {
        self.tell(Message::Input(Input::End { session }));
    }

    /// Asks the peer of a session for the code of its store; [`Event::BlobPart`] and
    /// [`Event::BlobWhole`] bring it.
    pub fn fetch(&self, session: SessionId, cid: Cid, max_bytes: u64) {
        self.tell(Message::Input(Input::Fetch {
            session,
            cid,
            max_bytes,
        }));
    }

    /// Looks for the first op whose effect differs, after [`Event::Diverged`].
    pub fn probe(&self, session: SessionId) {
        self.tell(Message::Input(Input::Probe { session }));
    }

    /// The next event; `None` if there is no event within this time.
    pub fn next_event(&self, timeout: Duration) -> Option<Happened> {
        let events = self.events.lock();
        let events = events.unwrap_or_else(PoisonError::into_inner);
        events.recv_timeout(timeout).ok()
    }

    /// What the sessions are doing.
    pub fn status(&self) -> Vec<SessionStatus> {
        let (answer, status) = mpsc::channel();
        self.tell(Message::Status(answer));
        // A driver that has ended has no sessions.
        status.recv().unwrap_or_else(|_| Vec::new())
    }

    /// Says farewell to all peers, ends the connections, and waits until the stores are at rest:
    /// what has arrived is ingested. Waits at most two seconds for peers that do not read.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.tell(Message::Stop);
            // A panic of the driver has been printed; there is nothing else to do about it.
            drop(driver.join());
        }
    }

    /// A driver that has ended takes no messages, and has no connections.
    fn tell(&self, message: Message) {
        drop(self.inbox.send(message));
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop();
    }
}
