//! Replication between nodes over streams within the process.

#[cfg(feature = "wasm")]
mod code;
mod figures;
mod live;
mod once;
mod refused;
mod ring;
mod streams;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lattice_meta::{Genesis, GenesisHash};
use lattice_node::prelude::*;
use lattice_node::sync::{ConnId, Event, Happened, Mode, Options, Side, Stream, Syncer};
use lattice_registry::TypedStore;
use lattice_sync::Counts;
use tempfile::TempDir;

/// How long a test waits for something that is about to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that replicates.
struct Peer {
    dir: TempDir,
    node: Arc<Node>,
    syncer: Syncer,
    /// What has happened, oldest first.
    happened: Vec<Happened>,
}

fn any() -> Options {
    Options {
        authors: Authors::Any,
        ..Options::default()
    }
}

impl Peer {
    fn new(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let node = Arc::new(Node::open(dir.path()).unwrap());
        let syncer = Syncer::start(Arc::clone(&node), options).unwrap();
        Self {
            dir,
            node,
            syncer,
            happened: Vec::new(),
        }
    }

    /// A node with a store of so many keys.
    fn with_keys(options: Options, keys: u32) -> (Self, KvStore) {
        let peer = Self::new(options);
        let store: KvStore = peer.node.open_or_create("kv").unwrap();
        for key in 0..keys {
            store.put(format!("key {key}"), "value").unwrap();
        }
        (peer, store)
    }

    /// A node with an empty replica.
    fn replica(options: Options, genesis: &Genesis) -> (Self, KvStore) {
        let peer = Self::new(options);
        peer.node.manager().create_replica(genesis).unwrap();
        let store = peer.open(genesis);
        (peer, store)
    }

    fn open(&self, genesis: &Genesis) -> KvStore {
        let id = genesis.store_id();
        self.node.open_as(id, Access::ReadWrite).unwrap()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until something has happened, and returns what it is.
    fn until<T>(&mut self, is_it: impl Fn(&Happened) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let next = self.syncer.next_event(Duration::from_millis(100));
            let found = next.as_ref().and_then(&is_it);
            self.happened.extend(next);
            if let Some(found) = found {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{:#?}", self.happened);
        }
    }

    fn until_equal(&mut self) -> u64 {
        self.until(|happened| match happened {
            Happened::Event(Event::Equal { ops, .. }) => Some(*ops),
            _ => None,
        })
    }

    /// Waits until the counts of the session are what they should be: a store shows ops before the
    /// session counts them.
    fn until_counts(&self, is_it: impl Fn(&Counts) -> bool) -> Counts {
        let began = Instant::now();
        loop {
            let counts = self.syncer.status()[0].counts;
            if is_it(&counts) {
                return counts;
            }
            assert!(began.elapsed() < PATIENCE, "{counts:?}");
            std::thread::yield_now();
        }
    }
}

/// Connects two nodes.
fn connect(one: &Peer, two: &Peer) -> ConnId {
    let (near, far) = Stream::pair();
    two.syncer.connect(far, Side::Accepted);
    one.syncer.connect(near, Side::Dialled)
}

/// Connects two nodes, and begins a session in both directions.
fn meet(one: &Peer, two: &Peer, store: GenesisHash) -> ConnId {
    let conn = connect(one, two);
    one.syncer.sync(conn, store, Mode::BOTH);
    conn
}

fn genesis(store: &KvStore) -> Genesis {
    store.engine().genesis().clone()
}

fn hash(store: &KvStore) -> StateHash {
    store.engine().state_hash().unwrap()
}
