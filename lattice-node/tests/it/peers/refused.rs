//! What a node does not take or give.

use std::collections::BTreeSet;

use lattice_node::sync::Offers;
use lattice_registry::TypedStore;
use lattice_sync::Over;
use lattice_sync::wire::RefuseReason;

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
