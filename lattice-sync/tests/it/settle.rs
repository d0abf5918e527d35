//! How a host knows that a session that is not to be live is finished.

use std::rc::Rc;

use lattice_backend::engine::read::PeerRow;
use lattice_backend::op::OpRef;
use lattice_meta::OpId;
use lattice_sync::Event;
use lattice_sync::host::{Input, Mode, Side};
use lattice_sync::wire::Frame;

use crate::desk::{CONN, Desk, talk};
use crate::sim::disk::Disk;
use crate::sim::set::{AHEAD_MS, SetOp};
use crate::sim::world::{EPOCH_MS, key, store};

const GIVES: Mode = Mode {
    gives: true,
    takes: false,
};
const TAKES: Mode = Mode {
    gives: false,
    takes: true,
};

/// Two desks with two ops of their own each.
fn writers() -> (Desk, Desk) {
    let mut desks = [Desk::new(0, |_| ()), Desk::new(1, |_| ())];
    for desk in &mut desks {
        (0..2).for_each(|_| desk.disk.write(EPOCH_MS));
        desk.disk.sync();
    }
    desks.into()
}

/// What a desk has reported of the ends of rounds: what it gave, and what it took.
fn settled(desk: &Desk) -> Vec<(Option<bool>, Option<bool>)> {
    let settled = desk.events.iter().filter_map(|event| match event {
        Event::Settled { gave, took, .. } => Some((*gave, *took)),
        _ => None,
    });
    settled.collect()
}

/// Begins a session, and passes one frame at a time, until the first desk knows the end of a round,
/// or both are silent.
fn sync(one: &mut Desk, two: &mut Desk, mode: Mode) {
    one.connect(Side::Dialled);
    two.connect(Side::Accepted);
    let (conn, store) = (CONN, store());
    one.input(Input::Sync { conn, store, mode });
    step(one, two);
}

fn step(one: &mut Desk, two: &mut Desk) {
    while settled(one).is_empty() && !(one.sent.is_empty() && two.sent.is_empty()) {
        let (to_two, to_one) = (
            one.sent.drain(..1.min(one.sent.len())),
            two.sent.drain(..1.min(two.sent.len())),
        );
        let (to_two, to_one): (Vec<_>, Vec<_>) = (to_two.collect(), to_one.collect());
        to_two.into_iter().for_each(|frame| two.feed(frame));
        to_one.into_iter().for_each(|frame| one.feed(frame));
    }
}

/// Both go on for so many milliseconds.
fn wait(one: &mut Desk, two: &mut Desk, ms: u64) {
    for _ in 0..ms / 100 {
        one.wait(100);
        two.wait(100);
        talk(one, two);
    }
}

/// The program of the first desk ends, as soon as it may.
fn leave(one: &mut Desk, two: &mut Desk) {
    one.input(Input::Close { conn: CONN });
    talk(one, two);
    for desk in [one, two] {
        desk.events.clear();
        desk.is_closed = false;
    }
}

#[test]
fn both_ways_ends_without_a_wait_and_both_remember_how_far_they_are() {
    let (mut one, mut two) = writers();
    sync(&mut one, &mut two, Mode::BOTH);
    assert_eq!(settled(&one), [(Some(true), Some(true))]);
    assert!(
        one.events
            .iter()
            .any(|event| matches!(event, Event::Equal { ops: 4, .. }))
    );
    assert_eq!(one.disk.all().len(), 4);
    leave(&mut one, &mut two);
    assert_eq!(two.disk.all().len(), 4);
    let rows = |desk: &Desk, peer| {
        let row = |row| desk.disk.row(&key(peer), row);
        (row(PeerRow::Mine), row(PeerRow::Served))
    };
    let (of_one, of_two) = (rows(&one, 1), rows(&two, 0));
    assert_eq!((of_one.0, of_one.1), (of_two.1, of_two.0));
    assert!(of_one.0.is_some_and(|row| row.upto == 4) && of_one.1.is_some_and(|row| row.upto == 4));
    // Equal stores end at once; the next op is found by the cursor.
    sync(&mut one, &mut two, Mode::BOTH);
    assert_eq!(settled(&one), [(Some(true), Some(true))]);
    leave(&mut one, &mut two);
    one.disk.write(EPOCH_MS);
    one.disk.sync();
    sync(&mut one, &mut two, Mode::BOTH);
    assert_eq!(settled(&one), [(Some(true), Some(true))]);
    assert!(
        one.events
            .iter()
            .any(|event| matches!(event, Event::CursorUsed { upto: 4, .. }))
    );
    leave(&mut one, &mut two);
    assert_eq!(two.disk.all().len(), 5);
}

#[test]
fn one_direction_ends_without_a_wait_also_if_the_taker_has_more() {
    let (mut one, mut two) = writers();
    sync(&mut one, &mut two, GIVES);
    assert_eq!(settled(&one), [(Some(true), None)]);
    talk(&mut one, &mut two);
    assert_eq!(settled(&two), [(None, Some(true))]);
    assert_eq!((one.disk.all().len(), two.disk.all().len()), (2, 4));
    let (mut one, mut two) = writers();
    sync(&mut one, &mut two, TAKES);
    assert_eq!(settled(&one), [(None, Some(true))]);
    talk(&mut one, &mut two);
    assert_eq!(settled(&two), [(Some(true), None)]);
    assert_eq!((one.disk.all().len(), two.disk.all().len()), (4, 2));
    // Nothing more is compared, although their ops differ.
    let before = one.core.status()[0].counts.rounds;
    wait(&mut one, &mut two, 100_000);
    assert_eq!(one.core.status()[0].counts.rounds, before);
}

#[test]
fn a_session_without_directions_ends_within_seconds() {
    let (mut one, mut two) = writers();
    two.mode = GIVES;
    sync(&mut one, &mut two, GIVES);
    wait(&mut one, &mut two, 2900);
    assert!(settled(&one).is_empty());
    wait(&mut one, &mut two, 200);
    assert_eq!(settled(&one), [(None, None)]);
}

#[test]
fn refused_authors_are_not_given_and_both_sides_know_them() {
    for mode in [Mode::BOTH, GIVES] {
        let (mut one, mut two) = writers();
        two.disk.refused.insert(key(0));
        sync(&mut one, &mut two, mode);
        wait(&mut one, &mut two, 3500);
        let took = mode.takes.then_some(true);
        assert_eq!(settled(&one).first(), Some(&(Some(false), took)));
        let gave = mode.takes.then_some(true);
        assert_eq!(settled(&two).first(), Some(&(gave, Some(false))));
        let authors = vec![key(0)];
        let session = one.session();
        let not_taken = Event::AuthorsRefusedThere { session, authors };
        assert_eq!(
            one.events
                .iter()
                .filter(|event| **event == not_taken)
                .count(),
            1
        );
    }
}

#[test]
fn ops_that_are_put_off_or_wait_are_not_given_yet() {
    let ahead = EPOCH_MS + AHEAD_MS + 60_000;
    let id = OpId::from_bytes([9; 32]);
    let missing = OpRef {
        author: key(8),
        seq: 3,
        id,
    };
    let put_off = SetOp::new(key(8), 0, ahead, 0, Vec::new(), 0);
    let waiting = SetOp::new(key(8), 4, EPOCH_MS, 0, vec![missing], 0);
    for (mode, op) in [(Mode::BOTH, put_off), (GIVES, waiting)] {
        let (mut one, mut two) = writers();
        one.disk.put(Rc::new(op)).unwrap();
        one.disk.sync();
        sync(&mut one, &mut two, mode);
        wait(&mut one, &mut two, 3500);
        assert_eq!(
            settled(&one).first(),
            Some(&(Some(false), mode.takes.then_some(true)))
        );
        assert_eq!(
            settled(&two).first(),
            Some(&(mode.takes.then_some(true), Some(false)))
        );
        let counts = two.core.status()[0].counts;
        assert!(counts.later + counts.waiting > 0, "{counts:?}");
        // What is not here does not keep the other ops.
        assert_eq!(two.disk.all().len(), 4);
    }
}

/// A peer that takes everything, and whose store changes all the time, never says what it has.
#[test]
fn a_busy_peer_does_not_keep_a_round_open() {
    let (mut one, mut two) = writers();
    one.connect(Side::Dialled);
    two.connect(Side::Accepted);
    let (conn, store, mode) = (CONN, store(), GIVES);
    one.input(Input::Sync { conn, store, mode });
    let mut seconds = 0;
    while settled(&one).is_empty() && seconds < 10 {
        while !(one.sent.is_empty() && two.sent.is_empty()) {
            let (to_two, to_one) = (std::mem::take(&mut one.sent), std::mem::take(&mut two.sent));
            to_two.into_iter().for_each(|frame| two.feed(frame));
            let is_beat = |frame: &Frame| matches!(frame, Frame::Beat(_));
            let others = to_one.into_iter().filter(|frame| !is_beat(frame));
            others.for_each(|frame| one.feed(frame));
        }
        one.wait(1000);
        seconds += 1;
    }
    assert_eq!((settled(&one), seconds), (vec![(Some(true), None)], 3));
}

/// A link that is slower than the patience: neither side reports what is not there.
#[test]
fn a_round_is_open_while_ops_are_on_their_way() {
    let (mut one, mut two) = writers();
    one.connect(Side::Dialled);
    two.connect(Side::Accepted);
    talk(&mut one, &mut two);
    let (conn, store, mode) = (CONN, store(), GIVES);
    one.input(Input::Sync { conn, store, mode });
    let is_ops = |frame: &Frame| matches!(frame, Frame::Ops(_));
    let mut to_two = std::mem::take(&mut one.sent);
    while !to_two.iter().any(is_ops) {
        to_two.into_iter().for_each(|frame| two.feed(frame));
        let to_one = std::mem::take(&mut two.sent);
        to_one.into_iter().for_each(|frame| one.feed(frame));
        to_two = std::mem::take(&mut one.sent);
    }
    let is_done = |frame: &Frame| matches!(frame, Frame::Done(_));
    assert!(to_two.iter().any(is_done));
    for desk in [&mut one, &mut two] {
        desk.wait(10_000);
        assert!(settled(desk).is_empty());
    }
    to_two.into_iter().for_each(|frame| two.feed(frame));
    // What the other side has taken in, this one does not know yet.
    one.wait(10_000);
    assert!(settled(&one).is_empty());
    talk(&mut one, &mut two);
    assert_eq!(settled(&one), [(Some(true), None)]);
    assert_eq!(settled(&two), [(None, Some(true))]);
}

/// In one direction, a cursor that is on its way is no reason to compare again.
#[test]
fn a_beat_that_crosses_a_cursor_begins_no_round() {
    let (mut one, mut two) = writers();
    sync(&mut one, &mut two, TAKES);
    talk(&mut one, &mut two);
    two.disk.write(EPOCH_MS);
    two.disk.sync();
    two.input(two.changed());
    talk(&mut one, &mut two);
    one.wait(1000);
    let beat = std::mem::take(&mut one.sent);
    assert!(matches!(&beat[..], [Frame::Beat(beat)] if beat.summary.is_some()));
    two.wait(46_000);
    let is_cursor = |frame: &Frame| matches!(frame, Frame::Ops(ops) if ops.mark.is_some());
    assert!(two.sent.iter().any(is_cursor), "{:?}", two.sent);
    beat.into_iter().for_each(|frame| two.feed(frame));
    let is_round = |frame: &Frame| matches!(frame, Frame::Round(_));
    assert!(!two.sent.iter().any(is_round), "{:?}", two.sent);
}

/// More wishes than a frame may have: the next round brings the rest, also in one direction, and
/// the end is reported after the last one.
#[test]
fn a_round_with_too_many_wishes_is_followed_by_another_one() {
    for dialler_gives in [true, false] {
        let (mut giver, mut taker) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
        for author in 0..600 {
            let mut parents = Vec::new();
            for seq in 0..34 {
                let op = SetOp::new(key(100 + author), seq, EPOCH_MS + seq, 0, parents, 0);
                parents = vec![op.op];
                let op = Rc::new(op);
                if seq < 33 {
                    taker.disk.put(Rc::clone(&op)).unwrap();
                }
                giver.disk.put(op).unwrap();
            }
        }
        taker.disk.write(EPOCH_MS);
        giver.disk.sync();
        taker.disk.sync();
        let (one, two, mode) = match dialler_gives {
            true => (&mut giver, &mut taker, GIVES),
            false => (&mut taker, &mut giver, TAKES),
        };
        one.connect(Side::Dialled);
        two.connect(Side::Accepted);
        let (conn, store) = (CONN, store());
        one.input(Input::Sync { conn, store, mode });
        talk(one, two);
        assert_eq!(settled(&giver), [(Some(true), None)], "{dialler_gives}");
        assert_eq!(settled(&taker), [(None, Some(true))], "{dialler_gives}");
        let caught = taker
            .events
            .iter()
            .filter(|event| matches!(event, Event::Caught { .. }));
        assert_eq!(caught.count(), 1);
        assert!(taker.core.status()[0].counts.rounds > 1);
        assert_eq!(taker.disk.all().len(), 600 * 34 + 1);
    }
}
