//! The history that another implementation made, through the logic alone and through the engine.

use lattice_backend::{Accumulator, LeafHasher, Op, OpHasher, Row, StateMachine};
use lattice_kvstore::{KvMachine, SCHEMA_VERSION};
use lattice_meta::{Genesis, GenesisHash, StateHash};
use lattice_registry::StoreHandle;

use crate::support::Rows;
use crate::support::golden::{first, lines};
use crate::support::host::{Host, TestOp, shown};
use crate::support::replica::{On, Replica};

struct Golden {
    genesis: Genesis,
    ops: Vec<Vec<u8>>,
    rows: Rows,
    state_hash: StateHash,
}

fn golden() -> Golden {
    let lines = lines("history.txt");
    let all = |name: &str| {
        let found = lines.iter().filter(|(found, _)| found == name);
        found.map(|(_, words)| words.clone()).collect::<Vec<_>>()
    };
    let ops: Vec<Vec<u8>> = all("op")
        .into_iter()
        .map(|mut words| words.remove(0))
        .collect();
    assert_eq!(ops.len(), 11);
    let row = |words: Vec<Vec<u8>>| {
        let mut words = words.into_iter();
        (words.next().unwrap(), words.next().unwrap_or_default())
    };
    Golden {
        genesis: Genesis::decode(first(&all("genesis")[0])).unwrap(),
        ops,
        rows: all("row").into_iter().map(row).collect(),
        state_hash: StateHash::from_slice(first(&all("state_hash")[0])).unwrap(),
    }
}

fn hash(rows: &Rows, genesis: &GenesisHash) -> StateHash {
    let (machine, hasher) = (KvMachine::new(), LeafHasher::default());
    let mut state = Accumulator::default();
    for (key, value) in rows {
        machine.leaves(SCHEMA_VERSION, Row { key, value }, &mut |key, value| {
            state.insert(&hasher, key, value);
        });
    }
    state.state_hash(genesis)
}

#[test]
fn golden_history() {
    let golden = golden();
    let genesis = golden.genesis.hash();
    let hasher = OpHasher::new(&genesis);
    let mut host = Host::new();
    for bytes in golden.ops {
        let op = Op::decode(bytes, &hasher).unwrap();
        op.verify().unwrap();
        host.record(&TestOp {
            kind: op.kind(),
            reference: op.reference(),
            hlc: op.hlc().to_u64(),
            payload: op.payload().to_vec(),
        });
    }
    assert_eq!(shown(host.rows()), shown(&golden.rows));
    assert_eq!(hash(host.rows(), &genesis), golden.state_hash);
}

/// The engine takes the ops in any order; what waits for others is applied after them.
#[test]
fn golden_history_in_an_engine() {
    let golden = golden();
    for on in On::EACH {
        for turn in 0..golden.ops.len() {
            let replica = Replica::of(&golden.genesis, on, 9);
            let mut ops = golden.ops.clone();
            ops.rotate_left(turn);
            ops.reverse();
            let report = replica.take(ops);
            assert_eq!(report.applied(), golden.ops.len(), "{report:?}");
            assert_eq!(
                replica.kv.state_hash().unwrap(),
                golden.state_hash,
                "{on:?}, {turn}"
            );
        }
    }
}
