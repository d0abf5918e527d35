//! The view of history that a state machine gets.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use crate::backend::{ReadTx, Result};
use crate::history::system::Ledger;
use crate::history::{
    Forks, Index, Place, Tail, missing, read_head, read_indexed, read_op, read_place,
};
use crate::machine::History;
use crate::op::{ApplyIndex, Op, OpHasher, OpRef, OpView, Stamp};
use crate::state::EffectHash;

/// The most stamps in the cache.
const REMEMBERED: usize = 4096;

/// Caches stamps of indexed ops, which never change. It is only used for lookups, so the order of
/// the hash map cannot show.
#[derive(Debug, Default)]
pub(crate) struct Stamps(RefCell<HashMap<ApplyIndex, Stamp>>);

impl Stamps {
    fn get(&self, index: ApplyIndex, read: impl FnOnce() -> Result<Stamp>) -> Result<Stamp> {
        if let Some(stamp) = self.0.borrow().get(&index) {
            return Ok(*stamp);
        }
        let stamp = read()?;
        let mut stamps = self.0.borrow_mut();
        if stamps.len() >= REMEMBERED {
            stamps.clear();
        }
        stamps.insert(index, stamp);
        Ok(stamp)
    }
}

/// Reads which op has an apply index. The index by author holds its id: one lookup. An op that is
/// not indexed yet is short, so its id is computed.
fn read_stamp(tx: &dyn ReadTx, hasher: &OpHasher, index: ApplyIndex) -> Result<Stamp> {
    let (branch, author, seq, hlc) = read_head(tx, index)?;
    match read_indexed(tx, &author, branch, seq)? {
        Some((found, id)) if found == index => {
            let op = OpRef { author, seq, id };
            Ok(Stamp { hlc, op })
        }
        _ => Ok(read_op(tx, hasher, index)?
            .ok_or_else(|| missing(index))?
            .stamp()),
    }
}

fn show_op(
    tx: &dyn ReadTx,
    hasher: &OpHasher,
    index: ApplyIndex,
    see: &mut dyn FnMut(&OpView<'_>),
) -> Result<()> {
    let op = read_op(tx, hasher, index)?.ok_or_else(|| missing(index))?;
    see(&op.view(index));
    Ok(())
}

/// History as the writer of a store sees it, possibly while it applies an op.
pub(crate) struct Past<'a> {
    pub(crate) index: Index<'a>,
    pub(crate) hasher: &'a OpHasher,
    pub(crate) stamps: &'a Stamps,
    /// Applied ops that are not written yet, in the order of their apply indexes.
    pub(crate) unwritten: &'a [(Place, EffectHash, Op)],
    /// The op being applied, and its apply index.
    pub(crate) current: Option<(ApplyIndex, &'a Op)>,
}

impl Past<'_> {
    fn current(&self, index: ApplyIndex) -> Option<&Op> {
        let (current, op) = self.current?;
        (current == index).then_some(op)
    }

    /// Finds an op that is in no table yet.
    fn unwritten(&self, index: ApplyIndex) -> Option<&Op> {
        let place = self
            .unwritten
            .binary_search_by_key(&index, |(place, ..)| place.index);
        let unwritten = place.ok().map(|place| &self.unwritten[place].2);
        self.current(index).or(unwritten)
    }
}

impl History for Past<'_> {
    fn count(&self) -> Result<u64> {
        let tail = self.index.tail;
        Ok(tail.first().get() + u64::try_from(tail.stamps.len()).expect("a tail is short"))
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        Ok(self.index.place_of(op)?.map(|place| place.index))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        if let Some(op) = self.current(index) {
            return Ok(op.stamp());
        }
        let (tx, tail) = (self.index.tx, self.index.tail);
        if index >= tail.first() {
            let stamp = tail.stamp(index).copied();
            return stamp.ok_or_else(|| missing(index));
        }
        self.stamps
            .get(index, || read_stamp(tx, self.hasher, index))
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        match self.unwritten(index) {
            Some(op) => {
                see(&op.view(index));
                Ok(())
            }
            None => show_op(self.index.tx, self.hasher, index, see),
        }
    }
}

/// History as a snapshot shows it. It caches what it has read.
pub(crate) struct View<'a> {
    tx: &'a dyn ReadTx,
    hasher: OpHasher,
    tail: OnceCell<Tail>,
    stamps: Stamps,
}

impl<'a> View<'a> {
    pub(crate) fn new(tx: &'a dyn ReadTx, hasher: OpHasher) -> Self {
        Self {
            tx,
            hasher,
            tail: OnceCell::new(),
            stamps: Stamps::default(),
        }
    }

    fn tail(&self) -> Result<&Tail> {
        if let Some(tail) = self.tail.get() {
            return Ok(tail);
        }
        let ledger = Ledger::read(self.tx)?;
        let tail = Tail::read(self.tx, &self.hasher, ledger.indexed, ledger.applied)?;
        Ok(self.tail.get_or_init(|| tail))
    }
}

impl History for View<'_> {
    fn count(&self) -> Result<u64> {
        Ok(Ledger::read(self.tx)?.applied)
    }

    fn index_of(&self, op: &OpRef) -> Result<Option<ApplyIndex>> {
        let place = match read_place(self.tx, op, Forks::Some)? {
            None => self.tail()?.ops.get(op).copied(),
            place => place,
        };
        Ok(place.map(|place| place.index))
    }

    fn stamp(&self, index: ApplyIndex) -> Result<Stamp> {
        self.stamps
            .get(index, || read_stamp(self.tx, &self.hasher, index))
    }

    fn show(&self, index: ApplyIndex, see: &mut dyn FnMut(&OpView<'_>)) -> Result<()> {
        show_op(self.tx, &self.hasher, index, see)
    }
}

#[cfg(test)]
mod tests {
    use lattice_meta::{GenesisHash, Hlc, OpId};

    use super::*;
    use crate::backend::{MemoryBackend, StateBackend};
    use crate::history::{BranchNo, Place, write_op};
    use crate::op::{OpDraft, OpKind, SecretKey};

    fn ops(hasher: &OpHasher) -> Vec<Op> {
        let secret = SecretKey::from_bytes(&[7; 32]);
        let mut ops = Vec::<Op>::new();
        for seq in 0..4 {
            let draft = OpDraft {
                kind: OpKind::Application,
                seq,
                prev: ops.last().map_or(OpId::ZERO, |op| op.reference().id),
                hlc: Hlc::from_u64(10 + seq),
                deps: Vec::new(),
                payload: b"payload",
            };
            ops.push(draft.sign(hasher, &secret).expect("its form is right"));
        }
        ops
    }

    /// The four positions of an op: indexed, in the tail, not written yet, and being applied.
    #[test]
    fn an_op_is_found_before_during_and_after_indexing() {
        let hasher = OpHasher::new(&GenesisHash::from_bytes([3; 32]));
        let ops = ops(&hasher);
        let db = MemoryBackend::new().scratch().expect("there is memory");
        let mut tail = Tail::default();
        let mut tx = db.begin_write().expect("it begins");
        let place = |index| Place {
            index: ApplyIndex::new(index),
            branch: BranchNo::FIRST,
        };
        write_op(&mut *tx, place(0), &[0; 16], &ops[0]).expect("it writes");
        tail.push(&ops[0], place(0));
        tail.index(&mut *tx).expect("it writes");
        write_op(&mut *tx, place(1), &[0; 16], &ops[1]).expect("it writes");
        tail.push(&ops[1], place(1));
        tail.push(&ops[2], place(2));
        tx.commit()
            .expect("it commits")
            .wait()
            .expect("it is durable");
        let tx = db.snapshot().expect("it reads");
        let past = Past {
            index: Index {
                tx: &*tx,
                tail: &tail,
                forks: Forks::None,
            },
            hasher: &hasher,
            stamps: &Stamps::default(),
            unwritten: &[(
                Place {
                    index: ApplyIndex::new(2),
                    branch: BranchNo::FIRST,
                },
                [0; 16],
                ops[2].clone(),
            )],
            current: Some((ApplyIndex::new(3), &ops[3])),
        };
        for (index, op) in (0..).map(ApplyIndex::new).zip(&ops) {
            assert_eq!(past.stamp(index).expect("it is there"), op.stamp());
            let mut shown = None;
            past.show(index, &mut |op| shown = Some((op.index, op.reference)))
                .expect("it is there");
            assert_eq!(shown, Some((index, op.reference())));
        }
        let numbers = ops.iter().map(|op| past.index_of(&op.reference()));
        let numbers: Vec<_> = numbers.map(|index| index.expect("it reads")).collect();
        let expected = [Some(0), Some(1), Some(2), None];
        assert_eq!(numbers, expected.map(|index| index.map(ApplyIndex::new)));
        assert_eq!(past.count().expect("it reads"), 3);
        assert!(past.stamp(ApplyIndex::new(4)).is_err());
        assert!(past.show(ApplyIndex::new(4), &mut |_| ()).is_err());
    }
}
