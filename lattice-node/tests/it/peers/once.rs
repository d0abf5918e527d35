//! A first session, and what later ones cost.

use lattice_node::sync::{Mode, Options};
use lattice_node::{Access, KvStore};
use lattice_registry::TypedStore;

use super::*;

#[test]
fn two_replicas_become_equal_and_each_op_is_sent_once() {
    let (mut one, near) = Peer::with_keys(any(), 300);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    for key in 0..200 {
        far.put(format!("key {key}"), "other").unwrap();
    }
    meet(&one, &two, genesis.hash());
    assert_eq!(one.until_equal(), 500);
    assert_eq!(two.until_equal(), 500);
    assert_eq!(hash(&near), hash(&far));
    let counts = |peer: &Peer| peer.syncer.status()[0].counts;
    let (of_one, of_two) = (counts(&one), counts(&two));
    assert_eq!((of_one.ops_sent, of_one.applied), (300, 200));
    assert_eq!((of_two.ops_sent, of_two.applied), (200, 300));
    assert_eq!((of_one.known, of_two.known), (0, 0));
    near.engine()
        .verify(
            lattice_node::Depth::Full,
            &lattice_backend::redb::RedbBackend::on_files(),
            &lattice_node::ProgressSink::none(),
        )
        .unwrap();
}

#[test]
fn a_known_peer_is_told_what_is_new_and_nothing_else() {
    let (mut one, near) = Peer::with_keys(any(), 50);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    let conn = meet(&one, &two, genesis.hash());
    one.until_equal();
    two.until_equal();
    // The rows about the peer are written when the writing threads have nothing else to do.
    one.syncer.disconnect(conn);
    two.until(lost);
    near.put("late", "value").unwrap();
    meet(&one, &two, genesis.hash());
    let used = two.until(|happened| match happened {
        Happened::Event(Event::Over { .. }) => Some(false),
        Happened::Event(Event::Equal { .. }) => Some(true),
        _ => None,
    });
    assert!(used);
    let counts = two.syncer.status()[0].counts;
    assert_eq!((counts.ops_received, counts.known), (1, 0), "{counts:?}");
    assert_eq!(far.get("late").unwrap(), Some(b"value".to_vec()));
}

#[test]
fn what_a_cut_session_has_brought_is_not_sent_again() {
    let (one, near) = Peer::with_keys(any(), 3000);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    let conn = meet(&one, &two, genesis.hash());
    far.engine().wait_for_ops(0, PATIENCE).unwrap();
    one.syncer.disconnect(conn);
    two.until(lost);
    let (mut one, mut two) = (one, two);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    two.until_equal();
    assert_eq!(hash(&near), hash(&far));
    let counts = two.syncer.status()[0].counts;
    // What had come before the cut is ingested before the next session begins.
    assert!(counts.ops_received < 3000, "{counts:?}");
    assert_eq!((counts.ops_sent, counts.known), (0, 0), "{counts:?}");
}

#[test]
fn a_side_that_only_gives_takes_nothing() {
    let gives = Options {
        mode: Mode {
            gives: true,
            takes: false,
        },
        ..any()
    };
    let (one, near) = Peer::with_keys(gives, 20);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    far.put("mine", "value").unwrap();
    meet(&one, &two, genesis.hash());
    two.until(|happened| match happened {
        Happened::Event(Event::Caught { is_complete, .. }) => Some(*is_complete),
        _ => None,
    });
    assert_eq!(far.engine().op_count().unwrap(), 21);
    assert_eq!(near.engine().op_count().unwrap(), 20);
}

#[test]
fn a_peer_with_the_same_ops_confirms_a_copy() {
    let (mut one, near) = Peer::with_keys(any(), 10);
    let genesis = genesis(&near);
    let (mut two, _far) = Peer::replica(any(), &genesis);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    two.until_equal();
    // The store comes back from a backup, to a directory with the same identity.
    let copy = one.path().join("copy.db");
    one.node
        .manager()
        .backup(one.node.manager().store_path(genesis.store_id()), &copy)
        .unwrap();
    let again = tempfile::TempDir::new().unwrap();
    let key = lattice_node::IDENTITY_FILE;
    std::fs::copy(one.path().join(key), again.path().join(key)).unwrap();
    let node = Node::open(again.path()).unwrap();
    node.manager()
        .restore(&copy, lattice_node::IfThere::Refuse)
        .unwrap();
    let id = genesis.store_id();
    let restored: KvStore = node.open_as(id, Access::ReadWrite).unwrap();
    assert!(restored.engine().is_unconfirmed_copy().unwrap());
    assert!(restored.put("refused", "value").is_err());
    let node = Arc::new(node);
    let syncer = Syncer::start(Arc::clone(&node), any()).unwrap();
    let mut restored_peer = Peer {
        dir: again,
        node,
        syncer,
        happened: Vec::new(),
    };
    meet(&restored_peer, &two, genesis.hash());
    restored_peer.until_equal();
    let began = Instant::now();
    while restored.engine().is_unconfirmed_copy().unwrap() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    restored.put("taken", "value").unwrap();
}

fn lost(happened: &Happened) -> Option<()> {
    matches!(happened, Happened::Event(Event::Lost { .. })).then_some(())
}
