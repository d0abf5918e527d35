//! Tests the suite, on state machines that follow all rules and on ones that break one rule each.

mod faulty;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::conformance::machine::Keys;
use crate::conformance::machine::broken::Rule;
use crate::conformance::machine::history::genesis;
use crate::conformance::machine::store::Recipient;
use crate::conformance::{Forge, MachineSuite, MigrationSuite, Rng};
use crate::engine::ingest::Authors;
use faulty::{Fault, Registers};

fn command(rng: &mut Rng) -> Vec<u8> {
    let value = rng.below(4);
    vec![b"abc"[rng.below(3)], u8::try_from(value).unwrap()]
}

fn suite(fault: Fault) -> MachineSuite<'static, Registers> {
    MachineSuite::new(move || Registers::new(fault), command)
}

fn message(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the suite finds it");
    panic.downcast_ref::<String>().cloned().unwrap()
}

/// The number of ops that a message lists.
fn listed(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("    ")).count()
}

/// Checks that the suite finds the fault, describes it as expected, and lists at most `most` ops.
#[track_caller]
fn found(fault: Fault, most: usize, expected: &str) -> String {
    let began = Instant::now();
    let text = message(|| suite(fault).run());
    assert!(text.contains(expected), "{fault:?}: {text}");
    assert!(
        text.contains("to run this history again: .seed(0x"),
        "{text}"
    );
    let listed = listed(&text);
    assert!(
        (1..=most).contains(&listed),
        "{fault:?}: {listed} ops: {text}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    text
}

#[test]
fn a_machine_that_keeps_the_rules_passes() {
    suite(Fault::None).run();
    suite(Fault::None)
        .hostile(|_, _| b"p\x01".to_vec())
        .histories(2)
        .orders(2)
        .thorough()
        .run();
}

#[test]
fn the_last_arrival_wins() {
    let text = found(
        Fault::LastArrivalWins,
        2,
        "the state depends on the order of arrival: at key \"",
    );
    assert!(
        text.contains("order 1: ") && text.contains("order 2: "),
        "{text}"
    );
    assert!(text.contains("first hlc 17"), "{text}");
    assert!(text.contains(": register "), "{text}");
}

#[test]
fn an_apply_index_in_an_element() {
    found(
        Fault::IndexInElement,
        2,
        "the state depends on the order of arrival",
    );
}

#[test]
fn elements_with_equal_keys() {
    found(
        Fault::EqualKeys,
        2,
        "two elements of one state have the key \"all\"",
    );
}

#[test]
fn elements_that_depend_on_more_than_their_row() {
    found(
        Fault::ElementsFromElsewhere,
        2,
        "`elements` does not depend on its row alone",
    );
}

#[test]
fn rows_that_depend_on_the_transaction() {
    found(
        Fault::RowsOfTransaction,
        2,
        "the same ops in the same order gave different rows, in transactions of other sizes",
    );
}

#[test]
fn hidden_state() {
    found(
        Fault::HiddenState,
        3,
        "the code depends on more than its arguments",
    );
    found(
        Fault::HiddenStateOfSettle,
        3,
        "the code depends on more than its arguments",
    );
}

#[test]
fn overrides_that_differ() {
    found(
        Fault::RunDiffers,
        2,
        "`run` did not do what `apply` and `settle` do",
    );
    found(Fault::ElementsOfDiffers, 2, "`elements_of` gives");
}

#[test]
fn validity_that_depends_on_more_than_bytes() {
    let text = found(
        Fault::ValidityByThread,
        1,
        "whether a payload is valid depends on more",
    );
    assert!(text.contains("on another thread"), "{text}");
}

#[test]
fn damaged_payloads_that_make_decode_panic() {
    let text = found(
        Fault::DecodePanics,
        1,
        "`decode`: the store type's code panicked: short",
    );
    assert!(text.contains("payload \""), "{text}");
}

#[test]
fn descriptions_of_two_lines() {
    found(Fault::TwoLines, 1, "`describe` gives \"register\\n");
}

#[test]
fn a_payload_that_makes_apply_panic_is_named() {
    let suite = |fault| suite(fault).hostile(|_, _| b"p\x01".to_vec());
    let text = message(|| suite(Fault::PanicsOnMark).run());
    assert!(text.contains("applying the payload of op"), "{text}");
    assert!(
        text.contains("panicked: marked\n  it used 1 calls of the host"),
        "{text}"
    );
    assert!(text.contains("\n  1 of "), "{text}");
    let text = message(|| suite(Fault::LoopsOnMark).run());
    assert!(text.contains("exceeded the limit of "), "{text}");
    assert!(text.contains("stores hold the op"), "{text}");
    assert_eq!(listed(&text), 1, "{text}");
}

#[test]
fn work_that_grows_with_the_writes_of_other_authors() {
    for fault in [Fault::ReadsAllForEachRow, Fault::AsksForAllOps] {
        let text = message(|| suite(fault).run());
        assert!(text.contains("exceeded the limit of "), "{fault:?}: {text}");
        assert!(
            text.contains("stores allow that; but the work grows"),
            "{text}"
        );
    }
    // With a store's limits the fault does not show.
    suite(Fault::AsksForAllOps)
        .tightened(NonZero::<u64>::MIN)
        .histories(1)
        .run();
}

#[test]
fn two_methods_with_one_name() {
    let text = message(|| suite(Fault::EqualMethods).run());
    assert!(text.contains("two methods have the name `get`"), "{text}");
    let text = message(|| suite(Fault::MethodPanics).run());
    assert!(
        text.contains("method `get`: the store type's code panicked"),
        "{text}"
    );
}

#[test]
fn a_prepared_payload_that_is_invalid() {
    let text = message(|| suite(Fault::PreparesInvalid).run());
    assert!(
        text.contains("`prepare` made a payload that `decode` finds invalid"),
        "{text}"
    );
}

/// The seed in the message suffices to reproduce the same failure.
#[test]
fn a_failure_is_reproduced_by_its_seed() {
    let first = message(|| suite(Fault::LastArrivalWins).run());
    let digits = first.split(".seed(0x").nth(1).unwrap().split(')').next();
    let seed = u64::from_str_radix(digits.unwrap(), 16).unwrap();
    let again = message(|| suite(Fault::LastArrivalWins).seed(seed).histories(1).run());
    assert_eq!(first, again);
}

/// Exactly the ops on which code panics or loops, and their descendants, are held, in every order.
#[test]
fn marked_ops_are_held_and_ops_of_other_authors_are_applied() {
    for fault in [Fault::PanicsOnMark, Fault::LoopsOnMark] {
        let logic = Registers::new(fault);
        let mut forge = Forge::for_store("org.example.registers".parse().unwrap());
        let marked = forge.next_op(1, b"p\x01");
        let follows = forge.next_op(1, b"a\x02");
        let names = forge.op(2, None, &[marked.reference()], b"b\x01");
        let (other, later) = (forge.next_op(3, b"c\x03"), forge.next_op(3, b"a\x01"));
        let mut ops = vec![marked, follows, names, other, later];
        let mut rng = Rng::new(9);
        let mut hashes = Vec::new();
        for _ in 0..4 {
            rng.shuffle(&mut ops);
            let store = Recipient::new(forge.genesis(), logic.clone()).unwrap();
            store
                .in_batches(&mut rng, &ops.iter().collect::<Vec<_>>(), 3)
                .unwrap();
            let held = store.engine.held_ops().unwrap();
            let mut held: Vec<_> = held.map(|held| held.unwrap().op.reference()).collect();
            held.sort_unstable();
            assert_eq!(held.len(), 3);
            assert!(held.iter().all(|op| op.author != Forge::author(3)));
            assert_eq!(store.engine.op_count().unwrap(), 2);
            hashes.push((held, store.engine.state_hash().unwrap()));
            let broken = store.demand_all_applied(5).unwrap_err();
            assert_eq!(broken.rule, Rule::Fault);
        }
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// Histories have all that the suite promises: forks, merges, ops without deps, hostile payloads.
#[test]
fn generated_histories_have_all_kinds_of_ops() {
    let keys = Keys::new();
    let mut rng = Rng::new(5);
    let genesis = genesis(&mut rng, &Registers::new(Fault::None), keys.owner()).unwrap();
    let mut suite = suite(Fault::None);
    let story = super::Story::build(&mut rng, suite.source(&keys), &genesis, 200);
    let Ok(story) = story else {
        panic!("it is built")
    };
    let ops = &story.ops;
    assert!(ops.len() > 80, "{} ops", ops.len());
    let has_siblings = |op: &crate::op::Op| {
        let same = |other: &&crate::op::Op| other.prev() == op.prev() && op.prev().is_some();
        ops.iter().filter(same).count() > 1
    };
    assert!(ops.iter().any(has_siblings));
    assert!(ops.iter().any(|op| op.kind() == crate::op::OpKind::Merge));
    assert!(ops.iter().any(|op| op.payload().len() > 8));
    let store = Recipient::new(&genesis, Registers::new(Fault::None)).unwrap();
    let signed = keys
        .sign(ops)
        .into_iter()
        .map(|op| Ok::<_, std::io::Error>(op.into_bytes()));
    let report = store.engine.ingest(signed, &Authors::Any).unwrap();
    assert!(report.is_complete(), "{report:?}");
}

#[test]
fn a_migration_that_keeps_the_state_passes_and_one_that_loses_a_row_does_not() {
    let suite = |fault| {
        let new = move || Registers::new(fault).second_schema();
        MigrationSuite::new(|| Registers::new(Fault::None), new, command).histories(2)
    };
    suite(Fault::None).run();
    let text = message(|| suite(Fault::MigrationLoses).run());
    assert!(text.contains("migrating failed"), "{text}");
}
