//! Peers that do not keep to the protocol. Each does one thing; none harms the replica.

mod blob;
mod connection;
mod find;
mod news;
mod ops;

use lattice_backend::conformance::Rng;
use lattice_backend::op::OpRef;
use lattice_meta::{OpId, PubKey};
use lattice_sync::wire::{Frame, News, OpBytes, Ops, Tip};

use crate::desk::{CHANNEL, Desk};
use crate::sim::attack;
use crate::sim::disk::Disk;
use crate::sim::set::SetOp;
use crate::sim::world::key;

fn ops_frame(ops: Vec<Vec<u8>>) -> Frame {
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

fn news_frame(tips: Vec<Tip>, more: bool) -> Frame {
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
