//! A store that is a set of ops, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use lattice_backend::engine::read::PeerRow;
use lattice_backend::op::OpRef;
use lattice_backend::op::{Has, Lacking, OpOrder, OpsEnd, ReplicaView};
use lattice_meta::{OpId, PubKey, StateHash};
use lattice_sync::host::{Ingested, Standing};
use lattice_sync::wire::{Cursor, Tip};

use crate::sim::disk::{Disk, Fate, tips_of};

/// Ops dated further ahead are put off.
pub(crate) const AHEAD_MS: u64 = 10 * 60_000;
/// An op that old code cannot apply.
const POISON: u8 = 1;
/// An op with a wrong signature.
pub(crate) const FORGED: u8 = 2;

/// A decoded op.
#[derive(Debug)]
pub(crate) struct SetOp {
    pub(crate) op: OpRef,
    pub(crate) ms: u64,
    pub(crate) kind: u8,
    pub(crate) parents: Vec<OpRef>,
    pub(crate) bytes: Vec<u8>,
}

impl SetOp {
    /// Makes an op; its id is the hash of all that is in it.
    pub(crate) fn new(
        author: PubKey,
        seq: u64,
        ms: u64,
        kind: u8,
        parents: Vec<OpRef>,
        filling: usize,
    ) -> Self {
        let mut bytes = vec![kind];
        bytes.extend(author.as_bytes());
        bytes.extend(seq.to_le_bytes());
        bytes.extend(ms.to_le_bytes());
        bytes.push(u8::try_from(parents.len()).unwrap());
        parents
            .iter()
            .for_each(|parent| bytes.extend(parent.to_key()));
        bytes.resize(bytes.len() + filling, 7);
        Self::decode(bytes).unwrap()
    }

    pub(crate) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (author, rest) = rest.split_first_chunk::<32>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (ms, rest) = rest.split_first_chunk::<8>()?;
        let (count, mut rest) = rest.split_first()?;
        let mut parents = Vec::new();
        for _ in 0..*count {
            let (parent, after) = rest.split_first_chunk::<72>()?;
            parents.push(OpRef::from_key(parent)?);
            rest = after;
        }
        let op = OpRef {
            author: PubKey::from_bytes(*author),
            seq: u64::from_le_bytes(*seq),
            id: OpId::from_bytes(*blake3::hash(&bytes).as_bytes()),
        };
        Some(Self {
            op,
            ms: u64::from_le_bytes(*ms),
            kind: *kind,
            parents,
            bytes,
        })
    }

    fn prev(&self) -> Option<OpRef> {
        let is_own = |parent: &&OpRef| parent.author == self.op.author;
        self.parents.iter().find(is_own).copied()
    }
}

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct SetStore {
    pub(crate) author: PubKey,
    ops: BTreeMap<OpRef, Rc<SetOp>>,
    order: Vec<OpRef>,
    places: BTreeMap<OpRef, u64>,
    durable: usize,
    held: BTreeMap<u64, OpRef>,
    is_held: BTreeSet<OpRef>,
    next_held: u64,
    pending: Vec<Rc<SetOp>>,
    rows: BTreeMap<(PubKey, PeerRow), Cursor>,
    pub(crate) refused: BTreeSet<PubKey>,
    /// Whether its code cannot apply poisoned ops.
    pub(crate) is_old: bool,
    /// Whether its author writes poisoned ops now and then.
    pub(crate) writes_poison: bool,
    filling: usize,
    is_corrupt: bool,
}

impl SetStore {
    pub(crate) fn new(author: PubKey, filling: usize) -> Self {
        Self {
            author,
            ops: BTreeMap::new(),
            order: Vec::new(),
            places: BTreeMap::new(),
            durable: 0,
            held: BTreeMap::new(),
            is_held: BTreeSet::new(),
            next_held: 0,
            pending: Vec::new(),
            rows: BTreeMap::new(),
            refused: BTreeSet::new(),
            is_old: false,
            writes_poison: false,
            filling,
            is_corrupt: false,
        }
    }

    fn is_here(&self, op: &OpRef) -> bool {
        self.places.contains_key(op) || self.is_held.contains(op)
    }

    /// Applies or holds an op whose parents are here.
    pub(crate) fn put(&mut self, op: Rc<SetOp>) -> Result<u64, u64> {
        let follows_held = op
            .parents
            .iter()
            .any(|parent| self.is_held.contains(parent));
        let (key, is_bad) = (op.op, self.is_old && op.kind == POISON);
        self.ops.insert(key, op);
        if follows_held || is_bad {
            let number = self.next_held;
            self.held.insert(number, key);
            self.is_held.insert(key);
            self.next_held += 1;
            return Err(number);
        }
        let index = self.order.len() as u64;
        self.order.push(key);
        self.places.insert(key, index);
        Ok(index)
    }

    fn durable_ops(&self) -> impl Iterator<Item = &OpRef> {
        self.order[..self.durable].iter().chain(self.held.values())
    }

    fn tips(&self) -> BTreeSet<OpRef> {
        let mut tips: BTreeSet<OpRef> = self.durable_ops().copied().collect();
        for op in self.durable_ops() {
            if let Some(prev) = self.ops[op].prev() {
                tips.remove(&prev);
            }
        }
        tips
    }

    fn missing(&self, op: &SetOp) -> bool {
        op.parents.iter().any(|parent| !self.is_here(parent))
    }
}

impl Disk for SetStore {
    fn view(&self) -> ReplicaView {
        let mut sum = u128::from(self.is_corrupt);
        for op in &self.order[..self.durable] {
            let (first, _) = op.id.as_bytes().split_first_chunk::<16>().unwrap();
            sum = sum.wrapping_add(u128::from_le_bytes(*first));
        }
        let mut state = [0; 32];
        state[..16].copy_from_slice(&sum.to_le_bytes());
        ReplicaView {
            end: self.place(),
            held: self.held.len() as u64,
            tips: Arc::from_iter(self.tips()),
            state: StateHash::from_bytes(state),
        }
    }

    fn place(&self) -> OpsEnd {
        OpsEnd {
            applied: self.durable as u64,
            held: self.next_held,
        }
    }

    fn visible(&self) -> OpsEnd {
        OpsEnd {
            applied: self.order.len() as u64,
            held: self.next_held,
        }
    }

    fn tips_since(&self, from: u64) -> Vec<Tip> {
        let new = &self.order[from as usize..self.durable];
        tips_of(new.iter().chain(self.held.values()).copied(), self.tips())
    }

    fn weigh(&self, tips: &[OpRef]) -> (Vec<Standing>, Vec<OpRef>) {
        let mut authors = BTreeSet::new();
        let standing = tips.iter().map(|tip| match self.has(tip) {
            true => Standing::Here,
            false if self.refused.contains(&tip.author) => Standing::Refused,
            false => {
                authors.insert(tip.author);
                Standing::Lacking
            }
        });
        let standing = standing.collect();
        let mut known = BTreeSet::new();
        for tip in self
            .tips()
            .into_iter()
            .filter(|tip| authors.contains(&tip.author))
        {
            let (mut at, mut step, mut next) = (Some(tip), 0_u64, 0_u64);
            while let Some(op) = at {
                if step == next {
                    known.insert(op);
                    next = (next * 2).max(1);
                }
                step += 1;
                at = self.ops[&op].prev();
            }
        }
        (standing, known.into_iter().collect())
    }

    fn plan(&self, lacking: &Lacking, until: OpsEnd) -> Vec<OpRef> {
        let mut has = BTreeSet::new();
        let mut before = BTreeMap::new();
        if let Lacking::Of(lacks) = lacking {
            for lack in lacks {
                match &lack.has {
                    Has::Before(index) => {
                        before.insert(lack.author, *index);
                    }
                    Has::Ops(ops) => {
                        before.insert(lack.author, 0);
                        for op in ops.iter().filter(|op| self.has(op)) {
                            let mut at = Some(*op);
                            while let Some(op) = at.filter(|op| has.insert(*op)) {
                                at = self.ops[&op].prev();
                            }
                        }
                    }
                }
            }
        }
        let is_all = *lacking == Lacking::All;
        let is_lacking = |op: &OpRef, index: u64| {
            let from = before.get(&op.author).copied();
            is_all || from.is_some_and(|from| index >= from) && !has.contains(op)
        };
        let applied = self.order[..until.applied as usize].iter();
        let applied = applied.filter(|op| is_lacking(op, self.places[*op]));
        let held = self.held.range(..until.held).map(|(_, op)| op);
        let held = held.filter(|op| is_lacking(op, u64::MAX));
        applied.chain(held).copied().collect()
    }

    fn bytes(&self, op: &OpRef) -> Vec<u8> {
        self.ops[op].bytes.clone()
    }

    fn read(&self, order: OpOrder, from: u64, until: u64, max: usize) -> (Vec<OpRef>, u64) {
        let all: Vec<(u64, OpRef)> = match order {
            OpOrder::Applied => {
                let until = (until as usize).min(self.order.len());
                let indexes = from..until as u64;
                indexes
                    .map(|index| (index, self.order[index as usize]))
                    .collect()
            }
            OpOrder::Held => {
                let held = self.held.range(from..until.max(from));
                held.map(|(number, op)| (*number, *op)).collect()
            }
        };
        let (mut ops, mut next, mut bytes) = (Vec::new(), until, 0);
        for (number, op) in all {
            let len = self.ops[&op].bytes.len();
            if !ops.is_empty() && bytes + len > max {
                next = number;
                break;
            }
            bytes += len;
            ops.push(op);
        }
        (ops, next)
    }

    fn ingest(
        &mut self,
        ops: Vec<Vec<u8>>,
        note: Option<(PubKey, Cursor)>,
        now_ms: u64,
    ) -> (Ingested, Vec<(OpRef, Fate)>) {
        let mut report = Ingested::default();
        let mut given = Vec::new();
        let mut fates = BTreeMap::new();
        for bytes in ops {
            let Some(op) = SetOp::decode(bytes).filter(|op| op.kind != FORGED) else {
                report.invalid += 1;
                continue;
            };
            let op = Rc::new(op);
            given.push(op.op);
            if self.is_here(&op.op) {
                report.known += 1;
                fates.insert(op.op, Fate::Known);
            } else if self.refused.contains(&op.op.author) {
                report.refused += 1;
                report.refused_authors.push(op.op.author);
            } else if !self.pending.iter().any(|pending| pending.op == op.op) {
                self.pending.push(op);
            }
        }
        // Whatever can be applied is, in any number of passes.
        let is_given: BTreeSet<OpRef> = given.iter().copied().collect();
        loop {
            let is_ready = |op: &Rc<SetOp>| !self.missing(op) && op.ms <= now_ms + AHEAD_MS;
            let Some(found) = self.pending.iter().position(is_ready) else {
                break;
            };
            let op = self.pending.remove(found);
            let key = op.op;
            let put = self.put(op);
            fates.insert(key, Fate::Arrived);
            match (is_given.contains(&key), put) {
                (true, Ok(index)) => report.applied.push(index),
                (true, Err(number)) => report.held.push(number),
                (false, _) => report.released += 1,
            }
        }
        for op in &self.pending {
            if is_given.contains(&op.op) {
                match op.ms > now_ms + AHEAD_MS {
                    true => report.later += 1,
                    false => report.waiting += 1,
                }
            }
            if op.ms > now_ms + AHEAD_MS {
                let due = op.ms - AHEAD_MS - now_ms;
                report.due_ms = Some(report.due_ms.map_or(due, |ms| ms.min(due)));
            }
        }
        report.refused_authors.sort_unstable();
        report.refused_authors.dedup();
        let is_complete = is_given.iter().all(|op| fates.contains_key(op));
        if let Some((peer, row)) = note.filter(|_| is_complete && report.invalid == 0) {
            self.rows.insert((peer, PeerRow::Mine), row);
            report.noted = true;
        }
        self.durable = self.order.len();
        report.place = self.place();
        let fate = |op: OpRef| (op, fates.get(&op).copied().unwrap_or(Fate::Not));
        // Where ops that were released came from is not known.
        let all = given.into_iter().map(fate).collect();
        (report, all)
    }

    fn row(&self, peer: &PubKey, row: PeerRow) -> Option<Cursor> {
        self.rows.get(&(*peer, row)).copied()
    }

    fn set_served(&mut self, peer: &PubKey, served: Cursor) {
        self.rows.insert((*peer, PeerRow::Served), served);
    }

    fn write(&mut self, now_ms: u64) {
        let own = self.order.iter().filter(|op| op.author == self.author);
        let prev = own.max_by_key(|op| (op.seq, op.id)).copied();
        if self.is_held.iter().any(|op| op.author == self.author) {
            return; // it would fork itself
        }
        let named: BTreeSet<OpRef> = self
            .order
            .iter()
            .flat_map(|op| self.ops[op].parents.clone())
            .collect();
        let others = self
            .order
            .iter()
            .filter(|op| op.author != self.author && !named.contains(op));
        let mut parents: Vec<OpRef> = prev.into_iter().collect();
        parents.extend(others.take(4));
        let after = parents.iter().map(|parent| self.ops[parent].ms + 1).max();
        let ms = after.unwrap_or(0).max(now_ms);
        let seq = prev.map_or(0, |prev| prev.seq + 1);
        let kind = u8::from(self.writes_poison && seq % 3 == 1) * POISON;
        let op = SetOp::new(self.author, seq, ms, kind, parents, self.filling);
        // A restored store can write an op again that it had written, and that waits to come back.
        self.pending.retain(|pending| pending.op != op.op);
        let _ = self.put(Rc::new(op));
    }

    fn sync(&mut self) {
        self.durable = self.order.len();
    }

    fn crash(&mut self) {
        for op in self.order.split_off(self.durable) {
            self.ops.remove(&op);
            self.places.remove(&op);
        }
        self.pending.clear();
    }

    fn copy(&self) -> Box<dyn Disk> {
        let mut copy = self.clone();
        copy.crash();
        Box::new(copy)
    }

    fn name(&self, bytes: &[u8]) -> Option<OpRef> {
        SetOp::decode(bytes.to_vec()).map(|op| op.op)
    }

    fn has(&self, op: &OpRef) -> bool {
        let place = self.places.get(op);
        place.is_some_and(|place| *place < self.durable as u64) || self.is_held.contains(op)
    }

    fn refuses(&self, author: &PubKey) -> bool {
        self.refused.contains(author)
    }

    fn all(&self) -> Vec<OpRef> {
        self.durable_ops().copied().collect()
    }

    fn parents(&self, op: &OpRef) -> Vec<OpRef> {
        self.ops[op].parents.clone()
    }

    fn latest_ms(&self) -> u64 {
        let pending = self.pending.iter().map(|op| op.ms);
        self.ops
            .values()
            .map(|op| op.ms)
            .chain(pending)
            .max()
            .unwrap_or(0)
    }

    fn corrupt(&mut self) {
        self.is_corrupt = true;
    }

    fn is_corrupt(&self) -> bool {
        self.is_corrupt
    }
}
