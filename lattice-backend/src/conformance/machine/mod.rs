//! The suite for state machines.

mod check;
mod deliver;
mod history;
mod hostile;
mod migrate;

use lattice_meta::Genesis;

use crate::conformance::Rng;
use crate::machine::StateMachine;
use crate::op::Op;

use history::Past;

pub(super) use history::broke;

pub use migrate::MigrationSuite;

/// Makes payloads that no honest replica makes: it is given the ops made so far, whose payloads
/// and references it may use.
pub type HostilePayloads<'a> = Box<dyn FnMut(&mut Rng, &[Op]) -> Vec<u8> + 'a>;

/// Makes random commands.
type Commands<'a, M> = Box<dyn FnMut(&mut Rng) -> <M as StateMachine>::Command + 'a>;

/// Tests a state machine on random histories of several authors, some of whom fork or send what
/// no honest replica makes.
///
/// Of each history the suite demands
///
/// - that its ops give the same elements and the same state hash in every order that respects
///   what they name, delivered one by one, in batches, repeatedly or shuffled;
/// - that the same order gives the same rows, byte for byte, and the same effects, also if the
///   store is closed and opened again in the middle;
/// - that the elements of the rows are unique, and that a scan of them gives the state hash;
/// - that whether a payload is valid depends neither on state nor on history.
pub struct MachineSuite<'a, M: StateMachine> {
    make: Box<dyn Fn() -> M + 'a>,
    command: Commands<'a, M>,
    hostile: Option<HostilePayloads<'a>>,
    histories: u64,
    steps: usize,
    orders: usize,
    seed: u64,
}

impl<M: StateMachine> std::fmt::Debug for MachineSuite<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineSuite")
            .field("histories", &self.histories)
            .field("steps", &self.steps)
            .field("orders", &self.orders)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<'a, M: StateMachine> MachineSuite<'a, M> {
    /// A suite for the machines that `make` makes, and random commands for them. Commands that
    /// the machine refuses are left out of the history.
    pub fn new(
        make: impl Fn() -> M + 'a,
        command: impl FnMut(&mut Rng) -> M::Command + 'a,
    ) -> Self {
        Self {
            make: Box::new(make),
            command: Box::new(command),
            hostile: None,
            histories: 12,
            steps: 48,
            orders: 6,
            seed: 0x6c61_7474_6963_6500,
        }
    }

    /// Adds payloads of the caller's to those that the suite makes by itself: random bytes, and
    /// payloads of the history, whole, cut or changed.
    #[must_use]
    pub fn hostile(mut self, payload: impl FnMut(&mut Rng, &[Op]) -> Vec<u8> + 'a) -> Self {
        self.hostile = Some(Box::new(payload));
        self
    }

    /// How many histories are tried; 12 if not said.
    #[must_use]
    pub fn histories(mut self, histories: u64) -> Self {
        self.histories = histories;
        self
    }

    /// How many steps build a history: a command, an exchange, a fork, a hostile op; 48 if not
    /// said.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// In how many orders each history is delivered; 6 if not said.
    #[must_use]
    pub fn orders(mut self, orders: usize) -> Self {
        self.orders = orders;
        self
    }

    /// The seed of the first history; the others follow. A failure names the seed of its history:
    /// `.seed(seed).histories(1)` runs it again.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs the suite.
    ///
    /// # Panics
    /// If the state machine breaks a rule; the message says which, and how to run it again.
    pub fn run(mut self) {
        for nth in 0..self.histories {
            let seed = self.seed.wrapping_add(nth);
            if let Err(broken) = self.try_history(seed) {
                let machine = (self.make)();
                panic!(
                    "state machine of {}: {broken}\n  to run this history again: \
                     .seed({seed:#x}).histories(1).steps({}).orders({})",
                    machine.store_type(),
                    self.steps,
                    self.orders,
                );
            }
        }
    }

    fn try_history(&mut self, seed: u64) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let past = Past::build(
            &mut rng,
            &self.make,
            &mut self.command,
            self.hostile.as_mut(),
            self.steps,
        )?;
        let trial = Trial {
            make: &self.make,
            past: &past,
        };
        trial.validity()?;
        trial.determinism(&mut rng)?;
        trial.convergence(&mut rng, past.ops.len(), self.orders)?;
        // What is true of a history is true of its beginning: some faults mend later.
        let beginning = 1 + rng.below(past.ops.len());
        trial.convergence(&mut rng, beginning, self.orders)
    }
}

/// One history, and the machine to try it on.
struct Trial<'a, M> {
    make: &'a dyn Fn() -> M,
    past: &'a Past,
}

impl<M> Trial<'_, M> {
    fn genesis(&self) -> &Genesis {
        &self.past.genesis
    }
}
