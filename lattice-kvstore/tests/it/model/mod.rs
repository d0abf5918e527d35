//! Compares values and marks with a model that uses only sets.
//!
//! The model takes all ops at once and computes the values of each key. The state machine applies
//! the same ops one by one, in six causal orders, and must end with the model's elements each time,
//! bit for bit. Its rows depend on the order: after each op they must be the only set of rows that
//! the layout allows after this order.

mod history;
mod layout;
mod plan;

use std::collections::BTreeSet;

use lattice_backend::machine::Value;
use lattice_backend::op::OpRef;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::Rows;
use crate::support::host::{Host, shown};
use crate::support::rows::{MAX_INSIDE, TestSibling, element};
use history::{Entry, causal_order, history};
use layout::Layout;
use plan::{Kind, Plan, honest, hostile};

const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// The values of a key, the current one first: puts of applied valid ops that none supersedes.
fn siblings(entries: &[&Entry], key: &[u8]) -> Vec<TestSibling> {
    let writes_here = |entry: &&Entry| entry.writes.iter().find(|write| write.key == key).cloned();
    let superseded: BTreeSet<OpRef> = entries
        .iter()
        .filter_map(writes_here)
        .flat_map(|write| write.supersedes)
        .collect();
    let mut siblings: Vec<TestSibling> = entries
        .iter()
        .filter(|entry| !superseded.contains(&entry.op.reference))
        .filter_map(|entry| {
            let value = writes_here(entry)?.value?;
            Some(TestSibling {
                hlc: entry.op.hlc,
                op: entry.op.reference,
                value,
            })
        })
        .collect();
    siblings.sort_by_key(|sibling| std::cmp::Reverse((sibling.hlc, sibling.op.id)));
    siblings
}

/// The elements of a store that has applied these ops.
fn elements(entries: &[&Entry]) -> Rows {
    let of_key = |key| {
        let siblings = siblings(entries, key).into_iter();
        siblings.map(move |sibling| element(key, &sibling))
    };
    KEYS.into_iter().flat_map(of_key).collect()
}

fn same(found: &Rows, expected: &Rows, order: &[usize]) -> Result<(), TestCaseError> {
    // Long values are printed only if they differ.
    if found != expected {
        prop_assert_eq!(shown(found), shown(expected), "in order {:?}", order);
    }
    Ok(())
}

fn check(plans: &[Plan], choices: &[Vec<Index>]) -> Result<(), TestCaseError> {
    let entries = history(plans);
    let all: Vec<&Entry> = entries.iter().collect();
    let expected = elements(&all);
    for choices in choices {
        let (mut host, mut layout) = (Host::new(), Layout::default());
        let order = causal_order(&entries, choices);
        let mut applied = Vec::new();
        for &place in &order {
            let is_valid = host.record(&entries[place].op);
            prop_assert_eq!(is_valid, matches!(plans[place].kind, Kind::Valid));
            applied.push(&entries[place]);
            layout.take_last(&applied);
            same(host.rows(), &layout.rows(&applied), &order)?;
            same(&host.elements(), &elements(&applied), &order)?;
        }
        same(&host.elements(), &expected, &order)?;
        check_reads(&host, &all)?;
    }
    Ok(())
}

fn check_reads(host: &Host, entries: &[&Entry]) -> Result<(), TestCaseError> {
    let (mut conflicted, mut current) = (Vec::new(), Vec::new());
    for key in KEYS {
        let siblings = siblings(entries, key);
        let named = || [("key", Value::Bytes(key.to_vec()))];
        let value = siblings.first().map(|sibling| sibling.value.clone());
        prop_assert_eq!(
            host.query("contains", named()),
            Value::Bool(value.is_some())
        );
        prop_assert_eq!(host.query("get", named()), value.clone().into());
        current.extend(value.map(|value| (key, value)));
        let ops: Vec<Value> = siblings
            .iter()
            .map(|sibling| {
                Value::record([
                    ("value", Value::Bytes(sibling.value.clone())),
                    ("author", Value::Text(sibling.op.author.to_string())),
                    ("seq", sibling.op.seq.into()),
                    ("op", Value::Text(sibling.op.id.to_string())),
                    ("hlc", sibling.hlc.into()),
                ])
            })
            .collect();
        prop_assert_eq!(host.query("conflicts", named()), Value::List(ops));
        if siblings.len() > 1 {
            conflicted.push(Value::Bytes(key.to_vec()));
        }
    }
    prop_assert_eq!(host.query("conflicted_keys", []), Value::List(conflicted));
    check_scans(host, &current)
}

fn check_scans(host: &Host, current: &[(&[u8], Vec<u8>)]) -> Result<(), TestCaseError> {
    let count = u64::try_from(current.len()).unwrap();
    prop_assert_eq!(host.query("count", []), count.into());
    for keys_only in [false, true] {
        let record = |(key, value): &(&[u8], Vec<u8>)| {
            let key = ("key", Value::Bytes(key.to_vec()));
            match keys_only {
                true => Value::record([key]),
                false => Value::record([key, ("value", Value::Bytes(value.clone()))]),
            }
        };
        let mut records: Vec<Value> = current.iter().map(record).collect();
        let flag = |name, is_set| (name, Value::Bool(is_set));
        let args = |reverse| [flag("keys_only", keys_only), flag("reverse", reverse)];
        prop_assert_eq!(
            host.query("scan", args(false)),
            Value::List(records.clone())
        );
        records.reverse();
        prop_assert_eq!(host.query("scan", args(true)), Value::List(records));
    }
    Ok(())
}

fn orders() -> impl Strategy<Value = Vec<Vec<Index>>> {
    proptest::collection::vec(proptest::collection::vec(any::<Index>(), 24), 6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn three_authors_who_fork_and_lie_reach_the_models_elements_in_every_order(
        plans in proptest::collection::vec(hostile(), 1..20), orders in orders(),
    ) {
        check(&plans, &orders)?;
    }

    #[test]
    fn a_single_author_never_has_conflicts_or_marks(
        mut plans in proptest::collection::vec(honest(), 1..20), orders in orders(),
    ) {
        for plan in &mut plans {
            plan.deps.clear();
        }
        check(&plans, &orders[..1])?;
        let entries = history(&plans);
        let mut host = Host::new();
        for entry in &entries {
            host.record(&entry.op);
            for (key, value) in host.rows() {
                let is_long_value = key[0] == b'v' && value.len() > MAX_INSIDE;
                prop_assert!(key[0] == b'c' || is_long_value, "{}", key.escape_ascii());
            }
        }
    }
}
