//! All rows of a store.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{
    Direction, EVERYTHING, MemoryBackend, OpenOptions, StateBackend, Table,
};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::{Op, OpDraft, OpKind, SecretKey};
use lattice_meta::codec;
use lattice_meta::{Genesis, Hlc, OpId};

use super::machine::RowMachine;
use super::{Fields, Word, hasher, lines};
use crate::support::given;

/// All rows of a store with a fixed history, in the order of tables and keys.
#[test]
fn golden_tables() {
    let (backend, engine) = fixed_history();
    let state_hash = engine.state_hash().unwrap();
    engine.close().unwrap();
    let db = backend
        .open(Path::new("store"), &OpenOptions::read_only())
        .unwrap();
    let snapshot = db.snapshot().unwrap();
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut rows = snapshot
            .range(table, EVERYTHING, Direction::Forward)
            .unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = Some(row.key.to_vec());
            found.push(if row.value.len() <= 200 {
                (table.name().to_owned(), vec![key, Some(row.value.to_vec())])
            } else {
                let hash = blake3::hash(row.value).as_bytes().to_vec();
                (format!("{table}_hashed"), vec![key, Some(hash)])
            });
        }
    }
    found.push((
        "state_hash".into(),
        vec![Some(state_hash.as_bytes().to_vec())],
    ));
    let expected = lines("tables.txt");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// Two authors, an op in several parts, a fork, two ops that are long enough to trigger an update
/// of the index, and an op that is not indexed yet.
fn fixed_history() -> (Arc<MemoryBackend>, Engine<RowMachine>) {
    let secret =
        |file| SecretKey::from_bytes(&Fields::read(file).bytes("secret").try_into().unwrap());
    let (a, b) = (secret("op_first.txt"), secret("op_empty_payload.txt"));
    let start = Hlc::from_parts(1_700_000_000_000, 0).unwrap().to_u64();
    let hasher = hasher();
    let make = |secret, seq, prev: Option<&Op>, after, deps: &[&Op], writes: &[(&[u8], Word)]| {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq,
            prev: prev.map_or(OpId::ZERO, |op| op.reference().id),
            hlc: Hlc::from_u64(start + after),
            deps: deps.iter().map(|op| op.reference()).collect(),
            payload: &codec::encode(writes).unwrap(),
        };
        draft.sign(&hasher, secret).unwrap()
    };
    let a0 = make(&a, 0, None, 0, &[], &[(b"k1", Some(b"v1".to_vec()))]);
    let b0_writes: [(&[u8], Word); 2] = [
        (b"k1", Some(b"v2".to_vec())),
        (b"k2", Some(vec![0x5a; 5000])),
    ];
    let b0 = make(&b, 0, None, 1, &[&a0], &b0_writes);
    let a1 = make(
        &a,
        1,
        Some(&a0),
        2,
        &[&b0],
        &[(b"k3", Some(vec![0x11; 300 * 1024]))],
    );
    let fork = make(&a, 1, Some(&a0), 3, &[], &[(b"k2", None)]);
    let long = [(&b"k4"[..], Some(vec![0x22; 300 * 1024]))];
    let b1 = make(&b, 1, Some(&b0), 4, &[&fork], &long);
    let tail = make(&a, 2, Some(&fork), 5, &[], &[(b"k5", Some(b"v5".to_vec()))]);

    let backend = Arc::new(MemoryBackend::new());
    let genesis = Genesis::decode(Fields::read("op_stores.txt").bytes("genesis")).unwrap();
    Engine::create(&*backend, Path::new("store"), &genesis, &RowMachine::new()).unwrap();
    let request = OpenRequest::new(backend.clone(), "store");
    let engine = Engine::open(request, RowMachine::new()).unwrap();
    for ops in [vec![a0, b0, a1], vec![fork, b1], vec![tail]] {
        let ops = ops.into_iter().map(Op::into_bytes);
        let report = engine.ingest(given(ops), &Authors::Any).unwrap();
        assert!(report.is_complete(), "{report:?}");
    }
    (backend, engine)
}
