//! What a peer says that it has.

use lattice_sync::Event;
use lattice_sync::host::Request;
use lattice_sync::wire::{Beat, Cursor, Done, Frame, Mark, Token, Want};

use crate::desk::{CHANNEL, Desk, open, summary};
use crate::hostile::{news_frame, tip};

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
        desk.feed(news_frame(tips.collect(), true));
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
        desk.feed(news_frame(tips, false));
        assert!(desk.is_closed && desk.rule().is_some());
    }
}

#[test]
fn a_peer_that_claims_to_have_everything_gives_nothing_and_rests() {
    let mut desk = Desk::opened(|_| ());
    // It has a tip that does not exist, and says so again and again.
    desk.feed(news_frame(vec![tip(1)], false));
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
                desk.feed(news_frame(vec![tip(1)], false));
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
