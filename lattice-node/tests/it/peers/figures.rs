//! What sessions cost: bytes and counts that are checked, and times that are printed.
//!
//! ```text
//! LATTICE_SYNC_OPS=1000000 cargo test --release -p lattice-node --test it peers::figures -- --nocapture
//! ```

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_backend::engine::ingest::Authors;
use lattice_backend::op::BranchTips;
use lattice_kvstore::Command;
use lattice_registry::TypedStore;

use super::*;

/// Ops of the store, unless the environment says another number.
const OPS: u64 = 3000;
/// Puts whose way to the other replica is measured.
const PUTS: usize = 200;

fn ops() -> u64 {
    let ops = std::env::var("LATTICE_SYNC_OPS").ok();
    ops.map_or(OPS, |ops| ops.parse().unwrap())
}

/// A node with a store of one author and so many ops.
fn filled(ops: u64) -> (Peer, KvStore) {
    let peer = Peer::new(any());
    let store: KvStore = peer.node.open_or_create("kv").unwrap();
    let commands = (0..ops).map(|op| {
        let mut command = Command::new();
        command.put(format!("key {op:013}"), [b'v'; 100]);
        Ok::<_, std::convert::Infallible>(command)
    });
    store.engine().append_all(commands).unwrap();
    (peer, store)
}

/// Counts what passes.
struct Counted<T>(T, Arc<AtomicU64>);

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1
            .fetch_add(u64::try_from(read).unwrap(), Ordering::Relaxed);
        Ok(read)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1
            .fetch_add(u64::try_from(written).unwrap(), Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Connects two nodes, begins a session, and counts the bytes of both directions.
fn counted(one: &Peer, two: &Peer, store: GenesisHash) -> (ConnId, Arc<AtomicU64>) {
    let (near, far) = Stream::pair();
    let bytes = Arc::new(AtomicU64::new(0));
    let near = Stream {
        read: Box::new(Counted(near.read, Arc::clone(&bytes))),
        write: Box::new(Counted(near.write, Arc::clone(&bytes))),
        end: near.end,
    };
    two.syncer.connect(far, Side::Accepted);
    let conn = one.syncer.connect(near, Side::Dialled);
    one.syncer.sync(conn, store, Mode::BOTH);
    (conn, bytes)
}

fn file_bytes(peer: &Peer, genesis: &Genesis) -> u64 {
    let path = peer.node.manager().store_path(genesis.store_id());
    std::fs::metadata(path).unwrap().len()
}

fn until_lost(peer: &mut Peer) {
    peer.until(|happened| matches!(happened, Happened::Event(Event::Lost { .. })).then_some(()));
}

#[test]
fn a_first_session_and_an_equal_one() {
    let ops = ops();
    let (mut one, near) = filled(ops);
    let genesis = genesis(&near);
    // The same ops, taken in as from a bundle.
    let (_other, replica) = Peer::replica(any(), &genesis);
    let began = Instant::now();
    let all = near.engine().ops_after(&BranchTips::default()).unwrap();
    replica.engine().ingest(all, &Authors::Any).unwrap();
    let by_bundle = began.elapsed();
    assert_eq!(hash(&near), hash(&replica));

    let (mut two, far) = Peer::replica(any(), &genesis);
    let before = file_bytes(&one, &genesis);
    let began = Instant::now();
    let (conn, bytes) = counted(&one, &two, genesis.hash());
    assert_eq!(two.until_equal(), ops);
    let by_session = began.elapsed();
    one.until_equal();
    assert_eq!(hash(&near), hash(&far));
    let grown = file_bytes(&one, &genesis).saturating_sub(before);
    println!(
        "{ops} ops: ingest {by_bundle:.2?}, session {by_session:.2?} ({:.2} of it), {} bytes; the \
         sender's file grew by {grown} bytes",
        by_bundle.as_secs_f64() / by_session.as_secs_f64(),
        bytes.load(Ordering::Relaxed),
    );
    // A row about the peer.
    assert!(grown <= 1 << 20, "{grown}");

    one.syncer.disconnect(conn);
    until_lost(&mut two);
    until_lost(&mut one);
    let began = Instant::now();
    let (_, bytes) = counted(&one, &two, genesis.hash());
    one.until_equal();
    let taken = began.elapsed();
    let bytes = bytes.load(Ordering::Relaxed);
    println!("equal stores: {taken:.2?}, {bytes} bytes");
    assert!(bytes < 500, "{bytes}");
}

#[test]
fn a_put_is_on_its_way_at_once() {
    let (mut one, near) = filled(10);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    two.until_equal();
    let (mut puts, mut ways) = (Vec::new(), Vec::new());
    for put in 0..PUTS {
        let began = Instant::now();
        near.put("key", put.to_string()).unwrap();
        puts.push(began.elapsed());
        let seen = 10 + u64::try_from(put).unwrap();
        assert_eq!(far.engine().wait_for_ops(seen, PATIENCE).unwrap(), seen + 1);
        ways.push(began.elapsed());
    }
    puts.sort_unstable();
    ways.sort_unstable();
    println!(
        "a put: median {:.2?}; until it is visible at the peer: median {:.2?}, p99 {:.2?}",
        puts[PUTS / 2],
        ways[PUTS / 2],
        ways[PUTS * 99 / 100],
    );
}
