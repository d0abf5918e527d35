//! Stores that no command of the program can create.

use std::fs;
use std::path::Path;

use crate::older::Other;
use lattice_backend::backend::Table;
use lattice_backend::engine::open::create_store;
use lattice_backend::machine::LogicVersion;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{Genesis, Hlc, Nonce, SchemaVersion, StoreId};
use lattice_node::{Access, Aliases, Authors, KvStore, Node};

/// Creates them in separate data directories.
pub(super) fn make(dir: &Path) {
    part(dir);
    spoiled(&dir.join("spoiled"));
    empty(&dir.join("foreign"), "org.example.chat", 1, "chat");
    let modules = [
        ("chat.wasm", lattice_wasm::guests::CHAT),
        ("fixed.wasm", lattice_wasm::guests::CHAT_HOTFIX),
        ("broken.wasm", lattice_wasm::guests::CHAT_BROKEN),
        ("chat2.wasm", lattice_wasm::guests::CHAT_V2),
        ("kvstore.wasm", lattice_wasm::guests::KVSTORE),
    ];
    // The same code for a later ABI version, which is the first number of the manifest.
    let mut newer = lattice_wasm::guests::CHAT.to_vec();
    let section = b"lattice.store";
    let at = newer
        .windows(section.len())
        .position(|found| found == section);
    newer[at.unwrap() + section.len()] = 2;
    fs::write(dir.join("newer.wasm"), newer).unwrap();
    for (name, wasm) in modules {
        fs::write(dir.join(name), wasm).unwrap();
    }
    empty(&dir.join("newer"), "core:kvstore", 99, "future");
    fs::write(dir.join("tally_v1.wasm"), lattice_wasm::guests::TALLY_V1).unwrap();
    fs::write(dir.join("tally.wasm"), lattice_wasm::guests::TALLY).unwrap();
    let older = dir.join("older");
    Other::equal().write_as(&older, "fruit");
    Other::different().write_as(&older, "parts");
}

/// Two stores that do not follow from their histories: one with a forged row, one with a forged
/// effect of an op.
fn spoiled(dir: &Path) {
    let node = Node::open(dir).unwrap();
    let make = |alias| {
        let id = node
            .manager()
            .create(&"core:kvstore".parse().unwrap())
            .unwrap();
        let kv: KvStore = node.open_as(id, Access::ReadWrite).unwrap();
        kv.put("key", "value").unwrap();
        name(dir, alias, id);
        node.manager().store_path(id)
    };
    let (row, effect) = (make("row"), make("effect"));
    node.manager().close_all().unwrap();
    let flip = |file: &Path, table, key: &[u8], place: usize| {
        crate::edit(file, |tx| {
            let mut row = tx.get(table, key).unwrap().unwrap();
            row[place] ^= 1;
            tx.put(table, key, &row).unwrap();
        });
    };
    let last = "value".len();
    flip(&row, Table::Data, b"ckey", last);
    // After the byte of the branch.
    flip(&effect, Table::Ops, &[0; 8], 1);
}

/// Two replicas of one store that gave a key concurrent values; Ann has ingested Bob's ops.
fn part(dir: &Path) {
    let (ann_dir, bob_dir) = (dir.join("ann"), dir.join("bob"));
    let (ann, bob) = (Node::open(&ann_dir).unwrap(), Node::open(&bob_dir).unwrap());
    let id = ann
        .manager()
        .create(&"core:kvstore".parse().unwrap())
        .unwrap();
    name(&ann_dir, "drinks", id);
    let bob_path = bob.manager().store_path(id);
    fs::create_dir_all(bob_path.parent().unwrap()).unwrap();
    fs::copy(ann.manager().store_path(id), bob_path).unwrap();
    let open = |node: &Node| node.open_as::<KvStore>(id, Access::ReadWrite).unwrap();
    let (anns, bobs) = (open(&ann), open(&bob));
    anns.put("hot", "tea").unwrap();
    anns.put("cold", "water").unwrap();
    // Bob's clock must be later, so that his value is current.
    while bobs.put("hot", "coffee").unwrap().hlc <= anns.conflicts("hot").unwrap()[0].hlc {}
    let ops = bobs.ops_after(&anns.branch_tips().unwrap()).unwrap();
    anns.ingest(ops, &Authors::Any).unwrap();
    ann.manager().close_all().unwrap();
}

/// A store of a type or a schema version that the program does not know.
fn empty(dir: &Path, store_type: &str, schema: u64, alias: &str) {
    let node = Node::open(dir).unwrap();
    let genesis = Genesis::new(
        store_type.parse().unwrap(),
        node.manager().author().unwrap(),
        Nonce::from_bytes([3; 16]),
        Hlc::from_parts(1_700_000_000_000, 0).unwrap(),
        None,
    );
    let path = node.manager().store_path(genesis.store_id());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    create_store(
        &RedbBackend::on_files(),
        &path,
        &genesis,
        SchemaVersion::new(schema),
        &LogicVersion::new("unknown/1").unwrap(),
    )
    .unwrap();
    name(dir, alias, genesis.store_id());
}

fn name(dir: &Path, alias: &str, id: StoreId) {
    Aliases::set(dir, &alias.parse().unwrap(), id).unwrap();
}
