//! Hosts that ask or answer what they should not.

use lattice_sync::host::{Input, Mode, Request, Side};
use lattice_sync::wire::EndReason;
use lattice_sync::{Event, Over};

use crate::desk::{CONN, Desk, meet, talk};
use crate::sim::disk::Disk;
use crate::sim::world::{EPOCH_MS, key, store};

#[test]
fn a_read_without_progress_ends_the_session_and_loses_no_op() {
    let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
    meet(&mut one, &mut two);
    one.is_stuck = true;
    one.disk.write(EPOCH_MS);
    one.disk.sync();
    one.input(one.changed());
    talk(&mut one, &mut two);
    let why = |desk: &Desk| match desk.events.last() {
        Some(Event::Over { why, .. }) => Some(*why),
        _ => None,
    };
    assert_eq!(why(&one), Some(Over::Here(EndReason::Failed)));
    assert_eq!(why(&two), Some(Over::There(EndReason::Failed)));
    // The next session has it.
    one.is_stuck = false;
    let (conn, store, mode) = (CONN, store(), Mode::BOTH);
    one.input(Input::Sync { conn, store, mode });
    talk(&mut one, &mut two);
    assert_eq!(two.disk.all(), one.disk.all());
}

#[test]
fn a_search_before_the_session_is_open_does_nothing() {
    let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
    one.effects = vec![[1; 16]];
    meet(&mut one, &mut two);
    let (conn, store, mode) = (CONN, store(), Mode::BOTH);
    one.input(Input::End {
        session: one.session(),
    });
    one.input(Input::Sync { conn, store, mode });
    one.input(Input::Probe {
        session: one.session(),
    });
    assert!(
        !one.asked
            .iter()
            .any(|asked| matches!(asked, Request::Trace { .. }))
    );
    talk(&mut one, &mut two);
    assert!(!two.is_closed && two.core.status().len() == 1);
}

#[test]
fn a_replay_with_too_few_hashes_ends_the_session() {
    let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
    meet(&mut one, &mut two);
    one.is_stuck = true;
    let session = one.session();
    one.input(Input::Probe { session });
    let why = Over::Here(EndReason::Failed);
    assert!(matches!(one.events.last(), Some(Event::Over { why: found, .. }) if *found == why));
}

#[test]
fn a_search_in_a_history_without_ops_ends() {
    let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
    meet(&mut one, &mut two);
    let session = one.session();
    one.input(Input::Probe { session });
    assert_eq!(one.events.last(), Some(&Event::ReplaysAgree { session }));
}

#[test]
fn a_side_that_only_sends_knows_when_the_peer_has_all_that_it_takes() {
    for refuses in [false, true] {
        let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
        two.disk.refused.extend(refuses.then(|| key(0)));
        one.connect(Side::Dialled);
        two.connect(Side::Accepted);
        for (desk, ops) in [(&mut one, 3), (&mut two, 2)] {
            for _ in 0..ops {
                desk.disk.write(EPOCH_MS);
            }
            desk.disk.sync();
        }
        talk(&mut one, &mut two);
        let (conn, store) = (CONN, store());
        let mode = Mode {
            gives: true,
            takes: false,
        };
        one.input(Input::Sync { conn, store, mode });
        assert!(!one.core.status()[0].is_delivered);
        talk(&mut one, &mut two);
        let status = &one.core.status()[0];
        assert!(status.is_delivered && !status.is_equal);
        assert_eq!(status.counts.ops_sent, if refuses { 0 } else { 3 });
        let (session, authors) = (one.session(), vec![key(0)]);
        let refused = Event::AuthorsRefusedThere { session, authors };
        assert_eq!(one.events.contains(&refused), refuses);
    }
}
