//! The rule of heads and marks against a model that knows nothing but sets.
//!
//! The model looks at all ops at once and says what is a head and what is a mark. The state
//! machine takes the same ops one by one, in six orders that respect causality, and must end with
//! the model's rows each time, bit for bit.

mod history;
mod plan;

use std::collections::BTreeSet;

use lattice_backend::{Effect, OpRef, Value};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::Rows;
use crate::support::bytes::{TestHead, key_rows, mark_row};
use crate::support::host::{Host, shown};
use history::{Entry, causal_order, history};
use plan::{Kind, Plan, honest, hostile};

/// The heads of a key, the winner first: puts of applied valid ops that none supersedes.
fn heads(entries: &[&Entry], key: &[u8]) -> Vec<TestHead> {
    let writes_here = |entry: &&Entry| entry.writes.iter().find(|write| write.key == key).cloned();
    let superseded: BTreeSet<OpRef> = entries
        .iter()
        .filter_map(writes_here)
        .flat_map(|write| write.supersedes)
        .collect();
    let mut heads: Vec<TestHead> = entries
        .iter()
        .filter(|entry| !superseded.contains(&entry.op.reference))
        .filter_map(|entry| {
            let value = writes_here(entry)?.value?;
            Some(TestHead {
                hlc: entry.op.hlc,
                op: entry.op.reference,
                value,
            })
        })
        .collect();
    heads.sort_by_key(|head| std::cmp::Reverse((head.hlc, head.op.id)));
    heads
}

/// All rows of a store that has applied these ops.
fn rows(entries: &[&Entry]) -> Rows {
    let applied: BTreeSet<OpRef> = entries.iter().map(|entry| entry.op.reference).collect();
    let writes = || entries.iter().flat_map(|entry| &entry.writes);
    let keys: BTreeSet<&[u8]> = writes().map(|write| &write.key[..]).collect();
    let cells = keys
        .into_iter()
        .flat_map(|key| key_rows(key, &heads(entries, key)));
    let marks = writes().flat_map(|write| {
        let unknown = write.supersedes.iter().filter(|op| !applied.contains(op));
        unknown.map(|op| mark_row(op, &write.key))
    });
    cells.chain(marks).collect()
}

fn check(plans: &[Plan], choices: &[Vec<Index>]) -> Result<(), TestCaseError> {
    let entries = history(plans);
    let all: Vec<&Entry> = entries.iter().collect();
    let expected = rows(&all);
    for (number, choices) in choices.iter().enumerate() {
        let mut host = Host::new();
        let order = causal_order(&entries, choices);
        for (done, &place) in order.iter().enumerate() {
            let effect = host.record(&entries[place].op);
            let expected = match plans[place].kind {
                Kind::Merge => None,
                Kind::Invalid(_) => Some(Effect::Void),
                Kind::Valid => Some(Effect::Applied),
            };
            prop_assert_eq!(effect, expected);
            if number == 0 {
                let so_far: Vec<&Entry> = order[..=done]
                    .iter()
                    .map(|&place| &entries[place])
                    .collect();
                prop_assert_eq!(
                    shown(&host.full_rows()),
                    shown(&rows(&so_far)),
                    "after {:?}",
                    order
                );
            }
        }
        prop_assert_eq!(
            shown(&host.full_rows()),
            shown(&expected),
            "in order {:?}",
            order
        );
        check_reads(&host, &all)?;
    }
    Ok(())
}

fn check_reads(host: &Host, entries: &[&Entry]) -> Result<(), TestCaseError> {
    let mut conflicted = Vec::new();
    for key in [&b"a"[..], b"b", b"c"] {
        let heads = heads(entries, key);
        let named = || [("key", Value::Bytes(key.to_vec()))];
        let value = heads.first().map(|head| head.value.clone());
        prop_assert_eq!(host.query("get", named()), value.into());
        let ops: Vec<Value> = heads
            .iter()
            .map(|head| {
                Value::record([
                    ("value", Value::Bytes(head.value.clone())),
                    ("author", Value::Text(head.op.author.to_string())),
                    ("seq", head.op.seq.into()),
                    ("op", Value::Text(head.op.id.to_string())),
                    ("hlc", head.hlc.into()),
                ])
            })
            .collect();
        prop_assert_eq!(host.query("conflicts", named()), Value::List(ops));
        if heads.len() > 1 {
            conflicted.push(Value::Bytes(key.to_vec()));
        }
    }
    prop_assert_eq!(host.query("conflicted_keys", []), Value::List(conflicted));
    Ok(())
}

fn orders() -> impl Strategy<Value = Vec<Vec<Index>>> {
    proptest::collection::vec(proptest::collection::vec(any::<Index>(), 24), 6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn three_authors_who_fork_and_lie_end_with_the_models_rows_in_every_order(
        plans in proptest::collection::vec(hostile(), 1..20), orders in orders(),
    ) {
        check(&plans, &orders)?;
    }

    #[test]
    fn one_author_who_sees_all_of_it_never_has_a_conflict_or_a_mark(
        mut plans in proptest::collection::vec(honest(), 1..20), orders in orders(),
    ) {
        for plan in &mut plans {
            plan.deps.clear();
        }
        check(&plans, &orders[..1])?;
        let entries = history(&plans);
        let rows = rows(&entries.iter().collect::<Vec<_>>());
        prop_assert!(rows.keys().all(|row| row[0] == b'c'));
    }
}
