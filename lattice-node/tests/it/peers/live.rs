//! Sessions that stay.

use lattice_registry::TypedStore;

use super::*;
use crate::printed;

#[test]
fn new_ops_are_pushed_in_both_directions() {
    let (mut one, near) = Peer::with_keys(any(), 1);
    let genesis = genesis(&near);
    let (mut two, far) = Peer::replica(any(), &genesis);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    two.until_equal();
    for round in 1..50_u64 {
        let (from, to) = match round % 2 {
            0 => (&near, &far),
            _ => (&far, &near),
        };
        from.put("key", round.to_string()).unwrap();
        let seen = to.engine().wait_for_ops(round, PATIENCE).unwrap();
        assert_eq!(seen, round + 1);
        assert_eq!(to.get("key").unwrap(), Some(round.to_string().into_bytes()));
    }
    assert_eq!(hash(&near), hash(&far));
    // Only what was new was sent, and nothing came back.
    let counts = one.until_counts(|counts| (counts.ops_sent, counts.applied) == (25, 25));
    assert_eq!((counts.ops_received, counts.known), (25, 0));
}

#[test]
fn ops_of_another_process_are_pushed() {
    let (mut one, near) = Peer::with_keys(any(), 1);
    let genesis = genesis(&near);
    let (two, far) = Peer::replica(any(), &genesis);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    printed(one.path(), &["put", "kv", "from", "a command"]);
    far.engine().wait_for_ops(1, PATIENCE).unwrap();
    assert_eq!(far.get("from").unwrap(), Some(b"a command".to_vec()));
    // And commands are not held up by a session.
    printed(
        two.path(),
        &["put", &genesis.store_id().to_string(), "back", "again"],
    );
    near.engine().wait_for_ops(2, PATIENCE).unwrap();
}

#[test]
fn a_chain_of_three_passes_ops_on_and_none_twice() {
    let (mut one, near) = Peer::with_keys(any(), 5);
    let genesis = genesis(&near);
    let (mut two, _) = Peer::replica(any(), &genesis);
    let (mut three, far) = Peer::replica(any(), &genesis);
    meet(&one, &two, genesis.hash());
    one.until_equal();
    meet(&two, &three, genesis.hash());
    three.until_equal();
    two.until_equal();
    for key in 0..20 {
        near.put(format!("more {key}"), "value").unwrap();
    }
    let mut seen = 0;
    while seen < 25 {
        seen = far.engine().wait_for_ops(seen, PATIENCE).unwrap();
    }
    assert_eq!(hash(&near), hash(&far));
    let counts = three.until_counts(|counts| counts.applied == 25);
    assert_eq!(counts.known, 0);
}
