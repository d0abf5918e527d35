//! What a synchronisation costs, as counts.

use std::rc::Rc;

use lattice_sync::Event;
use lattice_sync::host::Input;
use lattice_sync::wire::{Frame, FrameKind};

use crate::desk::{CONN, Desk, meet, talk};
use crate::sim::disk::Disk;
use crate::sim::set::{SetOp, SetStore};
use crate::sim::world::{EPOCH_MS, key};

/// The bytes of frames of these kinds.
fn bytes(frames: &[Frame], kinds: &[FrameKind]) -> usize {
    let counted = frames.iter().filter(|frame| kinds.contains(&frame.kind()));
    counted.map(|frame| frame.encode().len()).sum()
}

fn put(disk: &mut SetStore, author: usize, seq: u64, parents: Vec<lattice_backend::op::OpRef>) {
    let op = SetOp::new(key(author), seq, EPOCH_MS, 0, parents, 0);
    disk.put(Rc::new(op)).unwrap();
}

/// Two desks with one op of each of so many authors.
fn twins(authors: usize) -> (Desk, Desk) {
    let mut desks = [Desk::new(0, |_| ()), Desk::new(1, |_| ())];
    for desk in &mut desks {
        (0..authors).for_each(|author| put(&mut desk.disk, 100 + author, 0, Vec::new()));
        desk.disk.sync();
    }
    desks.into()
}

fn change(desk: &mut Desk, authors: usize) {
    for author in 0..authors {
        let first = SetOp::new(key(100 + 7 * author), 0, EPOCH_MS, 0, Vec::new(), 0);
        put(&mut desk.disk, 100 + 7 * author, 1, vec![first.op]);
    }
    desk.disk.sync();
}

fn is_equal(desk: &Desk) -> bool {
    desk.core.status()[0].is_equal
}

#[test]
fn equal_stores_are_one_round_trip_and_less_than_500_bytes() {
    let (mut one, mut two) = twins(50);
    let (trips, frames) = meet(&mut one, &mut two);
    let sent: usize = frames.iter().map(|frame| frame.encode().len()).sum();
    println!("equal stores: {sent} bytes with the greetings, {trips} messages");
    assert_eq!(trips, 2);
    assert!(
        sent < 500 && is_equal(&one) && is_equal(&two),
        "{sent} bytes: {frames:?}"
    );
    assert_eq!(frames.len(), 4);
}

#[test]
fn ten_changed_authors_of_a_hundred_thousand() {
    use FrameKind::{News, Ranges, Want};
    let (mut one, mut two) = twins(100_000);
    change(&mut two, 10);
    // Strangers: by ranges.
    let (_, frames) = meet(&mut one, &mut two);
    let difference = bytes(&frames, &[Ranges, News]);
    // A message is what one side sends before the other one answers; news go with the last two.
    let flights = frames.iter().filter(|frame| frame.kind() == Ranges);
    let messages = flights.count() + 1;
    println!(
        "strangers: {difference} bytes, {messages} messages, {} bytes of wishes",
        bytes(&frames, &[Want])
    );
    assert!(difference <= 12 << 10, "{difference}");
    let kinds: Vec<FrameKind> = frames.iter().map(Frame::kind).collect();
    assert!(messages <= 5, "{messages}: {kinds:?}");
    assert_eq!(one.disk.all().len(), 100_010);
    let ops: usize = frames
        .iter()
        .map(|frame| match frame {
            Frame::Ops(ops) => ops.ops.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(ops, 10);
    // They know each other now.
    for desk in [&mut one, &mut two] {
        desk.wait(2000);
    }
    talk(&mut one, &mut two);
    assert!(is_equal(&one) && is_equal(&two));
    for desk in [&mut one, &mut two] {
        desk.input(Input::Closed { conn: CONN });
        desk.sent.clear();
    }
    for author in 0..10 {
        let first = SetOp::new(key(100 + 7 * author), 0, EPOCH_MS, 0, Vec::new(), 0);
        let second = SetOp::new(key(100 + 7 * author), 1, EPOCH_MS, 0, vec![first.op], 0);
        put(&mut two.disk, 100 + 7 * author, 2, vec![second.op]);
    }
    two.disk.sync();
    let (_, frames) = meet(&mut one, &mut two);
    let cursor = 33;
    let difference = cursor + bytes(&frames, &[Ranges, News, Want]);
    println!("known peers: {difference} bytes");
    assert!(difference <= 1024, "{difference}");
    assert!(
        two.events
            .iter()
            .any(|event| matches!(event, Event::CursorUsed { .. }))
    );
    assert_eq!(one.disk.all().len(), 100_020);
}

#[test]
fn after_both_wrote_each_op_is_sent_once() {
    let (mut one, mut two) = twins(20);
    for desk in [&mut one, &mut two] {
        (0..30).for_each(|_| desk.disk.write(EPOCH_MS));
        desk.disk.sync();
    }
    let (_, mut frames) = meet(&mut one, &mut two);
    for _ in 0..5 {
        for desk in [&mut one, &mut two] {
            desk.wait(1000);
        }
        frames.extend(talk(&mut one, &mut two).1);
    }
    let ops = frames.iter().map(|frame| match frame {
        Frame::Ops(ops) => ops.ops.len(),
        _ => 0,
    });
    assert_eq!(ops.sum::<usize>(), 60);
    assert!(is_equal(&one) && is_equal(&two));
    assert_eq!(one.disk.all().len(), 80);
}

#[test]
fn a_first_synchronisation_sends_no_tips() {
    let (_, mut two) = twins(2000);
    let mut one = Desk::new(0, |_| ());
    let (_, frames) = meet(&mut one, &mut two);
    assert_eq!(
        bytes(
            &frames,
            &[FrameKind::News, FrameKind::Ranges, FrameKind::Want]
        ),
        0
    );
    assert_eq!(one.disk.all().len(), 2000);
}
