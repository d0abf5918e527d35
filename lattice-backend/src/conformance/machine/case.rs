//! One check on given ops; the unit of shrinking.

use std::num::NonZero;

use crate::conformance::Rng;
use crate::conformance::machine::broken::{Broken, Rule};
use crate::conformance::machine::context::Context;
use crate::conformance::machine::model::{Entry, Model, Step};
use crate::conformance::machine::rows::{demand_same_rows, first_difference};
use crate::conformance::machine::{payloads, store};
use crate::engine::contain::decode;
use crate::machine::StateMachine;
use crate::op::Op;

/// The kinds of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Decodes and describes payloads, including damaged ones.
    Payloads,
    /// Applies the ops in one order, within limits.
    OneOrder,
    /// One order results in the same rows, however it is split into transactions.
    SameRows,
    /// Fresh machines treat each op alike, and overrides agree with the defaults.
    Purity,
    /// All orders result in the same elements.
    Orders,
    /// A store has the same result for every way of delivery.
    Store,
}

/// A check and its ops.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) check: Check,
    /// The same ops in different causal orders.
    pub(super) orders: Vec<Vec<Op>>,
    pub(super) seed: u64,
    /// Divides the constant parts of limits.
    pub(super) divisor: NonZero<u64>,
}

impl Case {
    pub(super) fn new(check: Check, orders: Vec<Vec<Op>>, divisor: NonZero<u64>) -> Self {
        Self {
            check,
            orders,
            seed: 0,
            divisor,
        }
    }

    /// The ops of a replica, followed by one that failed.
    pub(super) fn failing(model: &Model, op: &Op, divisor: NonZero<u64>) -> Self {
        let mut order = model.applied.ops().to_vec();
        order.retain(|applied| applied.reference() != op.reference());
        order.push(op.clone());
        Self::new(Check::OneOrder, vec![order], divisor)
    }

    /// The ops, in the first order.
    pub(super) fn ops(&self) -> &[Op] {
        self.orders.first().map_or(&[], |order| &order[..])
    }

    pub(super) fn run<M: StateMachine>(&self, context: &Context<'_, M>) -> Result<(), Broken> {
        match self.check {
            Check::Payloads => payloads::check(context.make, self.ops(), self.seed),
            Check::OneOrder => self.one_by_one(&(context.make)(), self.ops()).map(drop),
            Check::SameRows => self.same_rows(context.make),
            Check::Purity => self.purity(context.make),
            Check::Orders => self.convergence(context.make),
            Check::Store => store::check(context, self.ops(), self.seed),
        }
    }

    /// Applies ops in an order, and scans the rows at the end.
    fn one_by_one<M: StateMachine>(
        &self,
        machine: &M,
        order: &[Op],
    ) -> Result<(Model, Vec<Step>), Broken> {
        let mut model = Model::default();
        let mut steps = Vec::with_capacity(order.len());
        for op in order {
            let decoded = decode(machine, op);
            steps.push(model.apply(machine, op, decoded, self.divisor)?);
        }
        model.scan(machine)?;
        Ok((model, steps))
    }

    fn convergence<M: StateMachine>(&self, make: &dyn Fn() -> M) -> Result<(), Broken> {
        let mut first = None;
        for order in &self.orders {
            let (model, _) = self.one_by_one(&make(), order)?;
            let first = first.get_or_insert_with(|| model.elements().clone());
            if let Some(difference) = first_difference(&first.0, &model.elements().0) {
                let message = format!("the state depends on the order of arrival: {difference}");
                return Err(Broken::new(Rule::Order, message));
            }
        }
        Ok(())
    }

    fn same_rows<M: StateMachine>(&self, make: &dyn Fn() -> M) -> Result<(), Broken> {
        let (expected, steps) = self.one_by_one(&make(), self.ops())?;
        for most in [usize::MAX, 2, 7] {
            let (found, found_steps) = self.in_batches(make, most)?;
            let what = "the same ops in the same order gave different rows, in transactions of \
                        other sizes";
            for (op, (one, other)) in self.ops().iter().zip(steps.iter().zip(&found_steps)) {
                if let Some(difference) = difference(one, other) {
                    let broken = Broken::new(Rule::Rows, format!("{what}: {difference}"));
                    return Err(broken.at(op.reference()));
                }
            }
            demand_same_rows(&expected.rows, &found.rows, what)?;
        }
        Ok(())
    }

    /// Applies the ops in transactions of up to `most` ops. Between transactions of random size, a
    /// new machine sometimes takes over, as when a store is reopened.
    fn in_batches<M: StateMachine>(
        &self,
        make: &dyn Fn() -> M,
        most: usize,
    ) -> Result<(Model, Vec<Step>), Broken> {
        let mut rng = Rng::new(self.seed);
        let (mut model, mut machine) = (Model::default(), make());
        let (mut steps, mut rest) = (Vec::new(), self.ops());
        while !rest.is_empty() {
            let size = match most {
                usize::MAX | 2 => most,
                _ => 1 + rng.below(most),
            };
            let (batch, later) = rest.split_at(size.min(rest.len()));
            steps.extend(model.apply_all(&machine, batch, self.divisor)?);
            if most == 7 && rng.one_in(4) {
                model.scan(&machine)?;
                machine = make();
            }
            rest = later;
        }
        model.scan(&machine)?;
        Ok((model, steps))
    }

    fn purity<M: StateMachine>(&self, make: &dyn Fn() -> M) -> Result<(), Broken> {
        let (machine, mut model) = (make(), Model::default());
        for op in self.ops() {
            let again = |machine: &M, entry| {
                let decoded = decode(machine, op);
                model.try_op(machine, entry, op, decoded, self.divisor)
            };
            let (long_lived, other) = (again(&machine, Entry::Run)?, make());
            let fresh = again(&other, Entry::Run)?;
            if let Some(difference) = difference(&long_lived, &fresh) {
                let message = format!(
                    "an op did not do the same in a machine that had applied the ops before it as \
                     in a fresh one: the code depends on more than its arguments: {difference}"
                );
                return Err(Broken::new(Rule::Purity, message).at(op.reference()));
            }
            let in_steps = again(&make(), Entry::ApplyAndSettle)?;
            if let Some(difference) = difference(&fresh, &in_steps) {
                let message =
                    format!("`run` did not do what `apply` and `settle` do: {difference}");
                return Err(Broken::new(Rule::Override, message).at(op.reference()));
            }
            model.commit(op, &long_lived)?;
        }
        Ok(())
    }
}

/// Compares two runs of an op.
fn difference(one: &Step, other: &Step) -> Option<String> {
    if one == other {
        return None;
    }
    let rows = |step: &Step| {
        let rows = step.writes.iter();
        let written = |value: &Option<Vec<u8>>| match value {
            Some(value) => [b"written: ", &value[..]].concat(),
            None => b"removed".to_vec(),
        };
        rows.map(|(key, value)| (key.clone(), written(value)))
            .collect()
    };
    let difference = first_difference(&rows(one), &rows(other));
    Some(difference.unwrap_or_else(|| "the rows are equal, and their elements are not".into()))
}
