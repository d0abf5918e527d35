//! A blob that the peer sends instead of the one that was asked for.

use lattice_meta::Cid;
use lattice_sync::host::{Answer, Input, Output, Request, Time};
use lattice_sync::wire::{BlobAnswer, BlobAsk, Frame};
use lattice_sync::{BlobFault, Event};

use crate::desk::{CHANNEL, CONN, Desk, code};

/// What happens when the peer answers a question about a blob with these parts.
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

/// A peer that asks for parts and reads none gets no more than the connection holds.
#[test]
fn parts_wait_until_there_is_room_for_them() {
    let mut desk = Desk::opened(|config| config.unsent_bytes = 1000);
    let (channel, cid) = (CHANNEL, code());
    let frame = |offset| {
        let ask = BlobAsk {
            channel,
            cid,
            offset,
        };
        let bytes = Frame::BlobAsk(ask).encode();
        Input::Received { conn: CONN, bytes }
    };
    let now = Time::from_ms(desk.now);
    let asked = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Ask {
                ticket,
                request: Request::Blob { .. },
                ..
            } => Some(*ticket),
            _ => None,
        })
    };
    let ticket = asked(&desk.core.on_input(now, frame(0))).unwrap();
    let (length, bytes) = (Some(9000), vec![7; 2000]);
    let answer = Answer::Blob { length, bytes };
    desk.core.on_input(now, Input::Answer { ticket, answer });
    assert_eq!(asked(&desk.core.on_input(now, frame(2000))), None);
    let (conn, bytes) = (CONN, 3000);
    let outputs = desk.core.on_input(now, Input::Sent { conn, bytes });
    assert!(asked(&outputs).is_some());
}
