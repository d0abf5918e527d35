//! Frames of hostile peers.

use lattice_backend::conformance::Rng;
use lattice_backend::op::OpRef;
use lattice_meta::{Cid, OpId, PubKey, StateHash};
use lattice_sync::wire::{
    Accept, Ack, Beat, Begin, BlobAnswer, BlobAsk, Cursor, Done, End, EndReason, Find, Found,
    Frame, Hello, Known, Mark, News, Node, NodeContent, OpBytes, Open, Ops, PROTOCOL, Probe,
    Ranges, Refused, Round, Summary, Tip, Token, Want, Wish,
};

use crate::sim::set::{FORGED, SetOp};
use crate::sim::world::store;

fn op(rng: &mut Rng) -> OpRef {
    OpRef {
        author: PubKey::from_bytes(rng.array()),
        seq: rng.number() >> rng.below(64),
        id: OpId::from_bytes(rng.array()),
    }
}

fn summary(rng: &mut Rng) -> Summary {
    Summary {
        ops: rng.number() >> rng.below(64),
        held: rng.number() >> rng.below(64),
        tips: u32::try_from(rng.below(5000)).unwrap(),
        digest: rng.array(),
        state: StateHash::from_bytes(rng.array()),
    }
}

fn cursor(rng: &mut Rng) -> Option<Cursor> {
    let upto = rng.number() >> rng.below(64);
    let token = Token(rng.array());
    (!rng.one_in(2)).then_some(Cursor { upto, token })
}

/// The frame of an attack that sends so many more: it begins like an honest peer. All frames are
/// about the channel 1, which it opens second.
pub(crate) fn frame(rng: &mut Rng, left: usize) -> Vec<u8> {
    let channel = 1;
    let bytes = |frame: Frame| frame.encode();
    if rng.one_in(20) {
        let len = rng.below(40);
        return rng.bytes(len);
    }
    let random = any(rng, channel);
    match rng.below(8) {
        _ if left.is_multiple_of(7) => bytes(hello(rng)),
        0 => bytes(hello(rng)),
        1 => bytes(open(rng, channel)),
        2 => {
            // A good frame with a bit that is not.
            let mut frame = bytes(random);
            let place = rng.below(frame.len());
            frame[place] ^= 1 << rng.below(8);
            frame
        }
        _ => bytes(random),
    }
}

pub(crate) fn hello(rng: &mut Rng) -> Frame {
    Frame::Hello(Hello {
        protocols: vec![PROTOCOL],
        features: rng.number(),
        peer: PubKey::from_bytes(rng.array()),
        instance: rng.number(),
        attempt: rng.number(),
    })
}

pub(crate) fn open(rng: &mut Rng, channel: u32) -> Frame {
    Frame::Open(Open {
        channel,
        genesis: store(),
        gives: !rng.one_in(5),
        takes: !rng.one_in(5),
        summary: summary(rng),
        cursor: cursor(rng),
    })
}

/// Any frame after the greeting.
pub(crate) fn any(rng: &mut Rng, channel: u32) -> Frame {
    let mark = Mark {
        upto: rng.number() >> rng.below(64),
        token: cursor(rng).map(|cursor| cursor.token),
    };
    match rng.below(20) {
        0 => open(rng, channel),
        1 => Frame::Accept(Accept {
            channel,
            gives: true,
            takes: true,
            ranges: rng.one_in(2),
            summary: summary(rng),
            cursor: cursor(rng),
        }),
        2 => Frame::Round(Round {
            channel,
            ranges: rng.one_in(2),
            summary: summary(rng),
        }),
        3 | 4 => {
            let mut tips: Vec<Tip> = (0..1 + rng.below(5))
                .map(|_| Tip {
                    op: op(rng),
                    after: 0,
                })
                .collect();
            tips.sort_unstable();
            Frame::News(News {
                channel,
                since: None,
                tips,
                more: rng.one_in(2),
            })
        }
        5 => {
            let content = match rng.below(3) {
                0 => NodeContent::Kids(std::array::from_fn(|_| rng.number())),
                1 => NodeContent::Items((0..rng.below(9)).map(|_| rng.number()).collect()),
                _ => NodeContent::Lacks((0..rng.below(9)).map(|_| rng.number()).collect()),
            };
            let depth = u8::try_from(rng.below(18)).unwrap();
            let node = Node {
                depth,
                prefix: rng.number() << 60,
                content,
            };
            Frame::Ranges(Ranges {
                channel,
                nodes: vec![node],
                last: rng.one_in(2),
                all: rng.one_in(9),
            })
        }
        6 | 7 => {
            let wish = |rng: &mut Rng, tip| Wish {
                tip,
                before_after: rng.one_in(3),
                known: (0..rng.below(3))
                    .map(|_| Known {
                        seq: rng.number(),
                        id: OpId::from_bytes(rng.array()),
                    })
                    .collect(),
            };
            let wishes = (0..u16::try_from(rng.below(4)).unwrap())
                .map(|tip| wish(rng, tip))
                .collect();
            Frame::Want(Want { channel, wishes })
        }
        8 => Frame::Refused(Refused {
            channel,
            authors: vec![PubKey::from_bytes(rng.array())],
        }),
        9 => Frame::Begin(Begin {
            channel,
            ops: rng.number(),
            bytes: rng.number(),
        }),
        10 | 11 => {
            let parents = (0..rng.below(2)).map(|_| op(rng)).collect();
            let kind = if rng.one_in(6) { FORGED } else { 0 };
            // Every author may write: what is not well-formed or waits is the danger here.
            let author = PubKey::from_bytes([0xee; 32]);
            let op = SetOp::new(author, rng.number(), 1, kind, parents, 0);
            let mut bytes = op.bytes;
            if kind == 0 && op.parents.is_empty() {
                bytes.truncate(3);
            }
            Frame::Ops(Ops {
                channel,
                ops: vec![OpBytes(bytes)],
                mark: (!rng.one_in(2)).then_some(mark),
            })
        }
        12 => Frame::Done(Done { channel, mark }),
        13 => Frame::Ack(Ack {
            channel,
            bytes: rng.number() >> rng.below(64),
            token: mark.token,
        }),
        14 => Frame::Beat(Beat {
            channel,
            bytes: rng.number() >> rng.below(64),
            summary: (!rng.one_in(3)).then(|| summary(rng)),
        }),
        15 => Frame::Probe(Probe {
            channel,
            from: 0,
            upto: 1,
            hashes: vec![rng.array()],
        }),
        16 => Frame::BlobAsk(BlobAsk {
            channel,
            cid: Cid::of(b"code"),
            offset: rng.number(),
        }),
        17 => Frame::Find(Find {
            number: u32::try_from(rng.below(30)).unwrap(),
            name: "n".repeat(rng.below(257)),
        }),
        18 => Frame::Found(Found {
            number: u32::try_from(rng.below(3)).unwrap(),
            record: (!rng.one_in(2)).then(|| rng.bytes(40)),
        }),
        _ => match rng.one_in(2) {
            true => Frame::BlobPart(BlobAnswer {
                channel,
                cid: Cid::of(b"code"),
                length: Some(rng.number()),
                offset: 0,
                bytes: vec![1, 2],
            }),
            false => Frame::End(End {
                channel,
                reason: EndReason::Closing,
            }),
        },
    }
}
