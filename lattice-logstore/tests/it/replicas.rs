//! Several replicas of one log, and the history of an independent implementation.

use std::convert::Infallible;

use lattice_backend::engine::ingest::{Authors, Outcome};
use lattice_backend::op::{ApplyIndex, OpDraft, OpHasher, OpKind, SecretKey};
use lattice_logstore::{Selection, encode_payload};
use lattice_meta::{Genesis, Hlc, OpId, StateHash};
use lattice_registry::{StoreHandle, TypedStore};
use proptest::prelude::*;

use crate::golden::lines;
use crate::support::{NOW_MS, On, Replica, genesis};

#[test]
fn replicas_that_exchanged_everything_have_the_same_log() {
    let genesis = genesis(1);
    let here = Replica::of(&genesis, On::Redb, 1);
    let there = Replica::of(&genesis, On::Memory, 2);
    here.log.append("from here, at the same time").unwrap();
    there
        .log
        .append_many(["from there", "at the same time"])
        .unwrap();
    there.clock.advance(1000);
    there.log.append("from there, later").unwrap();
    here.clock.advance(500);
    here.log.append("from here, in between").unwrap();
    assert_eq!(here.pull(&there).applied(), 2);
    assert_eq!(there.pull(&here).applied(), 2);
    assert_eq!(here.contents(), there.contents());
    assert_eq!(
        here.contents()[3..],
        [&b"from here, in between"[..], b"from there, later"]
    );
    assert_eq!(
        here.log.state_hash().unwrap(),
        there.log.state_hash().unwrap()
    );
    let entries = |replica: &Replica| -> Vec<_> {
        replica
            .log
            .read(Selection::all())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(entries(&here), entries(&there));
    assert!(entries(&here).is_sorted_by_key(|entry| entry.position()));
}

#[test]
fn an_op_with_an_invalid_payload_is_history_without_effect() {
    let genesis = genesis(1);
    let replica = Replica::of(&genesis, On::Redb, 1);
    replica.log.append("good").unwrap();
    let before = replica.log.state_hash().unwrap();
    let hasher = OpHasher::new(&genesis.hash());
    let good = encode_payload(&["x"]).unwrap();
    for (author, payload) in [(2, &b""[..]), (3, b"\x01"), (4, &good[..good.len() - 1])] {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::from_parts(NOW_MS, 0).unwrap(),
            deps: Vec::new(),
            payload,
        };
        let op = draft
            .sign(&hasher, &SecretKey::from_bytes(&[author; 32]))
            .unwrap();
        let mut ops = [Ok::<_, Infallible>(op.into_bytes())].into_iter();
        let report = replica.log.ingest(&mut ops, &Authors::Any).unwrap();
        assert!(
            matches!(report.outcomes[0].1, Outcome::Applied { .. }),
            "{report:?}"
        );
    }
    assert_eq!(replica.log.state_hash().unwrap(), before);
    assert_eq!(replica.log.len().unwrap(), 1);
    assert_eq!(replica.log.op_count().unwrap(), 4);
    // The next op follows all of them.
    replica.log.append("goes on").unwrap();
    assert_eq!(replica.log.frontier().unwrap().len(), 1);
    assert_eq!(replica.contents(), [&b"good"[..], b"goes on"]);
}

/// The engine's state hashes and effects match those of the independent implementation.
#[test]
fn golden_history_through_the_engine() {
    let lines = lines("history.txt");
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap();
    for on in On::ALL {
        let replica = Replica::of(&genesis, on, 77);
        let ops = lines.iter().filter(|(name, _)| name == "op");
        for ((_, words), index) in ops.zip((0..).map(ApplyIndex::new)) {
            let mut op = [Ok::<_, Infallible>(words[0].clone())].into_iter();
            let report = replica.log.ingest(&mut op, &Authors::Any).unwrap();
            assert_eq!(report.outcomes[0].1, Outcome::Applied { index });
            let effect = replica.log.engine().effect_at(index).unwrap().unwrap();
            assert_eq!(effect[..], words[1], "op {index}");
            let hash = StateHash::from_slice(&words[2]).unwrap();
            assert_eq!(replica.log.state_hash().unwrap(), hash, "op {index}");
        }
        let elements = lines.iter().filter(|(name, _)| name == "element");
        let elements: Vec<_> = elements.map(|(_, words)| words).collect();
        assert_eq!((replica.log.len().unwrap(), elements.len()), (6, 6));
        let entries = replica
            .log
            .read(Selection::all())
            .unwrap()
            .map(Result::unwrap);
        for (entry, element) in entries.zip(elements) {
            assert_eq!(entry.position().to_key()[..], element[0]);
            let value = [entry.author.as_ref(), &entry.content].concat();
            assert_eq!(value, element[1]);
        }
    }
}

#[test]
fn golden_history_in_reverse_order_reaches_the_same_state() {
    let lines = lines("history.txt");
    let genesis = Genesis::decode(&lines[0].1[0]).unwrap();
    let ops: Vec<_> = lines.iter().filter(|(name, _)| name == "op").collect();
    let replica = Replica::of(&genesis, On::Memory, 77);
    let mut backward = ops
        .iter()
        .rev()
        .map(|(_, words)| Ok::<_, Infallible>(words[0].clone()));
    let report = replica.log.ingest(&mut backward, &Authors::Any).unwrap();
    assert_eq!(report.applied(), ops.len());
    assert_eq!(
        replica.log.state_hash().unwrap().as_ref(),
        ops.last().unwrap().1[2]
    );
}

/// One step of a random history of three replicas.
#[derive(Debug, Clone)]
enum Step {
    Append { replica: usize, entries: Vec<u8> },
    Pull { to: usize, from: usize },
    Advance { replica: usize, ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (0..3_usize, prop::collection::vec(any::<u8>(), 1..4))
        .prop_map(|(replica, entries)| Step::Append { replica, entries });
    let pull = (0..3_usize, 0..3_usize).prop_map(|(to, from)| Step::Pull { to, from });
    let advance = (0..3_usize, 0..3_u64).prop_map(|(replica, ms)| Step::Advance { replica, ms });
    prop::collection::vec(prop_oneof![3 => append, 2 => pull, 1 => advance], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sequence_of_appends_and_pulls_converges(steps in steps()) {
        let genesis = genesis(0);
        let replicas: Vec<Replica> =
            (0..3).map(|author| Replica::of(&genesis, On::Memory, author)).collect();
        let mut appended = 0;
        for step in steps {
            match step {
                Step::Append { replica, entries } => {
                    appended += entries.len();
                    let entries = entries.into_iter().map(|byte| [byte]);
                    replicas[replica].log.append_many(entries).unwrap();
                }
                Step::Pull { to, from } => {
                    let report = replicas[to].pull(&replicas[from]);
                    // The sender learns nothing from branch tips that it lacks, and so sends too
                    // much.
                    let taken = |(_, outcome): &(_, Outcome)| {
                        matches!(outcome, Outcome::Applied { .. } | Outcome::Known)
                    };
                    prop_assert!(report.outcomes.iter().all(taken), "{:?}", report);
                }
                Step::Advance { replica, ms } => replicas[replica].clock.advance(ms),
            }
        }
        for (to, from) in [(0, 1), (0, 2), (1, 0), (2, 0)] {
            replicas[to].pull(&replicas[from]);
        }
        let hash = replicas[0].log.state_hash().unwrap();
        for replica in &replicas {
            prop_assert_eq!(replica.log.state_hash().unwrap(), hash);
            prop_assert_eq!(replica.contents(), replicas[0].contents());
            prop_assert_eq!(replica.log.len().unwrap(), u64::try_from(appended).unwrap());
            let entries: Vec<_> =
                replica.log.read(Selection::all()).unwrap().map(Result::unwrap).collect();
            prop_assert!(entries.is_sorted_by_key(|entry| entry.position()));
        }
    }
}
