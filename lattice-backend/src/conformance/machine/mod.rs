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

/// Makes payloads that no honest replica would make. It gets the ops made so far, which are not
/// signed yet, and may use their payloads and references.
pub type HostilePayloads<'a> = Box<dyn FnMut(&mut Rng, &[Op]) -> Vec<u8> + 'a>;

/// Makes random commands.
type Commands<'a, M> = Box<dyn FnMut(&mut Rng) -> <M as StateMachine>::Command + 'a>;

/// One in this many histories is delivered to stores, and one has a crowd of authors.
const SPARSE: u64 = 6;
/// The default divisor of the constant parts of limits.
const DIVISOR: NonZero<u64> = NonZero::new(4096).expect("it is not zero");
/// The number of commands in a history with a crowd of authors.
const CROWD: usize = 384;

/// Tests a state machine on random histories of several authors, some of whom fork or send what no
/// honest replica would make.
///
/// For the histories that it tries, the suite checks:
///
/// - The ops of a history, and of a prefix of it, result in the same elements in every causal
///   order.
/// - The same order results in the same rows, byte for byte, and in the same elements for each op,
///   however it is split into transactions, and also if a new machine takes over in the middle.
/// - Code depends only on its arguments: a fresh machine treats each op like a machine that applied
///   all earlier ops, and `decode` returns the same result for the same bytes: repeated, in a fresh
///   machine, and on another thread.
/// - The keys of elements are unique, and `elements` depends only on its row: a scan at the end
///   returns the same elements as the writes of the rows.
/// - `run` has the same effect as `apply` and `settle`, and `elements_of` returns the same as
///   `elements`.
/// - No op, however damaged its payload, makes the code panic or exceed its [`Limits`]. The
///   constant parts of the limits are divided by 4,096 (see [`tightened`](Self::tightened)), and
///   one in six histories has hundreds of authors who know no op or only the last one. So short
///   histories find code whose work grows with what other authors wrote.
/// - `describe` returns one line, methods have unique names and descriptions, and commands and
///   queries answer or refuse their arguments.
/// - Stores agree with the model: one in six histories is delivered to two stores, shuffled and
///   repeatedly, and one of the stores is closed and reopened. No store holds an op, and rows and
///   state hashes equal those that the suite computes.
///
/// It does not check that different states have different elements, that the state is what the
/// commands mean, or that a migration keeps the state ([`MigrationSuite`]). It limits what an op
/// uses, but does not compare its cost in short and long histories;
/// [`CostSuite`](crate::conformance::CostSuite) does. It cannot stop code that loops without a host
/// call: such a test never ends.
///
/// The suite shrinks a failure: for at most 10 seconds, it removes ops with all their descendants
/// as long as the same rule is broken. Then it removes ops that are needed only because others name
/// them: it makes the others again, and replaces the old ids in payloads by the new ones. The
/// message lists the remaining ops, what differed, and how to rerun the history.
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

/// A broken rule, and the case that shows it.
struct Failure {
    broken: Broken,
    case: Option<Box<Case>>,
    genesis: Genesis,
}

impl<'a, M: StateMachine> MachineSuite<'a, M> {
    /// A suite for the machines that `make` returns, with random commands. Commands that the
    /// machine refuses are not part of the history. The suite calls `make` about 200 times per
    /// history, so it should clone what takes long to load.
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

    /// Adds the caller's payloads to those of the suite: random bytes, and payloads of the history,
    /// intact, truncated or changed.
    #[must_use]
    pub fn hostile(mut self, payload: impl FnMut(&mut Rng, &[Op]) -> Vec<u8> + 'a) -> Self {
        self.hostile = Some(Box::new(payload));
        self
    }

    /// Sets the number of histories; the default is 12.
    #[must_use]
    pub fn histories(mut self, histories: u64) -> Self {
        self.histories = histories;
        self
    }

    /// Sets the number of steps that build a history; the default is 48. A step is a command, an
    /// exchange, a fork or a hostile op.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets in how many orders each history is delivered; the default is 6.
    #[must_use]
    pub fn orders(mut self, orders: usize) -> Self {
        self.orders = orders;
        self
    }

    /// Sets the seed of the first history; later ones use the following numbers. A failure names
    /// the seed of its history: `.seed(seed).histories(1)` reruns it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the divisor of the constant parts of [`Limits`](crate::machine::Limits). The default is
    /// 4,096, which allows each op 256 calls, 256 rows read, and 16 rows and 16 KiB written, beside
    /// what it earns. Code that needs more for an op of a few bytes, independently of other
    /// authors, needs a smaller divisor; a store uses 1.
    #[must_use]
    pub fn tightened(mut self, divisor: NonZero<u64>) -> Self {
        self.divisor = divisor;
        self
    }

    /// Tries ten times as many histories in twice as many orders, each with a crowd and with
    /// stores. The environment variable `LATTICE_SUITE=long` does the same for all suites of a test
    /// run.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.is_thorough = true;
        self
    }

    /// Runs the suite. After two seconds it reports its progress on standard error.
    ///
    /// # Panics
    /// If the state machine breaks a rule; the message names the rule, and how to rerun the
    /// history.
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

    /// Tries one history; with `in_full`, also with a crowd of authors and in stores.
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

    /// The checks for a history.
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
        // Also check a prefix of the history, because later ops can hide a fault.
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

    /// Shrinks a failure, and formats what remains of it.
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
