//! The suite for migrations of the layout.

use crate::backend::MemoryBackend;
use crate::conformance::Rng;
use crate::conformance::broke::broke;
use crate::conformance::machine::context::Keys;
use crate::conformance::machine::history::{Source, Story, genesis};
use crate::conformance::machine::order::causal_order;
use crate::conformance::machine::store::{Manner, Recipient};
use crate::conformance::machine::{Commands, DIVISOR};
use crate::engine::Engine;
use crate::engine::open::LogicPolicy;
use crate::engine::verify::Depth;
use crate::machine::StateMachine;
use crate::progress::ProgressSink;

/// Tests that a state machine migrates the stores of an older one, of the same type and with an
/// older layout.
///
/// The older machine makes random histories, and they are delivered to stores of that machine. Then
/// the newer machine opens each store, and the suite checks
///
/// - that the store is migrated, and its state hash has not changed;
/// - that every row equals the one that the newer machine makes from the history by itself;
/// - that the store stays usable: the newer machine applies ops that it ingests afterwards, and the
///   store verifies.
///
/// Keep the older machine for this test: a small copy of the old code, or the same code with the
/// old layout.
///
/// ```no_run
/// # use lattice_backend::conformance::{MigrationSuite, Rng};
/// # use lattice_backend::machine::StateMachine;
/// # type Command<M> = fn(&mut Rng) -> <M as StateMachine>::Command;
/// # fn example<M: StateMachine>(old: fn() -> M, new: fn() -> M, command: Command<M>) {
/// MigrationSuite::new(old, new, command).histories(20).run();
/// # }
/// ```
pub struct MigrationSuite<'a, O: StateMachine, N: StateMachine> {
    old: Box<dyn Fn() -> O + 'a>,
    new: Box<dyn Fn() -> N + 'a>,
    command: Commands<'a, O>,
    histories: u64,
    steps: usize,
    seed: u64,
}

impl<O: StateMachine, N: StateMachine> std::fmt::Debug for MigrationSuite<'_, O, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MigrationSuite")
            .field("histories", &self.histories)
            .field("steps", &self.steps)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<'a, O: StateMachine, N: StateMachine> MigrationSuite<'a, O, N> {
    /// A suite for stores that `old` makes and `new` opens, with random commands for the older
    /// machine.
    pub fn new(
        old: impl Fn() -> O + 'a,
        new: impl Fn() -> N + 'a,
        command: impl FnMut(&mut Rng) -> O::Command + 'a,
    ) -> Self {
        Self {
            old: Box::new(old),
            new: Box::new(new),
            command: Box::new(command),
            histories: 12,
            steps: 48,
            seed: 0x6d69_6772_6174_6500,
        }
    }

    /// Sets the number of histories; the default is 12.
    #[must_use]
    pub fn histories(mut self, histories: u64) -> Self {
        self.histories = histories;
        self
    }

    /// Sets the number of steps that build a history; the default is 48.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the seed of the first history; later ones use the following numbers. A failure names
    /// the seed of its history.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs the suite.
    ///
    /// # Panics
    /// If a migration breaks a rule; the message names the rule, and how to rerun the history.
    pub fn run(mut self) {
        let keys = Keys::new();
        for nth in 0..self.histories {
            let seed = self.seed.wrapping_add(nth);
            if let Err(broken) = self.try_history(&keys, seed) {
                panic!(
                    "migrating stores of {}: {broken}\n  to run this history again: \
                     .seed({seed:#x}).histories(1).steps({})",
                    (self.new)().logic().store_type(),
                    self.steps,
                );
            }
        }
    }

    fn try_history(&mut self, keys: &Keys, seed: u64) -> Result<(), String> {
        let (old, new) = ((self.old)(), (self.new)());
        let (from, to) = (old.logic().newest_schema(), new.logic().newest_schema());
        if from >= to {
            return Err(format!("schema {from} is not older than schema {to}"));
        }
        let mut rng = Rng::new(seed);
        let genesis = genesis(&mut rng, &old, keys.owner()).map_err(|broken| broken.message)?;
        let source = Source {
            make: &*self.old,
            command: &mut self.command,
            hostile: None,
            keys,
            divisor: DIVISOR,
        };
        let story = Story::build(&mut rng, source, &genesis, self.steps)
            .map_err(|unbuilt| unbuilt.broken.message)?;
        let order = causal_order(&mut rng, &keys.sign(&story.ops));
        let (before, after) = order.split_at(rng.below(order.len() + 1));
        let store = Recipient::new(&genesis, old).map_err(|broken| broken.message)?;
        store
            .deliver(&mut rng, before, Manner::Batches)
            .map_err(|broken| broken.message)?;
        let hash = |error| broke("hashing", &error);
        let expected = store.engine.state_hash().map_err(hash)?;
        store
            .engine
            .close()
            .map_err(|error| broke("closing", &error))?;
        let mut request = store.request;
        // The maintainer decides whether the logic versions differ; the rows are compared below.
        request.logic = LogicPolicy::Trust;
        let engine =
            Engine::open(request.clone(), new).map_err(|error| broke("migrating", &error))?;
        let found = engine.state_hash().map_err(hash)?;
        if engine.schema_version() != to || found != expected {
            return Err(format!(
                "expected schema {to} and state {expected}, found schema {} and state {found}",
                engine.schema_version()
            ));
        }
        let store = Recipient { engine, request };
        verify(&store, "after the migration")?;
        let after: Vec<_> = after.iter().collect();
        store
            .in_batches(&mut rng, &after, 9)
            .and_then(|()| store.demand_all_applied(order.len()))
            .map_err(|broken| broken.message)?;
        verify(&store, "after more ops")
    }
}

fn verify<M: StateMachine>(store: &Recipient<M>, when: &str) -> Result<(), String> {
    let backend = MemoryBackend::new();
    let verified = store
        .engine
        .verify(Depth::Full, &backend, &ProgressSink::none())
        .map_err(|error| broke("verifying", &error))?;
    match verified.findings.first() {
        None => Ok(()),
        Some(finding) => Err(format!("{when}: {finding}")),
    }
}
