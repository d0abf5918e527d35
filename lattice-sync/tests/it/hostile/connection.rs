//! Greetings, silence, and bytes that are too slow or too many.

use lattice_meta::GenesisHash;
use lattice_sync::host::{Input, Request, Side};
use lattice_sync::wire::{Farewell, Frame, Hello, RefuseReason};
use lattice_sync::{Event, Lost};

use crate::desk::{CHANNEL, CONN, Desk, hello, open};
use crate::hostile::ops_frame;
use crate::sim::world::key;

#[test]
fn a_frame_before_the_greeting_ends_the_connection() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    desk.feed(open());
    assert!(desk.is_closed);
    assert_eq!(desk.rule(), Some("the first frame is no greeting"));
}

#[test]
fn a_slow_loris_is_cut_off() {
    // Without a greeting.
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    for byte in hello().encode().into_iter().take(40) {
        desk.feed_bytes(vec![byte]);
        desk.wait(500);
    }
    assert!(desk.is_closed, "no greeting");
    // Within a frame, a byte a second.
    let mut desk = Desk::opened(|_| ());
    let mut seconds = 0;
    for byte in ops_frame(vec![vec![0; 4000]]).encode() {
        desk.feed_bytes(vec![byte]);
        desk.wait(1000);
        seconds += 1;
        if desk.is_closed {
            break;
        }
    }
    assert!((74..=76).contains(&seconds), "{seconds}");
    let why = Lost::Here(Farewell::Timeout);
    assert!(
        desk.events
            .iter()
            .any(|event| matches!(event, Event::Lost { why: found, .. } if *found == why))
    );
}

#[test]
fn a_silent_peer_is_gone_after_a_while() {
    let mut desk = Desk::opened(|_| ());
    desk.wait(74_000);
    assert!(!desk.is_closed);
    desk.wait(2000);
    assert!(desk.is_closed);
}

#[test]
fn huge_claims_allocate_nothing() {
    let mut desk = Desk::opened(|_| ());
    let mut head = u32::MAX.to_le_bytes().to_vec();
    head.push(13);
    desk.feed_bytes(head);
    assert!(desk.is_closed);
    assert_eq!(desk.rule(), Some("a frame is longer than its type allows"));
}

#[test]
fn a_store_that_is_not_here_and_one_that_is_not_given_are_answered_alike() {
    let mut desk = Desk::greeted(|_| ());
    desk.disk.refused.clear();
    let Frame::Open(mut other) = open() else {
        panic!()
    };
    other.genesis = GenesisHash::from_bytes([1; 32]);
    desk.feed(Frame::Open(other));
    // The host of the test has every store; a host that has not declines.
    assert!(matches!(
        &desk.asked[..],
        [Request::Load { asked: Some(_), .. }, ..]
    ));
    let mut core = lattice_sync::Core::new(lattice_sync::Config::new(key(0)), [1; 32]);
    let now = lattice_sync::host::Time::from_ms(0);
    let (conn, side) = (CONN, Side::Accepted);
    core.on_input(
        now,
        Input::Connected {
            conn,
            side,
            peer: None,
        },
    );
    let bytes = [hello().encode(), open().encode()].concat();
    let outputs = core.on_input(now, Input::Received { conn, bytes });
    let ticket = outputs.iter().find_map(|output| match output {
        lattice_sync::host::Output::Ask { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let answer = lattice_sync::host::Answer::Declined(RefuseReason::NotHere);
    let ticket = ticket.unwrap();
    let outputs = core.on_input(now, Input::Answer { ticket, answer });
    let refusal = Frame::Refuse(lattice_sync::wire::Refuse {
        channel: CHANNEL,
        reason: RefuseReason::NotHere,
    });
    assert!(outputs.iter().any(|output| matches!(output,
        lattice_sync::host::Output::Send { bytes, .. } if *bytes == refusal.encode())));
}

#[test]
fn a_peer_that_is_us_is_left() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Dialled);
    let Some(Frame::Hello(own)) = desk.sent.first().cloned() else {
        panic!()
    };
    desk.feed(Frame::Hello(own.clone()));
    assert!(matches!(desk.sent.last(), Some(Frame::Bye(Farewell::Oneself))) && desk.is_closed);
    // A copy of us runs in a process of its own: it is served, and said to be a copy.
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Dialled);
    desk.feed(Frame::Hello(Hello {
        instance: own.instance + 1,
        ..own
    }));
    assert!(!desk.is_closed);
    assert!(matches!(
        desk.events[..],
        [Event::Met {
            is_same_key: true,
            ..
        }]
    ));
}

#[test]
fn another_version_or_another_peer_than_expected_is_left() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Dialled);
    let Frame::Hello(mut later) = hello() else {
        panic!()
    };
    later.protocols = vec![*b"lattice9"];
    desk.feed(Frame::Hello(later));
    assert!(matches!(
        desk.sent.last(),
        Some(Frame::Bye(Farewell::Version))
    ));
    let mut desk = Desk::new(0, |_| ());
    let (conn, side) = (CONN, Side::Dialled);
    desk.input(Input::Connected {
        conn,
        side,
        peer: Some(key(3)),
    });
    desk.feed(hello());
    assert!(
        desk.is_closed
            && matches!(
                desk.events[..],
                [Event::Lost {
                    why: Lost::OtherPeer,
                    ..
                }]
            )
    );
}
