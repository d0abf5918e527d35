//! Random histories: replicas write independently, exchange some of their ops, and fork.

use std::num::NonZero;

use lattice_meta::{Genesis, Hlc, Nonce, OpId, PubKey};

use crate::conformance::Rng;
use crate::conformance::broke::broke;
use crate::conformance::machine::broken::{Broken, Rule, unless_refused};
use crate::conformance::machine::case::Case;
use crate::conformance::machine::context::Keys;
use crate::conformance::machine::hostile::{Forger, own_payload};
use crate::conformance::machine::model::{Applied, Model};
use crate::conformance::machine::{Commands, HostilePayloads};
use crate::engine::contain::{Decoded, contain, decode};
use crate::machine::StateMachine;
use crate::op::{Op, OpDraft, OpHasher, OpKind, OpRef};

/// The start time of histories, in milliseconds since the Unix epoch.
pub(super) const BEGINNING_MS: u64 = 1_700_000_000_000;
/// The most replicas, including copies with the same author.
const MAX_REPLICAS: usize = 6;

/// A finished history: its unsigned ops in one causal order.
pub(super) struct Story {
    pub(super) ops: Vec<Op>,
}

/// Why building a history failed.
pub(super) struct Unbuilt {
    pub(super) broken: Broken,
    /// A case that reproduces the failure, if ops do.
    pub(super) case: Option<Box<Case>>,
}

impl From<Broken> for Unbuilt {
    fn from(broken: Broken) -> Self {
        let case = None;
        Self { broken, case }
    }
}

/// How often replicas exchange ops. With `Seldom`, chains of causes are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    Often,
    Seldom,
}

struct Replica<M> {
    machine: M,
    model: Model,
    author: PubKey,
    clock_ms: u64,
}

/// What histories are built from.
pub(super) struct Source<'a, 'b, M: StateMachine> {
    pub(super) make: &'a (dyn Fn() -> M + 'b),
    pub(super) command: &'a mut Commands<'b, M>,
    pub(super) hostile: Option<&'a mut HostilePayloads<'b>>,
    pub(super) keys: &'a Keys,
    pub(super) divisor: NonZero<u64>,
}

struct Builder<'r, 'a, 'b, M: StateMachine> {
    rng: &'r mut Rng,
    source: Source<'a, 'b, M>,
    hasher: OpHasher,
    replicas: Vec<Replica<M>>,
    forger: Forger,
    contact: Contact,
}

/// The genesis record of a history.
pub(super) fn genesis<M: StateMachine>(
    rng: &mut Rng,
    machine: &M,
    owner: PubKey,
) -> Result<Genesis, Broken> {
    let hlc = Hlc::from_parts(BEGINNING_MS, 0)
        .map_err(|error| Broken::new(Rule::Error, broke("dating", &error)))?;
    let nonce = Nonce::from_bytes(rng.array());
    let store_type = machine.logic().store_type().clone();
    Ok(Genesis::new(store_type, owner, nonce, hlc, None))
}

/// Turns a command into a payload; `None` if the state machine refuses it.
pub(super) fn prepare<M: StateMachine>(
    machine: &M,
    command: &M::Command,
    model: &Model,
) -> Result<Option<Vec<u8>>, Broken> {
    let prepared = contain(|| machine.prepare(command, &model.rows, &model.past()));
    unless_refused("`prepare`", prepared)
}

/// Makes an author's op after some ops of a replica, at the given time or later.
pub(super) fn compose(
    hasher: &OpHasher,
    author: PubKey,
    applied: &Applied,
    deps: Vec<OpRef>,
    now_ms: u64,
    payload: &[u8],
) -> Result<Op, Broken> {
    let failed = |error: &dyn std::error::Error| {
        Broken::new(Rule::Error, broke("making an op of a command", error))
    };
    let now = Hlc::from_parts(now_ms, 0).map_err(|error| failed(&error))?;
    let after = applied.clock().and_then(Hlc::successor);
    let tip = applied.tip(&author);
    let draft = OpDraft {
        kind: OpKind::Application,
        seq: tip.map_or(0, |tip| tip.seq + 1),
        prev: tip.map_or(OpId::ZERO, |tip| tip.id),
        hlc: after.map_or(now, |after| after.max(now)),
        deps: deps.into_iter().filter(|dep| Some(*dep) != tip).collect(),
        payload,
    };
    draft
        .compose(hasher, author)
        .map_err(|error| failed(&error))
}

impl Story {
    pub(super) fn build<M: StateMachine>(
        rng: &mut Rng,
        source: Source<'_, '_, M>,
        genesis: &Genesis,
        steps: usize,
    ) -> Result<Self, Unbuilt> {
        let mut authors = source.keys.authors();
        let own = authors.pop().expect("there is the forger's key");
        rng.shuffle(&mut authors);
        let contact = match rng.one_in(3) {
            true => Contact::Seldom,
            false => Contact::Often,
        };
        let mut builder = Builder {
            rng,
            source,
            hasher: OpHasher::new(&genesis.hash()),
            replicas: Vec::new(),
            forger: Forger::new(own, &authors),
            contact,
        };
        for author in authors {
            builder.add_replica(author, Model::default());
        }
        for _ in 0..steps {
            builder.step()?;
        }
        let ops = builder.finish();
        Ok(Self { ops })
    }
}

impl<M: StateMachine> Builder<'_, '_, '_, M> {
    fn add_replica(&mut self, author: PubKey, model: Model) {
        // Clocks differ by up to a minute.
        let skew_ms = self.rng.number() % 60_000;
        self.replicas.push(Replica {
            machine: (self.source.make)(),
            model,
            author,
            clock_ms: BEGINNING_MS + skew_ms,
        });
    }

    fn step(&mut self) -> Result<(), Unbuilt> {
        let at = self.rng.below(self.replicas.len());
        // Often by 0: ids order ops with equal timestamps.
        self.replicas[at].clock_ms += [0, 0, 1, 1000][self.rng.below(4)];
        match self.rng.below(16) {
            0..=7 => self.append(at),
            8..=12 if self.contact == Contact::Often || self.rng.one_in(5) => {
                let from = self.rng.below(self.replicas.len());
                self.exchange(from, at)
            }
            8..=12 => self.append(at),
            13 if self.replicas.len() < MAX_REPLICAS => {
                self.copy(at);
                Ok(())
            }
            _ => self.forge(at),
        }
    }

    fn append(&mut self, at: usize) -> Result<(), Unbuilt> {
        let command = (self.source.command)(self.rng);
        let replica = &self.replicas[at];
        let Some(payload) = prepare(&replica.machine, &command, &replica.model)? else {
            return Ok(());
        };
        let applied = &replica.model.applied;
        let deps = applied.frontier().iter().copied().collect();
        let (author, now_ms) = (replica.author, replica.clock_ms);
        let op = compose(&self.hasher, author, applied, deps, now_ms, &payload)?;
        if matches!(decode(&replica.machine, &op), Decoded::Nothing) {
            let message = "`prepare` made a payload that `decode` finds invalid";
            return Err(Broken::new(Rule::Prepare, message).into());
        }
        self.apply(at, &op)
    }

    fn apply(&mut self, at: usize, op: &Op) -> Result<(), Unbuilt> {
        let divisor = self.source.divisor;
        let Replica { machine, model, .. } = &mut self.replicas[at];
        let decoded = decode(&*machine, op);
        match model.apply(&*machine, op, decoded, divisor) {
            Ok(_) => Ok(()),
            Err(broken) => {
                let case = Some(Box::new(Case::failing(model, op, divisor)));
                Err(Unbuilt { broken, case })
            }
        }
    }

    /// Sends some ops of one replica to another: a prefix of them, or random ones.
    fn exchange(&mut self, from: usize, to: usize) -> Result<(), Unbuilt> {
        let known = &self.replicas[to].model.applied;
        let ops = self.replicas[from].model.applied.ops().iter();
        let mut ops: Vec<Op> = ops
            .filter(|op| !known.contains(&op.reference()))
            .cloned()
            .collect();
        match self.rng.below(4) {
            0 => ops.retain(|_| !self.rng.one_in(4)),
            1 => ops.truncate(self.rng.below(ops.len() + 1)),
            _ => {}
        }
        for op in ops {
            if self.replicas[to].model.applied.can_follow(&op) {
                self.apply(to, &op)?;
            }
        }
        Ok(())
    }

    /// Copies a replica. Both then write with the same key, and so fork their author.
    fn copy(&mut self, from: usize) {
        let Replica { author, model, .. } = &self.replicas[from];
        let (author, model) = (*author, model.clone());
        self.add_replica(author, model);
    }

    /// Sends a replica an op that no honest replica would make.
    fn forge(&mut self, at: usize) -> Result<(), Unbuilt> {
        let known = self.replicas[at].model.applied.ops();
        let payload = match self.source.hostile.as_mut() {
            Some(hostile) if !self.rng.one_in(3) => hostile(self.rng, known),
            _ => own_payload(self.rng, known),
        };
        let op = self.forger.forge(self.rng, &self.hasher, known, &payload)?;
        match self.replicas[at].model.applied.can_follow(&op) {
            true => self.apply(at, &op),
            false => Ok(()),
        }
    }

    /// The ops of all replicas, in one causal order.
    fn finish(self) -> Vec<Op> {
        let mut all = Applied::default();
        for replica in &self.replicas {
            for op in replica.model.applied.ops() {
                if !all.contains(&op.reference()) {
                    all.push(op);
                }
            }
        }
        all.ops().to_vec()
    }
}
