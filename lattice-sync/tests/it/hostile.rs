//! Peers that do not keep to the protocol. Each does one thing; none harms the replica.

use lattice_backend::conformance::Rng;
use lattice_backend::op::OpRef;
use lattice_meta::{Cid, GenesisHash, OpId, PubKey};
use lattice_sync::host::{Input, Request, Side};
use lattice_sync::wire::{
    Ack, Beat, Begin, BlobAnswer, Cursor, Done, EndReason, Farewell, Frame, Hello, Mark, News,
    OpBytes, Ops, RefuseReason, Tip, Token, Want,
};
use lattice_sync::{BlobFault, Event, Lost, Over};

use crate::desk::{CHANNEL, CONN, Desk, code, hello, open, summary};
use crate::sim::attack;
use crate::sim::disk::Disk;
use crate::sim::set::{FORGED, SetOp};
use crate::sim::world::key;

fn ops(ops: Vec<Vec<u8>>) -> Frame {
    let ops = ops.into_iter().map(OpBytes).collect();
    Frame::Ops(Ops {
        channel: CHANNEL,
        ops,
        mark: None,
    })
}

fn op(seq: u64, parents: Vec<OpRef>) -> SetOp {
    SetOp::new(key(7), seq, 1, 0, parents, 0)
}

fn tip(number: u64) -> Tip {
    let mut author = [0; 32];
    author[..8].copy_from_slice(&number.to_be_bytes());
    let op = OpRef {
        author: PubKey::from_bytes(author),
        seq: 0,
        id: OpId::from_bytes([5; 32]),
    };
    Tip { op, after: 0 }
}

fn news(tips: Vec<Tip>, more: bool) -> Frame {
    Frame::News(News {
        channel: CHANNEL,
        since: None,
        tips,
        more,
    })
}

/// Any frame at any time: nothing but a clean end of the session or of the connection.
#[test]
fn any_frame_at_any_time_ends_the_connection_or_does_nothing() {
    let mut ended = 0;
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let mut desk = match rng.below(3) {
            0 => Desk::greeted(|_| ()),
            _ => Desk::opened(|_| ()),
        };
        let before = desk.disk.all();
        for _ in 0..1 + rng.below(12) {
            let frame = attack::any(&mut rng, CHANNEL);
            desk.feed(frame);
            desk.wait(rng.below(40_000) as u64);
            assert!(desk.core.buffered() < 1 << 20);
        }
        assert_eq!(desk.disk.all(), before, "schedule {seed}");
        ended += usize::from(desk.is_closed);
    }
    assert!(ended > 500, "{ended}");
}

#[test]
fn a_frame_before_the_greeting_ends_the_connection() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    desk.feed(open());
    assert!(desk.is_closed);
    assert_eq!(desk.rule(), Some("the first frame is no greeting"));
}

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
    desk.feed(ops(vec![first.bytes.clone()]));
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
fn news_without_end_ends() {
    let mut desk = Desk::opened(|_| ());
    let mut number = 0;
    let mut frames = 0;
    while !desk.is_closed {
        let tips = (0..1024).map(|_| {
            number += 1;
            tip(number)
        });
        desk.feed(news(tips.collect(), true));
        frames += 1;
        assert!(frames < 2000, "news do not end");
        desk.sent.clear();
    }
    assert_eq!(desk.rule(), Some("a round has more tips than are allowed"));
    // What was asked for stays within bounds, too.
    let weighed = desk
        .asked
        .iter()
        .filter(|asked| matches!(asked, Request::Weigh { .. }));
    assert_eq!(weighed.count(), 1024);
}

#[test]
fn news_out_of_order_or_of_nothing_end_the_connection() {
    for tips in [vec![tip(2), tip(1)], vec![tip(1), tip(1)], Vec::new()] {
        let mut desk = Desk::opened(|_| ());
        desk.feed(news(tips, false));
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
        desk.feed(ops(vec![op.bytes.clone()]));
    }
    desk.feed(ops(vec![first.bytes]));
    assert!(desk.disk.has(&first.op) && desk.core.status().len() == 1);
    desk.feed(ops(vec![later[10].bytes.clone()]));
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
    desk.feed(ops(vec![forged.bytes]));
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
        desk.feed(ops(vec![vec![0; 50], vec![0; 50]]));
        fed += 1;
        assert!(fed < 100, "there is no limit");
    }
    assert_eq!(desk.rule(), Some("more ops came than there was credit for"));
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
    for byte in ops(vec![vec![0; 4000]]).encode() {
        desk.feed_bytes(vec![byte]);
        desk.wait(1000);
        seconds += 1;
        if desk.is_closed {
            break;
        }
    }
    assert!((29..=31).contains(&seconds), "{seconds}");
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
fn a_peer_that_claims_to_have_everything_gives_nothing_and_rests() {
    let mut desk = Desk::opened(|_| ());
    // It has a tip that does not exist, and says so again and again.
    desk.feed(news(vec![tip(1)], false));
    desk.feed(Frame::Want(Want {
        channel: CHANNEL,
        wishes: Vec::new(),
    }));
    let token = Some(Token([1; 16]));
    let mark = Mark {
        upto: 1 << 60,
        token,
    };
    desk.feed(Frame::Done(Done {
        channel: CHANNEL,
        mark,
    }));
    let claim = || {
        Frame::Beat(Beat {
            channel: CHANNEL,
            bytes: 0,
            summary: Some(summary()),
        })
    };
    let mut rounds = 0;
    for _ in 0..120 {
        desk.sent.clear();
        desk.feed(claim());
        desk.wait(10_000);
        for frame in std::mem::take(&mut desk.sent) {
            if let Frame::Round(_) = frame {
                rounds += 1;
                desk.feed(Frame::Want(Want {
                    channel: CHANNEL,
                    wishes: Vec::new(),
                }));
                desk.feed(news(vec![tip(1)], false));
                desk.feed(Frame::Done(Done {
                    channel: CHANNEL,
                    mark,
                }));
            }
        }
    }
    assert!(
        (3..8).contains(&rounds),
        "{rounds} comparisons in 20 minutes"
    );
    assert!(!desk.is_closed);
    // Never equal, and the cursor that it offers does no harm: it is only about its own order.
    assert!(
        !desk
            .events
            .iter()
            .any(|event| matches!(event, Event::Equal { .. }))
    );
}

#[test]
fn a_cursor_without_our_token_is_not_believed() {
    let mut desk = Desk::greeted(|_| ());
    let Frame::Open(mut open) = open() else {
        panic!()
    };
    open.cursor = Some(Cursor {
        upto: 5,
        token: Token([9; 16]),
    });
    desk.feed(Frame::Open(open));
    let all = desk.sent.iter().find_map(|frame| match frame {
        Frame::News(news) => Some(news),
        _ => None,
    });
    assert_eq!(
        all.map(|news| (news.since, news.tips.len())),
        Some((None, 1))
    );
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

/// A blob that the peer sends instead of the one that was asked for.
fn fetch(answers: &[BlobAnswer]) -> Vec<Event> {
    let mut desk = Desk::opened(|_| ());
    let session = desk.session();
    desk.events.clear();
    let (cid, max_bytes) = (code(), 1000);
    desk.input(Input::Fetch {
        session,
        cid,
        max_bytes,
    });
    for answer in answers {
        desk.feed(Frame::BlobPart(answer.clone()));
    }
    desk.events
}

fn part(length: u64, offset: u64, bytes: &[u8]) -> BlobAnswer {
    BlobAnswer {
        channel: CHANNEL,
        cid: code(),
        length: Some(length),
        offset,
        bytes: bytes.to_vec(),
    }
}

#[test]
fn a_blob_is_what_its_content_id_says_or_nothing() {
    let failed = |events: Vec<Event>| match events.last() {
        Some(Event::BlobFailed { why, .. }) => Some(*why),
        _ => None,
    };
    let whole = fetch(&[part(9, 0, b"some "), part(9, 5, b"code")]);
    assert!(matches!(
        whole[..],
        [
            Event::BlobPart { .. },
            Event::BlobPart { .. },
            Event::BlobWhole { .. }
        ]
    ));
    // Longer and shorter than it said, altered, two lengths, too long, not there.
    assert_eq!(
        failed(fetch(&[part(9, 0, b"some code!")])),
        Some(BlobFault::Length)
    );
    assert_eq!(
        failed(fetch(&[part(9, 0, b"some"), part(9, 4, b"")])),
        Some(BlobFault::Length)
    );
    assert_eq!(
        failed(fetch(&[part(9, 0, b"some Code")])),
        Some(BlobFault::Hash)
    );
    assert_eq!(
        failed(fetch(&[part(9, 0, b"some"), part(8, 4, b"code")])),
        Some(BlobFault::Length)
    );
    let length = 1001;
    assert_eq!(
        failed(fetch(&[part(length, 0, b"some")])),
        Some(BlobFault::TooLong { length })
    );
    let none = BlobAnswer {
        length: None,
        ..part(0, 0, b"")
    };
    assert_eq!(failed(fetch(&[none])), Some(BlobFault::NotThere));
    // Parts that were not asked for end the connection.
    let other = BlobAnswer {
        cid: Cid::of(b"other"),
        ..part(9, 0, b"some code")
    };
    for wrong in [vec![part(9, 3, b"some")], vec![other]] {
        let events = fetch(&wrong);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Lost { rule: Some(_), .. }))
        );
        assert!(events.iter().any(|event| matches!(
            event,
            Event::BlobFailed {
                why: BlobFault::Cut,
                ..
            }
        )));
    }
    let unasked = fetch(&[part(9, 0, b"some code"), part(9, 0, b"some code")]);
    assert!(
        unasked
            .iter()
            .any(|event| matches!(event, Event::Lost { rule: Some(_), .. }))
    );
}
