//! The history of an independent implementation, through the logic alone and through the engine.

use lattice_backend::backend::{Direction, EVERYTHING};
use lattice_backend::machine::DataRead;
use lattice_backend::op::{ApplyIndex, Op, OpHasher};
use lattice_backend::state::{Accumulator, ElementHasher, Expansion};
use lattice_meta::{Genesis, GenesisHash, StateHash};
use lattice_registry::TypedStore;

use crate::support::Rows;
use crate::support::golden::{first, lines};
use crate::support::host::{Host, TestOp, shown};
use crate::support::replica::{On, Replica};

/// Ops, elements, rows, and lines in all.
const COUNTS: (usize, usize, usize, usize) = (16, 23, 47, 87);

struct Golden {
    genesis: Genesis,
    ops: Vec<Step>,
    elements: Rows,
    rows: Rows,
}

/// An op, its effect, and the store's hashes after it.
struct Step {
    op: Vec<u8>,
    effect: Vec<u8>,
    state_hash: StateHash,
    /// BLAKE3 of all rows.
    rows: [u8; 32],
}

impl Golden {
    fn state_hash(&self) -> StateHash {
        self.ops.last().unwrap().state_hash
    }
}

fn golden() -> Golden {
    let lines = lines("history.txt");
    let all = |name: &'static str| {
        let found = lines.iter().filter(move |(found, _)| found == name);
        found.map(|(_, words)| &words[..])
    };
    let step = |words: &[Vec<u8>]| Step {
        op: words[0].clone(),
        effect: words[1].clone(),
        state_hash: StateHash::from_slice(&words[2]).unwrap(),
        rows: words[3][..].try_into().unwrap(),
    };
    let pair = |words: &[Vec<u8>]| {
        (
            words[0].clone(),
            words.get(1).cloned().unwrap_or_else(Vec::new),
        )
    };
    let golden = Golden {
        genesis: Genesis::decode(first(all("genesis").next().unwrap())).unwrap(),
        ops: all("op").map(step).collect(),
        elements: all("element").map(pair).collect(),
        rows: all("row").map(pair).collect(),
    };
    let counts = (
        golden.ops.len(),
        golden.elements.len(),
        golden.rows.len(),
        lines.len(),
    );
    assert_eq!(counts, COUNTS);
    golden
}

fn hash(elements: &Rows, genesis: &GenesisHash) -> StateHash {
    let [library, vectors] = Expansion::EACH.map(|expansion| {
        let hasher = ElementHasher::by(expansion);
        let mut state = Accumulator::default();
        for (key, value) in elements {
            state.insert(&hasher, key, value);
        }
        state.state_hash(genesis)
    });
    assert_eq!(library, vectors);
    library
}

/// BLAKE3 of all rows in the order of their keys, each key and value after its length.
fn digest(rows: &Rows) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for bytes in rows.iter().flat_map(|(key, value)| [key, value]) {
        hasher.update(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Checks elements, rows and state hash after each op, in the order of the file.
#[test]
fn golden_history() {
    let golden = golden();
    let genesis = golden.genesis.hash();
    let hasher = OpHasher::new(&genesis);
    let mut host = Host::new();
    for (place, step) in golden.ops.into_iter().enumerate() {
        let op = Op::decode(step.op, &hasher).unwrap();
        op.verify().unwrap();
        host.record(&TestOp {
            kind: op.kind(),
            reference: op.reference(),
            hlc: op.hlc().to_u64(),
            payload: op.payload().to_vec(),
        });
        let found = hash(&host.elements(), &genesis);
        assert_eq!(found, step.state_hash, "after op {place}");
        assert_eq!(digest(host.rows()), step.rows, "after op {place}");
    }
    assert_eq!(shown(&host.elements()), shown(&golden.elements));
    assert_eq!(shown(host.rows()), shown(&golden.rows));
}

/// The engine computes the same effects, and the same state after each op.
#[test]
fn golden_effects_in_an_engine() {
    let golden = golden();
    for on in On::EACH {
        let replica = Replica::of(&golden.genesis, on, 9);
        for (index, step) in (0..).map(ApplyIndex::new).zip(&golden.ops) {
            assert_eq!(replica.take([step.op.clone()]).applied(), 1);
            let effect = replica.kv.engine().effect_at(index).unwrap();
            assert_eq!(&effect.unwrap()[..], step.effect, "{on:?}, op {index}");
            let found = replica.kv.state_hash().unwrap();
            assert_eq!(found, step.state_hash, "{on:?}, op {index}");
        }
        let snapshot = replica.kv.engine().snapshot().unwrap();
        let mut rows = Rows::new();
        let mut cursor = snapshot.range(EVERYTHING, Direction::Forward).unwrap();
        while let Some(row) = cursor.next().unwrap() {
            rows.insert(row.key.to_vec(), row.value.to_vec());
        }
        assert_eq!(shown(&rows), shown(&golden.rows), "{on:?}");
    }
}

/// The engine ingests the ops in any order; pending ones are applied after their parents.
#[test]
fn golden_history_in_an_engine() {
    let golden = golden();
    for on in On::EACH {
        for turn in 0..golden.ops.len() {
            let replica = Replica::of(&golden.genesis, on, 9);
            let mut ops: Vec<_> = golden.ops.iter().map(|step| step.op.clone()).collect();
            ops.rotate_left(turn);
            ops.reverse();
            let report = replica.take(ops);
            assert_eq!(report.applied(), golden.ops.len(), "{report:?}");
            assert_eq!(
                replica.kv.state_hash().unwrap(),
                golden.state_hash(),
                "{on:?}, {turn}"
            );
        }
    }
}
