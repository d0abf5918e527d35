//! What a node does not take or give.

use std::collections::BTreeSet;

use lattice_backend::machine::StateMachine;
use lattice_meta::Cid;
use lattice_node::sync::Offers;
use lattice_registry::TypedStore;
use lattice_sync::wire::{RefuseReason, StoreRecord};
use lattice_sync::{BlobFault, FindFault, Over};

use super::*;

#[test]
fn ops_of_strangers_are_refused_and_the_rest_becomes_equal() {
    let (mut one, near) = Peer::with_keys(Options::default(), 10);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    far.put("a stranger's", "value").unwrap();
    meet(&one, &two, genesis.hash());
    let stranger = two.node.manager().author().unwrap();
    let refused = one.until(|happened| match happened {
        Happened::Event(Event::AuthorsRefused { authors, .. }) => Some(authors.clone()),
        _ => None,
    });
    assert_eq!(refused, [stranger]);
    two.until(|happened| match happened {
        Happened::Event(Event::Caught { is_complete, .. }) => Some(*is_complete),
        _ => None,
    });
    assert_eq!(near.engine().op_count().unwrap(), 10);
    assert_eq!(far.engine().op_count().unwrap(), 11);
}

fn refusal(peer: &mut Peer) -> Over {
    peer.until(|happened| match happened {
        Happened::Event(Event::Over { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn a_store_that_is_not_offered_is_as_unknown_as_one_that_is_not_here() {
    let hidden = Options {
        offers: Offers::These(BTreeSet::new()),
        ..any()
    };
    let (one, near) = Peer::with_keys(hidden, 10);
    let genesis = genesis(&near);
    let (mut two, _) = Peer::replica(any(), &genesis);
    let (mut three, other) = Peer::with_keys(any(), 1);
    meet(&two, &one, genesis.hash());
    assert_eq!(refusal(&mut two), Over::Refused(RefuseReason::NotHere));
    meet(&three, &one, super::genesis(&other).hash());
    assert_eq!(refusal(&mut three), Over::Refused(RefuseReason::NotHere));
}

#[test]
fn a_store_that_is_not_here_cannot_be_proposed() {
    let (one, near) = Peer::with_keys(any(), 1);
    let mut two = Peer::new(any());
    meet(&two, &one, genesis(&near).hash());
    assert_eq!(refusal(&mut two), Over::Declined(RefuseReason::NotHere));
}

#[test]
fn a_peer_gives_the_record_of_a_store_that_it_offers() {
    let (one, near) = Peer::with_keys(any(), 1);
    let genesis = genesis(&near);
    let mut two = Peer::new(any());
    let conn = connect(&two, &one);
    let id = genesis.store_id().to_string();
    let mut record = |name: &str| {
        two.syncer.find(conn, name);
        two.until(|happened| match happened {
            Happened::Event(Event::Found { record, .. }) => Some(record.clone()),
            _ => None,
        })
    };
    for name in ["kv", &id, &id[..8], &id[..13]] {
        let record = StoreRecord::decode(&record(name).unwrap()).unwrap();
        assert_eq!(record.genesis, genesis.encode());
        let logic = near.engine().machine().logic();
        assert_eq!(record.logic, logic.version().as_str());
    }
    for name in ["", "other", &id[..7], "ffffffffffffffff", "../kv"] {
        assert_eq!(record(name), Err(FindFault::NotThere), "{name}");
    }
}

#[test]
fn a_session_about_a_store_that_is_not_here_brings_its_code() {
    let code = b"\0asm and the rest".repeat(50_000);
    let cid = Cid::of(&code);
    let given = code.clone();
    let options = Options {
        modules: Some(Arc::new(move |asked| {
            (*asked == cid).then(|| given.clone())
        })),
        ..any()
    };
    let (one, near) = Peer::with_keys(options, 3);
    let genesis = genesis(&near);
    let mut two = Peer::new(any());
    let conn = connect(&two, &one);
    two.syncer.look(conn, genesis.hash());
    let session = two.until(|happened| match happened {
        Happened::Event(Event::Opened { session, .. }) => Some(*session),
        _ => None,
    });
    // A store's code is what it records, and this one records none.
    two.syncer.fetch(session, cid, 1 << 20);
    let why = two.until(|happened| match happened {
        Happened::Event(Event::BlobFailed { why, .. }) => Some(*why),
        _ => None,
    });
    assert_eq!(why, BlobFault::NotThere);
    assert!(two.node.manager().list().unwrap().is_empty());
}
