//! What a simulated process keeps its stores in: the questions of the core, and what the checks of
//! the simulator ask beside them.

use std::collections::{BTreeMap, VecDeque};

use lattice_backend::engine::read::PeerRow;
use lattice_backend::op::OpRef;
use lattice_backend::op::{Lacking, OpOrder, OpsEnd, ReplicaView};
use lattice_meta::PubKey;
use lattice_sync::host::{Answer, Ingested, Loaded, Mode, Request, Standing};
use lattice_sync::wire::{Cursor, Tip};

/// What an ingest did to one op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is here.
    Arrived,
    /// It is here, and was before.
    Known,
    /// It is not.
    Not,
}

/// The tips of the authors of these ops, each with the author's least sequence number among them.
pub(crate) fn tips_of(
    ops: impl Iterator<Item = OpRef>,
    tips: impl IntoIterator<Item = OpRef>,
) -> Vec<Tip> {
    let mut after = BTreeMap::new();
    for op in ops {
        let least = after.entry(op.author).or_insert(op.seq);
        *least = op.seq.min(*least);
    }
    let tips = tips.into_iter().filter_map(|op| {
        let after = *after.get(&op.author)?;
        Some(Tip { op, after })
    });
    tips.collect()
}

/// A store on a disk. Crashes lose what is not durable.
pub(crate) trait Disk {
    fn view(&self) -> ReplicaView;
    fn place(&self) -> OpsEnd;
    /// What readers can see, durable or not.
    fn visible(&self) -> OpsEnd;
    fn tips_since(&self, from: u64) -> Vec<Tip>;
    fn weigh(&self, tips: &[OpRef]) -> (Vec<Standing>, Vec<OpRef>);
    fn plan(&self, lacking: &Lacking, until: OpsEnd) -> Vec<OpRef>;
    fn bytes(&self, op: &OpRef) -> Vec<u8>;
    fn read(&self, order: OpOrder, from: u64, until: u64, max: usize) -> (Vec<OpRef>, u64);
    fn ingest(
        &mut self,
        ops: Vec<Vec<u8>>,
        note: Option<(PubKey, Cursor)>,
        now_ms: u64,
    ) -> (Ingested, Vec<(OpRef, Fate)>);
    fn row(&self, peer: &PubKey, row: PeerRow) -> Option<Cursor>;
    fn set_served(&mut self, peer: &PubKey, served: Cursor);
    /// The store's author writes an op, which is not durable before `sync`.
    fn write(&mut self, now_ms: u64);
    fn sync(&mut self);
    fn crash(&mut self);
    fn copy(&self) -> Box<dyn Disk>;
    /// The op that these bytes are.
    fn name(&self, bytes: &[u8]) -> Option<OpRef>;
    /// Whether an op is durable here.
    fn has(&self, op: &OpRef) -> bool;
    fn refuses(&self, author: &PubKey) -> bool;
    /// All durable ops, applied ones first and in their order.
    fn all(&self) -> Vec<OpRef>;
    fn parents(&self, op: &OpRef) -> Vec<OpRef>;
    /// The time of the op that is dated last, in milliseconds.
    fn latest_ms(&self) -> u64;
    /// Makes the stored state other than the history says.
    fn corrupt(&mut self);
    fn is_corrupt(&self) -> bool;
}

/// The ops of a plan that are still to be read.
pub(crate) type Plan = VecDeque<OpRef>;

/// Answers a question of a core, and says what an ingest did to each op.
pub(crate) fn answer(
    disk: &mut dyn Disk,
    plan: &mut Plan,
    mode: Mode,
    peer: PubKey,
    request: Request,
    now_ms: u64,
) -> (Answer, Vec<(OpRef, Fate)>) {
    let with_bytes = |disk: &dyn Disk, ops: Vec<OpRef>| {
        let ops = ops.into_iter();
        ops.map(|op| (op, disk.bytes(&op))).collect::<Vec<_>>()
    };
    let answer = match request {
        Request::Load { .. } => Answer::Loaded(Box::new(Loaded {
            view: disk.view(),
            mine: disk.row(&peer, PeerRow::Mine),
            served: disk.row(&peer, PeerRow::Served),
            mode,
        })),
        Request::View => Answer::View(disk.view()),
        Request::TipsSince { from } => Answer::Tips {
            tips: disk.tips_since(from),
            place: disk.place(),
        },
        Request::Weigh { tips } => {
            let (standing, known) = disk.weigh(&tips);
            Answer::Weighed { standing, known }
        }
        Request::Plan { lacking, until } => {
            *plan = disk.plan(&lacking, until).into();
            let ops = plan.len() as u64;
            Answer::Planned { ops, bytes: 0 }
        }
        Request::ReadPlan { max_bytes } => {
            let (mut ops, mut bytes) = (Vec::new(), 0);
            while let Some(op) = plan.front().copied() {
                bytes += disk.bytes(&op).len();
                if !ops.is_empty() && bytes > max_bytes {
                    break;
                }
                ops.push(op);
                plan.pop_front();
            }
            Answer::Slice {
                ops: with_bytes(disk, ops),
                next: 0,
                last: plan.is_empty(),
            }
        }
        Request::Read {
            order,
            from,
            until,
            max_bytes,
        } => {
            let (ops, next) = disk.read(order, from, until, max_bytes);
            Answer::Slice {
                ops: with_bytes(disk, ops),
                next,
                last: false,
            }
        }
        Request::Ingest { ops, note } => {
            let note = note.map(|row| (peer, row));
            let (report, fates) = disk.ingest(ops, note, now_ms);
            return (Answer::Ingested(Box::new(report)), fates);
        }
        Request::Blob { .. } => Answer::Blob {
            length: None,
            bytes: Vec::new(),
        },
        Request::Trace { .. } => Answer::Traced {
            ops: 0,
            hashes: Vec::new(),
        },
    };
    (answer, Vec::new())
}
