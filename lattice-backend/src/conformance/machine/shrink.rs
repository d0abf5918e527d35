//! Shrinks a failure to as few ops as possible.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::time::{Duration, Instant};

use crate::conformance::machine::broken::Broken;
use crate::conformance::machine::case::Case;
use crate::conformance::machine::context::Context;
use crate::conformance::machine::order::{with_followers, without_one};
use crate::conformance::machine::quiet;
use crate::machine::StateMachine;
use crate::op::{Op, OpHasher, OpRef};

/// The most times that a check is rerun.
const MAX_ATTEMPTS: usize = 4000;
/// The most time spent on reruns.
const MAX_TIME: Duration = Duration::from_secs(10);

/// A failure that has been shrunk.
pub(super) struct Shrunk {
    pub(super) case: Case,
    pub(super) broken: Broken,
    /// Whether removing any further op makes the failure disappear.
    pub(super) is_least: bool,
}

impl Shrunk {
    /// One line that says whether a store would stop the code too.
    pub(super) fn limits<M: StateMachine>(&self, context: &Context<'_, M>) -> String {
        let _quiet = quiet::shrinking();
        let divisor = self.case.divisor;
        let mut case = self.case.clone();
        case.divisor = NonZero::<u64>::MIN;
        let outcome = match case.run(context) {
            Ok(()) => {
                "stores allow that; but the work grows with what others wrote, or else a \
                       smaller divisor suits the code"
            }
            Err(_) => "stores hold the op",
        };
        format!("\n  the constant parts of the limits are divided by {divisor} here; {outcome}")
    }
}

struct Shrinker<'a, M> {
    context: &'a Context<'a, M>,
    case: Case,
    broken: Broken,
    attempts: usize,
    deadline: Instant,
}

/// Removes ops and orders as long as the same rule is broken. Each op is removed together with its
/// descendants, so that the rest is a history (Zeller and Hildebrandt, "Simplifying and Isolating
/// Failure-Inducing Input", 2002, over sets that are closed under causes). Then single ops that
/// have descendants are removed, and the descendants are made again without them. `None` if the
/// failure cannot be reproduced.
pub(super) fn shrink<M: StateMachine>(context: &Context<'_, M>, case: Case) -> Option<Shrunk> {
    let _quiet = quiet::shrinking();
    let broken = case.run(context).err()?;
    let mut shrinker = Shrinker {
        context,
        case,
        broken,
        attempts: 0,
        deadline: Instant::now() + MAX_TIME,
    };
    shrinker.leave_out_later_ops();
    shrinker.leave_out_orders();
    let mut size = shrinker.case.ops().len().div_ceil(2);
    while size > 0 && shrinker.has_time() {
        let has_shrunk = shrinker.leave_out(size);
        size = match (has_shrunk, size) {
            // Ops that only a removed op needed can be removed now.
            (true, 1) => 1,
            _ => size / 2,
        };
    }
    while shrinker.has_time() && shrinker.make_without_one() {}
    Some(Shrunk {
        is_least: shrinker.has_time(),
        case: shrinker.case,
        broken: shrinker.broken,
    })
}

impl<M: StateMachine> Shrinker<'_, M> {
    fn has_time(&self) -> bool {
        self.attempts < MAX_ATTEMPTS && Instant::now() < self.deadline
    }

    /// Keeps a smaller case if it breaks the same rule.
    fn try_case(&mut self, case: Case) -> bool {
        if !self.has_time() {
            return false;
        }
        self.attempts += 1;
        match case.run(self.context) {
            Err(broken) if broken.rule == self.broken.rule => {
                (self.case, self.broken) = (case, broken);
                true
            }
            _ => false,
        }
    }

    fn without(&self, dropped: &BTreeSet<OpRef>) -> Case {
        let dropped = with_followers(self.case.ops(), dropped);
        let mut case = self.case.clone();
        for order in &mut case.orders {
            order.retain(|op| !dropped.contains(&op.reference()));
        }
        case
    }

    /// In a single order, ops after the failing one do not matter: removes them.
    fn leave_out_later_ops(&mut self) {
        let at = self.broken.at;
        let place = self
            .case
            .ops()
            .iter()
            .position(|op| Some(op.reference()) == at);
        if let ([order], Some(place)) = (&self.case.orders[..], place) {
            let mut case = self.case.clone();
            case.orders = vec![order[..=place].to_vec()];
            self.try_case(case);
        }
    }

    fn leave_out_orders(&mut self) {
        let mut nth = self.case.orders.len();
        while nth > 0 && self.case.orders.len() > 2 {
            nth -= 1;
            let mut case = self.case.clone();
            case.orders.remove(nth);
            self.try_case(case);
        }
    }

    /// Tries to remove each run of `size` adjacent ops, from the end.
    fn leave_out(&mut self, size: usize) -> bool {
        let mut has_shrunk = false;
        let mut end = self.case.ops().len();
        while end > 0 && self.has_time() {
            let start = end.saturating_sub(size);
            let dropped = self.case.ops()[start..end].iter().map(Op::reference);
            let case = self.without(&dropped.collect());
            has_shrunk |= self.try_case(case);
            end = start.min(self.case.ops().len());
        }
        has_shrunk
    }

    /// Tries to make the ops again without one of them.
    fn make_without_one(&mut self) -> bool {
        let hasher = OpHasher::new(&self.context.genesis.hash());
        let ops = self.case.ops().to_vec();
        ops.iter().any(|dropped| {
            let Some(made) = without_one(&hasher, &ops, dropped) else {
                return false;
            };
            let mut case = self.case.clone();
            for order in &mut case.orders {
                let again = order
                    .iter()
                    .filter_map(|op| made.get(&op.reference()).cloned());
                *order = again.collect();
            }
            self.try_case(case)
        })
    }
}
