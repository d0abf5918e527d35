//! Ops, and counts of them.

use lattice_sync::wire::{Ack, Beat, Begin, Done, EndReason, Frame, Mark};
use lattice_sync::{Event, Over};

use crate::desk::{CHANNEL, Desk};
use crate::hostile::{op, ops_frame};
use crate::sim::disk::Disk;
use crate::sim::set::{FORGED, SetOp};
use crate::sim::world::key;

#[test]
fn counts_that_lie_are_only_shown() {
    let mut desk = Desk::opened(|_| ());
    let (ops_claimed, bytes) = (u64::MAX, u64::MAX);
    desk.feed(Frame::Begin(Begin {
        channel: CHANNEL,
        ops: ops_claimed,
        bytes,
    }));
    let (first, mark) = (
        op(0, Vec::new()),
        Mark {
            upto: u64::MAX,
            token: None,
        },
    );
    desk.feed(ops_frame(vec![first.bytes.clone()]));
    desk.feed(Frame::Done(Done {
        channel: CHANNEL,
        mark,
    }));
    assert!(desk.disk.has(&first.op) && !desk.is_closed);
    let counts = desk.core.status()[0].counts;
    assert_eq!((counts.to_receive, counts.applied), (u64::MAX, 1));
    // Counts of what was never sent.
    for frame in [
        Frame::Ack(Ack {
            channel: CHANNEL,
            bytes: 1,
            token: None,
        }),
        Frame::Beat(Beat {
            channel: CHANNEL,
            bytes: 1,
            summary: None,
        }),
    ] {
        let mut desk = Desk::opened(|_| ());
        desk.feed(frame);
        assert!(desk.is_closed && desk.rule().is_some());
    }
}

#[test]
fn ops_out_of_order_wait_up_to_a_limit() {
    let mut desk = Desk::opened(|config| config.waiting_ops = 10);
    let first = op(0, Vec::new());
    let later: Vec<SetOp> = (0..20)
        .map(|n| {
            let missing = op(n + 50, Vec::new());
            SetOp::new(key(7), n + 100, 2, 0, vec![missing.op], 0)
        })
        .collect();
    for op in &later[..10] {
        desk.feed(ops_frame(vec![op.bytes.clone()]));
    }
    desk.feed(ops_frame(vec![first.bytes]));
    assert!(desk.disk.has(&first.op) && desk.core.status().len() == 1);
    desk.feed(ops_frame(vec![later[10].bytes.clone()]));
    let why = Over::Here(EndReason::Busy);
    assert!(
        desk.events
            .iter()
            .any(|event| matches!(event, Event::Over { why: found, .. } if *found == why))
    );
    assert!(!desk.is_closed, "other sessions of the connection go on");
}

#[test]
fn a_bad_signature_ends_the_session_and_leaves_nothing() {
    let mut desk = Desk::opened(|_| ());
    let forged = SetOp::new(key(7), 0, 1, FORGED, Vec::new(), 0);
    let before = desk.disk.all();
    desk.feed(ops_frame(vec![forged.bytes]));
    assert_eq!(desk.disk.all(), before);
    assert!(matches!(desk.sent.last(), Some(Frame::End(end)) if end.reason == EndReason::BadOp));
    assert!(desk.core.status().is_empty());
}

#[test]
fn more_ops_than_there_is_credit_for_end_the_connection() {
    // The store is busy, so nothing is taken in.
    let mut desk = Desk::opened(|config| {
        config.ingests = 0;
        config.window_bytes = 1000;
        config.slice_bytes = 100;
    });
    let mut fed = 0;
    while !desk.is_closed {
        desk.feed(ops_frame(vec![vec![0; 50], vec![0; 50]]));
        fed += 1;
        assert!(fed < 100, "there is no limit");
    }
    assert_eq!(desk.rule(), Some("more ops came than there was credit for"));
}
