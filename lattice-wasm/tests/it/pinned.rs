//! The content ids of the modules that ship with Lattice.

use std::fs;
use std::path::{Path, PathBuf};

use lattice_meta::Cid;
use lattice_wasm::{Code, guests};

const ALL: [(&str, &[u8]); 9] = [
    ("kvstore", guests::KVSTORE),
    ("logstore", guests::LOGSTORE),
    ("chat", guests::CHAT),
    ("chat_hotfix", guests::CHAT_HOTFIX),
    ("chat_broken", guests::CHAT_BROKEN),
    ("chat_v2", guests::CHAT_V2),
    ("counter", guests::COUNTER),
    ("tally_v1", guests::TALLY_V1),
    ("tally", guests::TALLY),
];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.unwrap().to_path_buf()
}

/// Compares a file of the tree; `UPDATE_CIDS=1` writes it, after `cargo xtask guest --write`.
fn check(path: &str, expected: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_CIDS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(kept, expected, "{}: see CONTRIBUTING.md", path.display());
}

#[test]
fn content_ids_are_those_that_the_tree_names() {
    let line = |(name, wasm): (&str, &[u8])| format!("{} {name}\n", Cid::of(wasm));
    let lines: String = ALL.map(line).concat();
    check("lattice-wasm/guests/cids.txt", &lines);
    let cid = |wasm: &[u8]| format!("{}\n", Cid::of(wasm));
    check("lattice-kvstore/src/guest.cid", &cid(guests::KVSTORE));
    check("lattice-logstore/src/guest.cid", &cid(guests::LOGSTORE));
}

#[test]
fn every_module_can_be_run() {
    for (name, wasm) in ALL {
        let code = Code::new(wasm).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(code.cid(), Cid::of(wasm));
    }
}
