//! What must be true of a replica, and of replicas of one history.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lattice_meta::Hlc;

use crate::backend::tx::NoRows;
use crate::backend::{Direction, EVERYTHING, Result as BackendResult, Rows, Span};
use crate::conformance::machine::deliver::{Manner, Recipient, causal_order};
use crate::conformance::machine::history::broke;
use crate::conformance::machine::{Rng, Trial};
use crate::engine::Engine;
use crate::machine::{DataRead, Effect, History, StateMachine};
use crate::op::{Op, OpKind, OpRef, OpView, Stamp};
use crate::state::{Accumulator, EffectHash, ElementHasher, Staged};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The state of a replica, read row by row.
struct Picture {
    rows: Pairs,
    elements: Pairs,
}

impl Picture {
    /// Reads everything; checks that elements are unique and sum up to the state hash.
    fn take<M: StateMachine>(engine: &Engine<M>) -> Result<Self, String> {
        let failed = |error| broke("reading the state", &error);
        let snapshot = engine.snapshot().map_err(failed)?;
        let (mut rows, mut elements) = (Pairs::new(), Pairs::new());
        let hasher = ElementHasher::default();
        let mut sum = Accumulator::default();
        let mut twice = None;
        let history = snapshot.history();
        let mut cursor = snapshot
            .range(EVERYTHING, Direction::Forward)
            .map_err(failed)?;
        while let Some(row) = cursor.next().map_err(failed)? {
            rows.insert(row.key.to_vec(), row.value.to_vec());
            let schema = engine.schema_version();
            let mut element = |key: &[u8], value: &[u8]| {
                sum.insert(&hasher, key, value);
                if elements.insert(key.to_vec(), value.to_vec()).is_some() {
                    twice.get_or_insert_with(|| text(key));
                }
            };
            engine
                .machine()
                .elements(schema, row, &history, &mut element)
                .map_err(|error| broke("`elements`", &error))?;
        }
        if let Some(key) = twice {
            return Err(format!("two elements of one state have the key {key}"));
        }
        let scanned = sum.state_hash(&engine.genesis().hash());
        let kept = snapshot.state_hash().map_err(failed)?;
        if scanned != kept {
            return Err(format!(
                "the state hash is {kept}, a scan of the elements gives {scanned}: \
                 `elements` does not depend on its row alone"
            ));
        }
        Ok(Self { rows, elements })
    }

    fn demand_same_elements(&self, other: &Self, when: &str) -> Result<(), String> {
        match first_difference(&self.elements, &other.elements) {
            Some(difference) => Err(format!("the state depends on {when}: {difference}")),
            None => Ok(()),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn first_difference(left: &Pairs, right: &Pairs) -> Option<String> {
    let key = left
        .keys()
        .chain(right.keys())
        .filter(|key| left.get(*key) != right.get(*key))
        .min()?;
    let side = |pairs: &Pairs| pairs.get(key).map_or("nothing".into(), |value| text(value));
    Some(format!(
        "at key {} one has {}, the other {}",
        text(key),
        side(left),
        side(right)
    ))
}

fn effects<M: StateMachine>(engine: &Engine<M>) -> Result<Vec<EffectHash>, String> {
    let failed = |error| broke("reading effects", &error);
    let count = engine.op_count().map_err(failed)?;
    (0..count)
        .map(|index| {
            let effect = engine.effect_at(index).map_err(failed)?;
            effect.ok_or_else(|| format!("no effect under index {index}"))
        })
        .collect()
}

impl<M: StateMachine> Trial<'_, M> {
    fn recipient(&self) -> Result<Recipient<M>, String> {
        Recipient::new(self.genesis(), (self.make)())
    }

    /// The first ops of the history, in every order and manner, give one state.
    pub(super) fn convergence(
        &self,
        rng: &mut Rng,
        count: usize,
        orders: usize,
    ) -> Result<(), String> {
        let ops = &self.past.ops[..count.min(self.past.ops.len())];
        let first = self.recipient()?;
        first.deliver(rng, ops, Manner::OneByOne)?;
        let expected = Picture::take(&first.engine)?;
        for nth in 0..orders {
            let order = causal_order(rng, ops);
            let recipient = self.recipient()?;
            recipient.deliver(rng, &order, Manner::nth(nth))?;
            let found = Picture::take(&recipient.engine)?;
            if let Err(message) = expected.demand_same_elements(&found, "the order of arrival") {
                return Err(format!(
                    "{message}\n  one order: {}\n  the other: {}",
                    listing(&applied_order(&first.engine)?),
                    listing(&applied_order(&recipient.engine)?)
                ));
            }
        }
        Ok(())
    }

    /// The same order gives the same rows and the same effects, whatever the transactions, and
    /// whether or not the store was opened again in between.
    pub(super) fn determinism(&self, rng: &mut Rng) -> Result<(), String> {
        let order = causal_order(rng, &self.past.ops);
        let first = self.recipient()?;
        first.deliver(rng, &order, Manner::OneByOne)?;
        let expected = (Picture::take(&first.engine)?, effects(&first.engine)?);
        let mut second = self.recipient()?;
        let (before, after) = order.split_at(rng.below(order.len() + 1));
        second.in_batches(rng, &before.iter().collect::<Vec<_>>(), 64)?;
        second.reopen((self.make)())?;
        Picture::take(&second.engine)?;
        second.in_batches(rng, &after.iter().collect::<Vec<_>>(), 1)?;
        let found = (Picture::take(&second.engine)?, effects(&second.engine)?);
        if let Some(difference) = first_difference(&expected.0.rows, &found.0.rows) {
            return Err(format!(
                "the same ops in the same order gave different rows: {difference}"
            ));
        }
        match (0..)
            .zip(expected.1.iter().zip(&found.1))
            .find(|(_, (one, other))| one != other)
        {
            Some((index, _)) => {
                let index: usize = index;
                Err(format!(
                    "the same ops in the same order had different effects, first op {index}: {}",
                    order[index].reference()
                ))
            }
            None => Ok(()),
        }
    }

    /// A payload is valid in an empty store if and only if it is in the finished one.
    pub(super) fn validity(&self) -> Result<(), String> {
        let finished = self.recipient()?;
        let all: Vec<&Op> = self.past.ops.iter().collect();
        finished.in_batches(&mut Rng::new(0), &all, 64)?;
        let snapshot = finished
            .engine
            .snapshot()
            .map_err(|error| broke("reading the state", &error))?;
        let real = snapshot.history();
        let machine = finished.engine.machine();
        let bases: [&dyn DataRead; 2] = [&Nothing, &snapshot];
        for op in all.iter().filter(|op| op.kind() == OpKind::Application) {
            let mut verdicts = Vec::new();
            for base in bases {
                for history in [false, true] {
                    let mut staged = Staged::new(base);
                    let history = Always {
                        answer: history,
                        real: &real,
                        made_up: RefCell::default(),
                    };
                    let number = real.number(&op.reference());
                    let number = number.map_err(|error| broke("reading history", &error))?;
                    let view = op.view(number.unwrap_or(0));
                    let verdict = machine.apply(&view, &mut staged, &history);
                    verdicts.push(verdict.map_err(|error| broke("`apply`", &error))?);
                }
            }
            if verdicts.contains(&Effect::Void) && verdicts.contains(&Effect::Applied) {
                return Err(format!(
                    "whether a payload is valid depends on more than its bytes: {}",
                    text(op.payload())
                ));
            }
        }
        Ok(())
    }
}

fn applied_order<M: StateMachine>(engine: &Engine<M>) -> Result<Vec<OpRef>, String> {
    let failed = |error| broke("reading history", &error);
    let count = engine.op_count().map_err(failed)?;
    let ops = (0..count).map(|index| engine.op_at(index).map_err(failed));
    let ops: Result<Vec<_>, _> = ops.collect();
    Ok(ops?
        .into_iter()
        .flatten()
        .map(|op| op.reference())
        .collect())
}

fn listing(order: &[OpRef]) -> String {
    let names: Vec<String> = order.iter().map(OpRef::to_string).collect();
    names.join(" ")
}

/// A state without rows.
struct Nothing;

impl DataRead for Nothing {
    fn get(&self, _: &[u8]) -> BackendResult<Option<Vec<u8>>> {
        Ok(None)
    }

    fn range(&self, _: Span<'_>, _: Direction) -> BackendResult<Rows<'_>> {
        Ok(Box::new(NoRows))
    }
}

/// A history that has the same answer to every question whether an op is applied. Ops that are not get apply
/// indexes after those that are.
struct Always<'a> {
    answer: bool,
    real: &'a dyn History,
    made_up: RefCell<Vec<OpRef>>,
}

impl Always<'_> {
    /// The op with a made-up apply index.
    fn made_up(&self, number: u64) -> BackendResult<Option<OpRef>> {
        let place = number.checked_sub(self.real.count()?);
        let place = place.and_then(|place| usize::try_from(place).ok());
        Ok(place.and_then(|place| self.made_up.borrow().get(place).copied()))
    }
}

impl History for Always<'_> {
    fn count(&self) -> BackendResult<u64> {
        self.real.count()
    }

    fn number(&self, op: &OpRef) -> BackendResult<Option<u64>> {
        if !self.answer {
            return Ok(None);
        }
        if let Some(number) = self.real.number(op)? {
            return Ok(Some(number));
        }
        let mut made_up = self.made_up.borrow_mut();
        let place = made_up.iter().position(|known| known == op);
        let place = place.unwrap_or_else(|| {
            made_up.push(*op);
            made_up.len() - 1
        });
        let place = u64::try_from(place).expect("what is in memory can be counted");
        Ok(Some(self.real.count()? + place))
    }

    fn stamp(&self, number: u64) -> BackendResult<Stamp> {
        match self.made_up(number)? {
            Some(op) => Ok(Stamp { hlc: Hlc::ZERO, op }),
            None => self.real.stamp(number),
        }
    }

    fn show(&self, number: u64, see: &mut dyn FnMut(&OpView<'_>)) -> BackendResult<()> {
        match self.made_up(number)? {
            Some(reference) => {
                see(&OpView {
                    number,
                    reference,
                    hlc: Hlc::ZERO,
                    payload: &[],
                });
                Ok(())
            }
            None => self.real.show(number, see),
        }
    }
}
