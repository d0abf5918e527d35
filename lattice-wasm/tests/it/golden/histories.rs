//! Replays the golden histories of the native store types through their modules: effects and state
//! hashes have the same bytes.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::ApplyIndex;
use lattice_meta::Genesis;
use lattice_wasm::{Code, WasmMachine, guests};

use super::lines_of;

/// Applies ops one by one; each comes with its bytes, its effect and the state hash after it.
fn replay(file: &str, wasm: &[u8]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lines = lines_of(&root.join(file));
    let genesis = lines.iter().find(|(name, _)| name == "genesis").unwrap();
    let genesis = Genesis::decode(&genesis.1[0]).unwrap();
    let machine = WasmMachine::new(Code::new(wasm).unwrap(), &[]).unwrap();
    let (backend, path) = (Arc::new(MemoryBackend::new()), PathBuf::from("state.db"));
    Engine::create(&*backend, &path, &genesis, &machine).unwrap();
    let engine = Engine::open(OpenRequest::new(backend, &path), machine).unwrap();
    let ops = lines.iter().filter(|(name, _)| name == "op");
    let mut replayed = 0;
    for (index, (_, op)) in (0..).map(ApplyIndex::new).zip(ops) {
        let given = [Ok::<_, Infallible>(op[0].clone())];
        let report = engine.ingest(given, &Authors::Any).unwrap();
        assert_eq!(report.applied(), 1, "{file}, op {index}");
        let effect = engine.effect_at(index).unwrap().unwrap();
        assert_eq!(effect[..], op[1], "{file}, op {index}");
        let state_hash = engine.state_hash().unwrap();
        assert_eq!(state_hash.as_bytes()[..], op[2], "{file}, op {index}");
        replayed += 1;
    }
    assert!(replayed >= 5, "{file}: {replayed} ops");
}

#[test]
fn kvstore() {
    replay("lattice-kvstore/tests/golden/history.txt", guests::KVSTORE);
}

#[test]
fn logstore() {
    replay(
        "lattice-logstore/tests/golden/history.txt",
        guests::LOGSTORE,
    );
}
