//! The suite for state machines.

mod broken;
mod case;
mod context;
mod crowd;
mod elements;
mod history;
mod hostile;
mod methods;
mod migrate;
mod model;
mod order;
mod payloads;
mod progress;
mod quiet;
mod report;
mod rows;
mod shrink;
mod store;
#[cfg(test)]
mod tests;

use std::num::NonZero;

use lattice_meta::Genesis;

use crate::conformance::Rng;
use crate::conformance::machine::broken::Broken;
use crate::conformance::machine::case::{Case, Check};
use crate::conformance::machine::context::{Context, Keys};
use crate::conformance::machine::history::{Source, Story, Unbuilt, genesis};
use crate::conformance::machine::order::causal_order;
use crate::conformance::machine::progress::Progress;
use crate::conformance::machine::shrink::shrink;
use crate::machine::StateMachine;
use crate::op::Op;

pub use migrate::MigrationSuite;

/// Makes payloads that no honest replica makes: it is given the ops made so far, whose payloads
/// and references it may use. They are not signed yet.
pub type HostilePayloads<'a> = Box<dyn FnMut(&mut Rng, &[Op]) -> Vec<u8> + 'a>;

/// Makes random commands.
type Commands<'a, M> = Box<dyn FnMut(&mut Rng) -> <M as StateMachine>::Command + 'a>;

/// Histories of which one is delivered to stores, and one has a crowd of authors.
const SPARSE: u64 = 6;
/// What the constant parts of limits are divided by if not said.
const DIVISOR: NonZero<u64> = NonZero::new(4096).expect("it is not zero");
/// Commands of a history with a crowd of authors.
const CROWD: usize = 384;

/// Tests a state machine on random histories of several authors, some of whom fork or send what
/// no honest replica makes.
///
/// The suite proves, of the histories that it tries:
///
/// - The ops of a history, and of its beginning, give the same elements in every order that
///   respects what they name.
/// - The same order gives the same rows, byte for byte, and the same elements of each op: whatever
///   is one transaction, and also if a new machine takes over in the middle.
/// - No code depends on more than its arguments: a fresh machine does with each op what one does
///   that applied all ops before it, and `decode` gives the same answer for the same bytes: again,
///   in a fresh machine, and on another thread.
/// - The keys of elements are unique, and `elements` depends on its row alone: a scan at the end
///   gives what was given when the rows were written.
/// - `run` does what `apply` and `settle` do, and `elements_of` gives what `elements` gives.
/// - No op, however damaged its payload, makes the code panic or exceed its [`Limits`]. The
///   constant parts of the limits are divided by 4,096, see [`tightened`](Self::tightened); and one
///   of six histories is of hundreds of authors who know of nothing or of the last op. So code
///   whose work grows with what others wrote is found by histories that are short.
/// - `describe` gives a line, methods have different names and are described, and commands and
///   queries answer or refuse what they are called with.
/// - Stores agree with all that: one of six histories is delivered to two stores, shuffled,
///   repeatedly, and with one closed and opened again. No store holds an op, and rows and state
///   hashes are those that the suite computes.
///
/// It does not prove that different states have different elements, that the state is what the
/// commands mean, or that a migration keeps it ([`MigrationSuite`]). It bounds what an op uses, and
/// does not compare its cost in short and long histories, as
/// [`CostSuite`](crate::conformance::CostSuite) does. It cannot stop code that loops without a call
/// of its host: the test then never ends.
///
/// A failure is shrunk: ops are left out, each with all that follow it, while the same rule is
/// broken, for at most 10 seconds. Then those go that are needed only because others name them: the
/// others are made again, and a payload names the new ids where it named the old. The message lists
/// the ops that are left, says what differed, and how to run the history again.
///
/// [`Limits`]: crate::machine::Limits
pub struct MachineSuite<'a, M: StateMachine> {
    make: Box<dyn Fn() -> M + 'a>,
    command: Commands<'a, M>,
    hostile: Option<HostilePayloads<'a>>,
    histories: u64,
    steps: usize,
    orders: usize,
    seed: u64,
    divisor: NonZero<u64>,
    is_thorough: bool,
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

/// A rule that is broken, and what shows it.
struct Failure {
    broken: Broken,
    case: Option<Box<Case>>,
    genesis: Genesis,
}

impl<'a, M: StateMachine> MachineSuite<'a, M> {
    /// A suite for the machines that `make` makes, and random commands for them. Commands that
    /// the machine refuses are left out of the history. `make` is called about 200 times for each
    /// history; what takes long to load is to be cloned by it.
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
            divisor: DIVISOR,
            is_thorough: false,
        }
    }

    /// Adds payloads of the caller's to those that the suite makes by itself: random bytes, and
    /// payloads of the history, intact, cut or changed.
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

    /// What the constant parts of [`Limits`](crate::machine::Limits) are divided by; 4,096 if not
    /// said, which leaves each op 256 calls, 256 rows read, 16 rows and 16 KiB written, beside what
    /// it earns. Code that does more for an op of a few bytes, whatever others wrote, needs a
    /// smaller one; 1 is what a store allows.
    #[must_use]
    pub fn tightened(mut self, divisor: NonZero<u64>) -> Self {
        self.divisor = divisor;
        self
    }

    /// Tries ten times as many histories in twice as many orders, each with a crowd and stores. The
    /// environment variable `LATTICE_SUITE=long` does the same to all suites of a test run.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.is_thorough = true;
        self
    }

    /// Runs the suite. What takes longer than two seconds reports its progress on standard error.
    ///
    /// # Panics
    /// If the state machine breaks a rule; the message says which, and how to run it again.
    pub fn run(mut self) {
        let is_long = std::env::var_os("LATTICE_SUITE").is_some_and(|suite| suite == "long");
        self.is_thorough |= is_long;
        let (histories, sparse) = match self.is_thorough {
            true => (self.histories.saturating_mul(10), 1),
            false => (self.histories, SPARSE),
        };
        let machine = (self.make)();
        let store_type = machine.logic().store_type().clone();
        if let Err(broken) = methods::check(&machine) {
            panic!("state machine of {store_type}: {}", broken.message);
        }
        let keys = Keys::new();
        let mut progress = Progress::new(&store_type, histories);
        for nth in 0..histories {
            let seed = self.seed.wrapping_add(nth);
            if let Err(failure) = self.try_history(&keys, seed, nth % sparse == 0) {
                panic!(
                    "state machine of {store_type}: {}",
                    self.explain(&keys, failure, seed)
                );
            }
            progress.finished(nth + 1);
        }
    }

    /// Tries one history; in full also with a crowd of authors, and in stores.
    fn try_history(&mut self, keys: &Keys, seed: u64, in_full: bool) -> Result<(), Box<Failure>> {
        let mut rng = Rng::new(seed);
        let orders = self.orders * if self.is_thorough { 2 } else { 1 };
        let genesis = match genesis(&mut rng, &(self.make)(), keys.owner()) {
            Ok(genesis) => genesis,
            Err(broken) => panic!("{}", broken.message),
        };
        let failure = |unbuilt: Unbuilt| {
            Box::new(Failure {
                broken: unbuilt.broken,
                case: unbuilt.case,
                genesis: genesis.clone(),
            })
        };
        let steps = self.steps;
        let story = Story::build(&mut rng, self.source(keys), &genesis, steps).map_err(failure)?;
        let context = Context {
            make: &*self.make,
            genesis: &genesis,
            keys,
        };
        for case in self.cases(&mut rng, &story, orders, in_full) {
            if let Err(broken) = case.run(&context) {
                let case = Some(Box::new(case));
                return Err(failure(Unbuilt { broken, case }));
            }
        }
        if in_full {
            crowd::check(&mut rng, self.source(keys), &genesis, CROWD).map_err(failure)?;
        }
        Ok(())
    }

    fn source<'s>(&'s mut self, keys: &'s Keys) -> Source<'s, 'a, M> {
        Source {
            make: &*self.make,
            command: &mut self.command,
            hostile: self.hostile.as_mut(),
            keys,
            divisor: self.divisor,
        }
    }

    /// What is checked of a history.
    fn cases(&self, rng: &mut Rng, story: &Story, orders: usize, in_full: bool) -> Vec<Case> {
        let seed = rng.number();
        let case = |check, orders| Case {
            seed,
            ..Case::new(check, orders, self.divisor)
        };
        let ops = &story.ops;
        let mut cases = vec![
            case(Check::Payloads, vec![ops.clone()]),
            case(Check::SameRows, vec![causal_order(rng, ops)]),
            case(Check::Purity, vec![causal_order(rng, ops)]),
        ];
        // What is true of a history is true of its beginning: some faults mend later.
        let beginning = &ops[..rng.below(ops.len() + 1)];
        for ops in [ops, beginning] {
            let mut all = vec![ops.to_vec()];
            all.extend((0..orders).map(|_| causal_order(rng, ops)));
            cases.push(case(Check::Orders, all));
        }
        if in_full {
            cases.push(case(Check::Store, vec![ops.clone()]));
        }
        cases
    }

    /// Shrinks a failure, and says what is left of it.
    fn explain(&self, keys: &Keys, failure: Box<Failure>, seed: u64) -> String {
        let Failure {
            broken,
            case,
            genesis,
        } = *failure;
        let context = Context {
            make: &*self.make,
            genesis: &genesis,
            keys,
        };
        let again = format!(
            "\n  to run this history again: .seed({seed:#x}).histories(1).steps({}).orders({})",
            self.steps, self.orders
        );
        let Some(case) = case else {
            return broken.message + &again;
        };
        let all = case.ops().len();
        let Some(shrunk) = shrink(&context, *case) else {
            let message = broken.message;
            return format!(
                "{message}\n  the same ops did not show it a second time: the code depends on more \
                 than its arguments{again}"
            );
        };
        let left = shrunk.case.ops().len();
        let least = if shrunk.is_least { "" } else { " at most" };
        let limits = match shrunk.broken.is_limit {
            true => shrunk.limits(&context),
            false => String::new(),
        };
        format!(
            "{}{limits}\n  {left} of {all} ops show it{least}:{}{again}",
            shrunk.broken.message,
            report::ops_of(&(self.make)(), &shrunk.case),
        )
    }
}
