//! Other versions of the logic on an existing history.

use lattice_backend::backend::BackendError;

use super::*;

/// A build that computes the same state in a different way.
fn faster() -> Registers {
    Registers::build("registers-faster", None)
}

#[test]
fn the_same_results_are_accepted_recorded_and_not_replayed_again() {
    let old = Old::written_by(Registers::default());
    let before = old
        .read(&Registers::default(), LogicPolicy::Replay)
        .unwrap();
    let (hash, ops) = (before.state_hash().unwrap(), before.op_count().unwrap());
    before.close().unwrap();
    let told = Told::default();
    let mut request = old.request();
    request.progress = told.progress();
    let store = Engine::open(request.clone(), faster()).unwrap();
    assert_eq!(store.state_hash().unwrap(), hash);
    let replayed = told.of(Stage::Replay);
    assert_eq!(replayed.first(), Some(&(0, Some(ops))));
    assert_eq!(replayed.last(), Some(&(ops, Some(ops))));
    assert_whole_at(&store, &old.site);
    store.close().unwrap();
    // From now on it is the store's logic, also for read-only opens.
    told.0.lock().unwrap().clear();
    Engine::open(request, faster()).unwrap().close().unwrap();
    assert_eq!(told.of(Stage::Replay), []);
    old.read(&faster(), LogicPolicy::Refuse).unwrap();
    let back = old.read(&Registers::default(), LogicPolicy::Replay);
    assert!(matches!(back, Err(OpenError::LogicChanged { .. })));
}

#[test]
fn different_results_for_old_ops_are_refused_with_op_and_key() {
    let old = Old::written_by(Registers::default());
    let bytes = old.bytes();
    let changed = Registers::build("registers-changed", Some(b"key 7"));
    let refused = old.open(&changed).unwrap_err();
    assert!(old.bytes() == bytes, "the refusal changed a byte");
    let text = refused.to_string();
    let OpenError::LogicDiffers {
        store_id,
        recorded,
        current,
        ops,
        difference,
    } = refused
    else {
        panic!("{text}");
    };
    assert_eq!(store_id, genesis().store_id());
    assert_eq!(
        (recorded.as_str(), current.as_str()),
        ("registers-1", "registers-changed")
    );
    let own = old.read(&Registers::default(), LogicPolicy::Replay);
    assert_eq!(ops, own.unwrap().op_count().unwrap());
    let op = difference.op.unwrap();
    assert_eq!(op.index, at(7));
    let store = old
        .read(&Registers::default(), LogicPolicy::Replay)
        .unwrap();
    let seventh = store.op_at(at(7)).unwrap().unwrap();
    assert_eq!((op.op, op.hlc), (seventh.reference(), seventh.hlc()));
    assert_eq!(op.expected, store.effect_at(at(7)).unwrap().unwrap());
    assert!(op.keys.contains(&b"key 7".to_vec()), "{:?}", op.keys);
    let row = difference.row.unwrap();
    assert_eq!(row.key, b"key 7");
    assert!(
        row.expected.unwrap().ends_with(b"782 eulav") && row.found.unwrap().ends_with(b"value 287")
    );
    assert_eq!(difference.state.unwrap().found, store.state_hash().unwrap());
    for said in ["cannot be opened", "index 7", "key 7", "rebuild"] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn different_results_for_ops_that_the_store_lacks_are_accepted() {
    let old = Old::written_by(Registers::default());
    let elsewhere = Registers::build("registers-elsewhere", Some(b"never"));
    let store = old.open(&elsewhere).unwrap();
    append(&store, "never before", "abc");
    assert_eq!(get(&store, "never before"), Some(b"cba".to_vec()));
    assert_whole_at(&store, &old.site);
    store.close().unwrap();
    // The store now has such a row: the first logic no longer computes its state.
    let back = old.open(&Registers::default());
    assert!(matches!(back, Err(OpenError::LogicDiffers { .. })));
}

#[test]
fn each_policy_decides_when_to_replay() {
    let changed = Registers::build("registers-changed", Some(b"key 7"));
    let old = Old::written_by(Registers::default());
    let bytes = old.bytes();
    for refused in [
        old.open_with(&faster(), LogicPolicy::Refuse),
        old.read(&faster(), LogicPolicy::Refuse),
        old.read(&faster(), LogicPolicy::Replay),
        old.read(&changed, LogicPolicy::Replay),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(&refused, OpenError::LogicChanged { recorded, .. } if recorded == "registers-1"),
            "{refused:?}"
        );
    }
    let reader = old.read(&changed, LogicPolicy::Trust).unwrap();
    assert!(matches!(
        reader
            .append(crate::registers::Command::set("a", "b"))
            .unwrap_err(),
        lattice_backend::engine::write::AppendError::Backend(BackendError::ReadOnly)
    ));
    reader.close().unwrap();
    assert!(old.bytes() == bytes);
    // The caller vouches for the logic.
    let trusted = old.open_with(&changed, LogicPolicy::Trust).unwrap();
    append(&trusted, "key 7", "abc");
    trusted.close().unwrap();
    old.open_with(&changed, LogicPolicy::Refuse)
        .unwrap()
        .close()
        .unwrap();
    let back = old.open(&Registers::default());
    assert!(matches!(back, Err(OpenError::LogicDiffers { .. })));
}

/// A history that cannot be replayed proves nothing, and must not cause a panic.
#[test]
fn a_history_with_a_missing_op_is_refused() {
    let old = Old::written_by(Registers::default());
    let db = old
        .site
        .backend
        .open(&old.site.path, &OpenOptions::read_write())
        .unwrap();
    let mut tx = db.begin_write().unwrap();
    tx.remove(lattice_backend::backend::Table::Ops, &5_u64.to_be_bytes())
        .unwrap()
        .unwrap();
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
    let refused = old.open(&faster()).unwrap_err();
    let OpenError::History { faults, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(faults[..], ["op at index 5: there is no op at this index"]);
    // It opens with the logic that wrote it: opening scans nothing.
    old.open(&Registers::default()).unwrap();
}
