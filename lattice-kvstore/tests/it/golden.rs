//! The history that another implementation made, through the logic alone and through the engine.

use lattice_backend::{Accumulator, ElementHasher, Op, OpHasher};
use lattice_meta::{Genesis, GenesisHash, StateHash};
use lattice_registry::StoreHandle;

use crate::support::Rows;
use crate::support::golden::{first, lines};
use crate::support::host::{Host, TestOp, shown};
use crate::support::replica::{On, Replica};

struct Golden {
    genesis: Genesis,
    ops: Vec<Vec<u8>>,
    /// Cells as they were in schema 1, and all other rows.
    full: Rows,
    /// Cells since schema 2.
    short: Rows,
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
        full: all("row").into_iter().map(row).collect(),
        short: all("short").into_iter().map(row).collect(),
        state_hash: StateHash::from_slice(first(&all("state_hash")[0])).unwrap(),
    }
}

fn hash(leaves: &Rows, genesis: &GenesisHash) -> StateHash {
    let hasher = ElementHasher::default();
    let mut state = Accumulator::default();
    for (key, value) in leaves {
        state.insert(&hasher, key, value);
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
    let is_leaf = |row: &(&Vec<u8>, &Vec<u8>)| !row.0.starts_with(b"i");
    let leaves = golden.full.iter().filter(is_leaf);
    let leaves: Rows = leaves
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect();
    assert_eq!(shown(&host.leaves()), shown(&leaves));
    assert_eq!(hash(&host.leaves(), &genesis), golden.state_hash);
    let mut rows = golden.full;
    rows.extend(golden.short);
    assert_eq!(shown(host.rows()), shown(&rows));
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
