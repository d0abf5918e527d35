//! The committed frames, which another implementation made (`tests/golden/generate.py`).

use std::collections::BTreeMap;

use lattice_backend::op::OpRef;
use lattice_meta::{Cid, GenesisHash, OpId, PubKey, StateHash};
use lattice_sync::wire::{
    Accept, Ack, Beat, Begin, BlobAnswer, BlobAsk, Cursor, Done, End, EndReason, FEATURE_FIND,
    Farewell, Find, Found, Frame, FrameKind, FrameReader, Hello, Known, MAX_FIND_BYTES,
    MAX_FOUND_BYTES, Mark, News, Node, NodeContent, OpBytes, Open, Ops, PROTOCOL, Probe, Ranges,
    Refuse, RefuseReason, Refused, Round, Summary, Tip, Token, Want, WireError, Wish,
};

fn lines(file: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = |line: &str| {
        let (name, digits) = line.split_once(' ').unwrap();
        let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap();
        (name.to_owned(), bytes)
    };
    text.lines().map(line).collect()
}

/// Consecutive bytes, as the generator has them.
fn run<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|place| first + u8::try_from(place).unwrap())
}

fn author() -> PubKey {
    PubKey::from_bytes(run(1))
}

fn other() -> PubKey {
    PubKey::from_bytes(run(0x41))
}

fn op(author: PubKey) -> OpRef {
    let id = OpId::from_bytes(run(0x80));
    OpRef { author, seq: 7, id }
}

fn summary(tips: u32) -> Summary {
    Summary {
        ops: 1000,
        held: 2,
        tips,
        digest: run(0x20),
        state: StateHash::from_bytes(run(0x60)),
    }
}

fn token() -> Token {
    Token(run(0xf0))
}

fn frames() -> Vec<(&'static str, Frame)> {
    let channel = 1;
    let mark = |token| Mark { upto: 1001, token };
    let ops = |ops: &[&[u8]], mark| {
        let ops = ops.iter().map(|op| OpBytes(op.to_vec())).collect();
        Frame::Ops(Ops { channel, ops, mark })
    };
    let refuse = |reason| Frame::Refuse(Refuse { channel, reason });
    let end = |reason| Frame::End(End { channel, reason });
    let beat = |summary| {
        Frame::Beat(Beat {
            channel,
            bytes: 77,
            summary,
        })
    };
    let cid = Cid::of(b"code");
    let node = |depth, prefix, content| Node {
        depth,
        prefix,
        content,
    };
    let hello = |features| {
        Frame::Hello(Hello {
            protocols: vec![PROTOCOL],
            features,
            peer: author(),
            instance: 0x1122_3344_5566_7788,
            attempt: 5,
        })
    };
    let find = |number, name: &str| {
        let name = name.to_owned();
        Frame::Find(Find { number, name })
    };
    let found = |record: Option<&[u8]>| {
        let record = record.map(<[u8]>::to_vec);
        Frame::Found(Found { number: 6, record })
    };
    vec![
        ("hello", hello(0)),
        ("bye_closing", Frame::Bye(Farewell::Closing)),
        ("bye_duplicate", Frame::Bye(Farewell::Duplicate)),
        ("bye_oneself", Frame::Bye(Farewell::Oneself)),
        ("bye_version", Frame::Bye(Farewell::Version)),
        ("bye_protocol", Frame::Bye(Farewell::Protocol)),
        ("bye_timeout", Frame::Bye(Farewell::Timeout)),
        (
            "open",
            Frame::Open(Open {
                channel,
                genesis: GenesisHash::from_bytes(run(0xc0)),
                gives: true,
                takes: false,
                summary: summary(3),
                cursor: Some(Cursor {
                    upto: 900,
                    token: token(),
                }),
            }),
        ),
        (
            "accept",
            Frame::Accept(Accept {
                channel,
                gives: true,
                takes: true,
                ranges: false,
                summary: summary(3),
                cursor: None,
            }),
        ),
        ("refuse_not_here", refuse(RefuseReason::NotHere)),
        (
            "refuse_busy",
            refuse(RefuseReason::Busy { retry_ms: 10_000 }),
        ),
        ("end_closing", end(EndReason::Closing)),
        ("end_busy", end(EndReason::Busy)),
        ("end_bad_op", end(EndReason::BadOp)),
        ("end_failed", end(EndReason::Failed)),
        (
            "round",
            Frame::Round(Round {
                channel,
                ranges: true,
                summary: summary(2000),
            }),
        ),
        (
            "news",
            Frame::News(News {
                channel,
                since: Some(900),
                tips: vec![
                    Tip {
                        op: op(author()),
                        after: 5,
                    },
                    Tip {
                        op: op(other()),
                        after: 0,
                    },
                ],
                more: false,
            }),
        ),
        (
            "ranges",
            Frame::Ranges(Ranges {
                channel,
                nodes: vec![
                    node(
                        1,
                        0x3 << 60,
                        NodeContent::Kids(std::array::from_fn(|kid| kid as u64)),
                    ),
                    node(2, 0x3a << 56, NodeContent::Items(vec![1, u64::MAX])),
                    node(16, 0x1234_5678_9abc_def0, NodeContent::Lacks(vec![3])),
                ],
                last: true,
                all: false,
            }),
        ),
        (
            "want",
            Frame::Want(Want {
                channel,
                wishes: vec![
                    Wish {
                        tip: 0,
                        before_after: true,
                        known: Vec::new(),
                    },
                    Wish {
                        tip: 1,
                        before_after: false,
                        known: vec![Known {
                            seq: 4,
                            id: OpId::from_bytes(run(0x80)),
                        }],
                    },
                ],
            }),
        ),
        (
            "refused",
            Frame::Refused(Refused {
                channel,
                authors: vec![author(), other()],
            }),
        ),
        (
            "begin",
            Frame::Begin(Begin {
                channel,
                ops: 12,
                bytes: 4096,
            }),
        ),
        (
            "ops",
            ops(&[b"first op", b"second op"], Some(mark(Some(token())))),
        ),
        ("ops_mark_only", ops(&[], Some(mark(Some(token()))))),
        ("ops_without_mark", ops(&[b"op"], None)),
        (
            "done",
            Frame::Done(Done {
                channel,
                mark: mark(Some(token())),
            }),
        ),
        (
            "done_without_token",
            Frame::Done(Done {
                channel,
                mark: mark(None),
            }),
        ),
        (
            "ack",
            Frame::Ack(Ack {
                channel,
                bytes: 1 << 40,
                token: Some(token()),
            }),
        ),
        ("beat", beat(Some(summary(3)))),
        ("beat_at_work", beat(None)),
        (
            "probe",
            Frame::Probe(Probe {
                channel,
                from: 64,
                upto: 66,
                hashes: vec![run(0xf0), run(0x20)],
            }),
        ),
        (
            "blob_ask",
            Frame::BlobAsk(BlobAsk {
                channel,
                cid,
                offset: 262_144,
            }),
        ),
        (
            "blob_part",
            Frame::BlobPart(BlobAnswer {
                channel,
                cid,
                length: Some(4),
                offset: 0,
                bytes: b"code".to_vec(),
            }),
        ),
        (
            "blob_none",
            Frame::BlobPart(BlobAnswer {
                channel,
                cid,
                length: None,
                offset: 0,
                bytes: Vec::new(),
            }),
        ),
        ("skipped_then_beat", beat(None)),
        ("hello_find", hello(FEATURE_FIND)),
        ("find_name", find(6, "café")),
        ("find_id", find(u32::MAX, &"0123456789abcdef".repeat(4))),
        ("find_longest", find(6, &"n".repeat(MAX_FIND_BYTES))),
        ("found", found(Some(b"a genesis record"))),
        ("found_longest", found(Some(&[b'g'; MAX_FOUND_BYTES]))),
        ("found_none", found(None)),
    ]
}

/// Reads a stream in pieces of this length.
fn read(stream: &[u8], piece: usize) -> Result<Vec<Frame>, WireError> {
    let mut reader = FrameReader::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        reader.push(piece);
        while let Some(frame) = reader.next_frame()? {
            frames.push(frame);
        }
    }
    assert!(!reader.is_within_frame(), "the stream ends within a frame");
    Ok(frames)
}

#[test]
fn golden_frames() {
    let mut golden: BTreeMap<String, Vec<u8>> = lines("frames.txt").into_iter().collect();
    for (name, frame) in frames() {
        let bytes = golden
            .remove(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        for piece in [1, 7, bytes.len()] {
            let expected = std::slice::from_ref(&frame);
            assert_eq!(read(&bytes, piece).unwrap(), expected, "{name}");
        }
        if name != "skipped_then_beat" {
            assert_eq!(frame.encode(), bytes, "{name}");
        }
    }
    assert!(golden.is_empty(), "no expectation for {:?}", golden.keys());
    let kinds = FrameKind::ALL.iter();
    let missing = kinds.filter(|kind| !frames().iter().any(|(_, frame)| frame.kind() == **kind));
    assert_eq!(missing.count(), 0);
}

#[test]
fn golden_hostile_frames() {
    let is_too_long = |found: &WireError, of: FrameKind| matches!(found, WireError::TooLong { kind, .. } if *kind == of);
    let mut seen = 0;
    for (name, bytes) in lines("hostile.txt") {
        let found = read(&bytes, 64).expect_err(&name);
        let is_right = match name.as_str() {
            "type_0" => found == WireError::UnknownType { found: 0 },
            "type_20" => found == WireError::UnknownType { found: 20 },
            "type_127" => found == WireError::UnknownType { found: 127 },
            "skipped_255_longer_than_any" => {
                matches!(found, WireError::SkipTooLong { kind: 255, .. })
            }
            // When the line was written, this type was still to be skipped.
            "skipped_longer_than_any" => is_too_long(&found, FrameKind::Find),
            "find_257_bytes" => is_too_long(&found, FrameKind::Find),
            "found_3073_bytes" => is_too_long(&found, FrameKind::Found),
            "beat_longer_than_its_limit" => {
                matches!(
                    found,
                    WireError::TooLong {
                        kind: FrameKind::Beat,
                        limit: 4096,
                        found: 4097
                    }
                )
            }
            "ops_longer_than_an_op" | "length_of_4_gib" => {
                matches!(found, WireError::TooLong { .. })
            }
            _ => matches!(found, WireError::Body { .. }),
        };
        assert!(is_right, "{name}: {found:?}");
        seen += 1;
    }
    assert_eq!(seen, 34);
}

#[test]
fn golden_several_ops_do_not_fill_a_frame_that_is_for_one() {
    let frame = |ops: Vec<OpBytes>| {
        Frame::Ops(Ops {
            channel: 1,
            ops,
            mark: None,
        })
        .encode()
    };
    let long = frame(vec![OpBytes(vec![1; 300_000])]);
    assert_eq!(read(&long, 65_536).unwrap().len(), 1);
    let two = frame(vec![OpBytes(vec![1; 300_000]), OpBytes(vec![2])]);
    let found = read(&two, 65_536).unwrap_err();
    assert!(
        matches!(found, WireError::ManyOps { ops: 2, .. }),
        "{found:?}"
    );
}
