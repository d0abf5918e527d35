//! Rebuilding a store.

use lattice_backend::backend::Table;
use lattice_backend::engine::verify::rebuild_store;

use super::*;

#[test]
fn a_rebuilt_store_has_the_old_history_and_the_state_of_the_new_logic() {
    let old = Old::written_by(Registers::default());
    let changed = Registers::build("registers-changed", Some(b"key 7"));
    let target = old.file("new.db");
    let told = Told::default();
    let open = || {
        old.site
            .backend
            .open(&old.site.path, &OpenOptions::read_write())
    };
    let held = open().unwrap();
    let rebuilt = rebuild_store(
        &*old.site.backend,
        &*held,
        &old.site.path,
        &target,
        changed.clone(),
        &told.progress(),
    )
    .unwrap();
    assert_eq!(told.of(Stage::Replay).last(), Some(&(303, Some(303))));
    assert_ne!(rebuilt.before, rebuilt.after);
    assert_eq!(rebuilt.difference.op.unwrap().index, at(7));
    held.close().unwrap();
    let before = old.open(&Registers::default()).unwrap();
    assert_eq!(before.state_hash().unwrap(), rebuilt.before);
    let mut request = old.request();
    request.path = target;
    let after = Engine::open(request, changed).unwrap();
    assert_eq!(after.state_hash().unwrap(), rebuilt.after);
    assert_eq!(get(&after, "key 7"), Some(b"782 eulav".to_vec()));
    assert_eq!(get(&after, "key 8"), get(&before, "key 8"));
    assert!(history(&after) == history(&before));
    assert_eq!(after.frontier().unwrap(), before.frontier().unwrap());
    assert_eq!(after.info().unwrap(), before.info().unwrap());
    assert_whole_at(&after, &old.site);
    append(&after, "more", "value");
}

#[test]
fn a_damaged_history_is_not_rebuilt() {
    let old = Old::written_by(Registers::default());
    let db = old
        .site
        .backend
        .open(&old.site.path, &OpenOptions::read_write())
        .unwrap();
    let mut tx = db.begin_write().unwrap();
    let key = 9_u64.to_be_bytes();
    let mut record = tx.get(Table::Ops, &key).unwrap().unwrap();
    // The last byte of the signature.
    *record.last_mut().unwrap() ^= 1;
    tx.put(Table::Ops, &key, &record).unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let held = old
        .site
        .backend
        .open(&old.site.path, &OpenOptions::read_write());
    let held = held.unwrap();
    let refused = rebuild_store(
        &*old.site.backend,
        &*held,
        &old.site.path,
        &old.file("new.db"),
        Registers::default(),
        &ProgressSink::none(),
    );
    let Err(OpenError::History { faults, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(faults, ["op at index 9: its signature is not valid"]);
    held.close().unwrap();
    old.open(&Registers::default()).unwrap();
}
