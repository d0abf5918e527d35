//! Random histories: replicas that write apart, exchange some of what they have, and fork.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_meta::{Genesis, Hlc, Nonce};

use crate::backend::MemoryBackend;
use crate::clock::ManualClock;
use crate::conformance::machine::hostile::{Forger, own_payload};
use crate::conformance::machine::{Commands, HostilePayloads, Rng};
use crate::engine::Engine;
use crate::engine::ingest::Authors;
use crate::engine::open::OpenRequest;
use crate::engine::write::AppendError;
use crate::machine::StateMachine;
use crate::op::{BranchTips, Op, SecretKey};

/// When histories begin, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_700_000_000_000;
/// Honest authors.
const AUTHORS: usize = 3;
/// Replicas at the most, copies under the key of an author included.
const MAX_REPLICAS: usize = 6;

/// A finished history: its ops in one causal order.
pub(super) struct Past {
    pub(super) genesis: Genesis,
    pub(super) ops: Vec<Op>,
}

/// An error of the engine as the message of a failure.
pub(in crate::conformance) fn broke(doing: &str, error: &dyn std::error::Error) -> String {
    let mut message = format!("{doing} failed: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    message
}

/// A fresh replica in memory, in a backend of its own.
pub(super) fn replica<M: StateMachine>(
    genesis: &Genesis,
    machine: M,
    identity: Option<Arc<SecretKey>>,
    clock: Arc<ManualClock>,
) -> Result<(Engine<M>, OpenRequest), String> {
    let backend = MemoryBackend::new();
    let path = PathBuf::from("state.db");
    Engine::create(&backend, &path, genesis, &machine)
        .map_err(|error| broke("creating", &error))?;
    let mut request = OpenRequest::new(Arc::new(backend), path);
    request.identity = identity;
    request.clock = clock;
    let engine =
        Engine::open(request.clone(), machine).map_err(|error| broke("opening", &error))?;
    Ok((engine, request))
}

struct Replica<M: StateMachine> {
    engine: Engine<M>,
    identity: Arc<SecretKey>,
    clock: Arc<ManualClock>,
}

struct Builder<'a, 'b, M: StateMachine> {
    rng: &'a mut Rng,
    make: &'a (dyn Fn() -> M + 'b),
    command: &'a mut Commands<'b, M>,
    hostile: Option<&'a mut HostilePayloads<'b>>,
    genesis: Genesis,
    replicas: Vec<Replica<M>>,
    forger: Forger,
}

impl Past {
    pub(super) fn build<'b, M: StateMachine>(
        rng: &mut Rng,
        make: &(dyn Fn() -> M + 'b),
        command: &mut Commands<'b, M>,
        hostile: Option<&mut HostilePayloads<'b>>,
        steps: usize,
    ) -> Result<Self, String> {
        let keys: Vec<_> = (0..AUTHORS)
            .map(|_| Arc::new(SecretKey::from_bytes(&rng.array())))
            .collect();
        let genesis = Genesis::new(
            make().store_type().clone(),
            keys[0].public(),
            Nonce::from_bytes(rng.array()),
            Hlc::from_parts(BEGINNING_MS, 0).map_err(|error| broke("dating", &error))?,
            None,
        );
        let forger = Forger::new(rng, &genesis, &keys);
        let mut builder = Builder {
            rng,
            make,
            command,
            hostile,
            genesis,
            replicas: Vec::new(),
            forger,
        };
        for key in keys {
            builder.add_replica(key)?;
        }
        for _ in 0..steps {
            builder.step()?;
        }
        builder.finish()
    }
}

impl<M: StateMachine> Builder<'_, '_, M> {
    fn add_replica(&mut self, identity: Arc<SecretKey>) -> Result<usize, String> {
        // Clocks differ by up to a minute.
        let skew_ms = self.rng.number() % 60_000;
        let clock = Arc::new(ManualClock::new(BEGINNING_MS + skew_ms));
        let (engine, _) = replica(
            &self.genesis,
            (self.make)(),
            Some(Arc::clone(&identity)),
            Arc::clone(&clock),
        )?;
        self.replicas.push(Replica {
            engine,
            identity,
            clock,
        });
        Ok(self.replicas.len() - 1)
    }

    fn step(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.replicas.len());
        // Often not at all: ops of one instant are told apart by their ids.
        let pause_ms = [0, 0, 1, 1000][self.rng.below(4)];
        self.replicas[at].clock.advance(pause_ms);
        match self.rng.below(16) {
            0..=7 => self.append(at),
            8..=12 => {
                let from = self.rng.below(self.replicas.len());
                self.exchange(from, at)
            }
            13 if self.replicas.len() < MAX_REPLICAS => self.copy(at),
            _ => self.forge(at),
        }
    }

    fn append(&mut self, at: usize) -> Result<(), String> {
        let command = (self.command)(self.rng);
        match self.replicas[at].engine.append(command) {
            Ok(_) | Err(AppendError::Refused(_)) => Ok(()),
            Err(AppendError::Invalid(None)) => {
                Err("`prepare` made a payload that `apply` holds to be invalid".into())
            }
            Err(error) => Err(broke("a command", &error)),
        }
    }

    /// Brings some of what one replica has to another: the first so many ops, or any.
    fn exchange(&mut self, from: usize, to: usize) -> Result<(), String> {
        let known = self.replicas[to].engine.branch_tips();
        let known = known.map_err(|error| broke("reading branch tips", &error))?;
        let mut ops = ops_of(&self.replicas[from].engine, &known)?;
        match self.rng.below(4) {
            0 => ops.retain(|_| !self.rng.one_in(4)),
            1 => ops.truncate(self.rng.below(ops.len() + 1)),
            _ => {}
        }
        ingest(&self.replicas[to].engine, ops)
    }

    /// Copies a replica: it goes on under the same key, and so forks its author.
    fn copy(&mut self, from: usize) -> Result<(), String> {
        let identity = Arc::clone(&self.replicas[from].identity);
        let to = self.add_replica(identity)?;
        let ops = ops_of(&self.replicas[from].engine, &BranchTips::default())?;
        ingest(&self.replicas[to].engine, ops)
    }

    /// Sends a replica an op that no honest one makes.
    fn forge(&mut self, at: usize) -> Result<(), String> {
        let engine = &self.replicas[at].engine;
        let ops = ops_of(engine, &BranchTips::default())?;
        let known: Vec<Op> = ops
            .into_iter()
            .map(|bytes| Op::decode(bytes, engine.hasher()))
            .collect::<Result<_, _>>()
            .map_err(|error| broke("reading an op back", &error))?;
        let payload = match self.hostile.as_mut() {
            Some(hostile) if !self.rng.one_in(3) => hostile(self.rng, &known),
            _ => own_payload(self.rng, &known),
        };
        let op = self.forger.forge(self.rng, &known, &payload)?;
        ingest(&self.replicas[at].engine, vec![op])
    }

    /// Everything that any replica has, in one causal order.
    fn finish(self) -> Result<Past, String> {
        let clock = Arc::new(ManualClock::new(BEGINNING_MS * 2));
        let (all, _) = replica(&self.genesis, (self.make)(), None, clock)?;
        for replica in &self.replicas {
            ingest(&all, ops_of(&replica.engine, &BranchTips::default())?)?;
        }
        let ops = ops_of(&all, &BranchTips::default())?;
        let ops: Result<Vec<Op>, _> = ops
            .into_iter()
            .map(|bytes| Op::decode(bytes, all.hasher()))
            .collect();
        Ok(Past {
            genesis: self.genesis,
            ops: ops.map_err(|error| broke("reading an op back", &error))?,
        })
    }
}

fn ops_of<M: StateMachine>(engine: &Engine<M>, known: &BranchTips) -> Result<Vec<Vec<u8>>, String> {
    engine
        .ops_after(known)
        .and_then(Iterator::collect)
        .map_err(|error| broke("reading history", &error))
}

fn ingest<M: StateMachine>(engine: &Engine<M>, ops: Vec<Vec<u8>>) -> Result<(), String> {
    let report = engine
        .ingest(&mut ops.into_iter(), &Authors::Any)
        .map_err(|error| broke("ingest", &error))?;
    match report.rejected().next() {
        Some((_, rejection)) => Err(broke("ingest of an op that keeps all rules", rejection)),
        None => Ok(()),
    }
}
