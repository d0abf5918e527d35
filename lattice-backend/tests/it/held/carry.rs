//! Rebuilt stores and backups keep the held ops.

use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::carve::CarvedOps;
use lattice_backend::engine::verify::rebuild_store;
use lattice_backend::progress::ProgressSink;

use super::*;

fn rebuilt(place: &Place, machine: &Faulty) -> Place {
    let target = place.path.with_file_name("rebuilt.db");
    let options = OpenOptions::read_write();
    let db = place.backend.open(&place.path, &options).unwrap();
    let watch = ProgressSink::none();
    let (backend, machine) = (&*place.backend, machine.clone());
    let made = rebuild_store(backend, &*db, &place.path, &target, machine, &watch).unwrap();
    assert!(made.difference.is_none());
    db.close().unwrap();
    Place {
        path: target,
        ..place.clone()
    }
}

fn places(dir: &tempfile::TempDir) -> [Place; 3] {
    [Place::memory(), Place::redb(), Place::on_files(dir)]
}

#[test]
fn a_rebuilt_store_holds_ops_that_its_code_cannot_apply() {
    let dir = tempfile::tempdir().unwrap();
    for place in places(&dir) {
        let story = Story::new(APPLY);
        let store = place.open(&Faulty::v1());
        take(&store, &story.all());
        let hash = store.state_hash().unwrap();
        store.close().unwrap();
        let same = rebuilt(&place, &Faulty::v1());
        let store = same.open(&Faulty::v1());
        assert_eq!(held(&store), story.held(V1));
        assert_eq!(store.state_hash().unwrap(), hash);
        assert_eq!(pull(&with(&Faulty::v1(), &story.all()), &store), 0);
        store.close().unwrap();
        // The copy settles them as the first store does.
        let direct = with(&Faulty::v2(), &story.all());
        let store = same.open(&Faulty::v2());
        assert_eq!(store.state_hash().unwrap(), direct.state_hash().unwrap());
    }
}

#[test]
fn a_rebuild_by_other_code_settles_held_ops() {
    let story = Story::new(ELEMENTS);
    let d0 = op(&secret(5), None, &[], 0, &[APPLY]);
    let ops = [story.all(), vec![&d0]].concat();
    let place = Place::redb();
    let store = place.open(&Faulty::v1());
    take(&store, &ops);
    store.close().unwrap();
    let v3 = Faulty::version("faulty/3", &[APPLY]);
    let made = rebuilt(&place, &v3);
    let store = made.open(&v3);
    let [only] = &held(&store)[..] else {
        panic!("{:?}", held(&store));
    };
    assert_eq!(
        (only.op.reference(), &*only.logic),
        (d0.reference(), "faulty/3")
    );
    let direct = with(&v3, &ops);
    assert_eq!(store.state_hash().unwrap(), direct.state_hash().unwrap());
    assert_eq!(store.op_count().unwrap(), 8);
}

#[test]
fn a_backup_has_the_held_ops() {
    let dir = tempfile::tempdir().unwrap();
    for place in places(&dir) {
        let story = Story::new(SETTLE);
        let store = place.open(&Faulty::v1());
        take(&store, &story.all());
        store.close().unwrap();
        let path = place.path.with_file_name("backup.db");
        place
            .backend
            .backup(&place.path, &path, &mut |_| Ok(()), &ProgressSink::none())
            .unwrap();
        let copy = Place {
            path,
            ..place.clone()
        };
        let store = copy.open(&Faulty::v1());
        assert_eq!(held(&store), story.held(V1));
        store.close().unwrap();
        let store = copy.open(&Faulty::v2());
        assert_eq!((held(&store).len(), store.op_count().unwrap()), (0, 8));
    }
}

/// Also those that have several parts, after the ops that they follow.
#[test]
fn held_ops_are_found_in_a_file_that_cannot_be_opened() {
    let place = Place::redb();
    let story = Story::new(APPLY);
    let author = secret(5);
    let mut payload = vec![b'.'; 5000];
    payload[0] = APPLY;
    let long = op(&author, None, &[], 9, &payload);
    let store = place.open(&Faulty::v1());
    take(&store, &story.all());
    take(&store, &[&long]);
    assert_eq!(held(&store).len(), 5);
    store.close().unwrap();
    let rows = place.backend.raw_rows(&place.path).unwrap().unwrap();
    let mut found = CarvedOps::find(rows, None).unwrap().unwrap();
    let ops: Vec<Op> = found.by_ref().collect();
    assert_eq!(ops.len(), 9);
    let all = story.all().into_iter().chain([&long]);
    assert!(all.clone().all(|op| ops.contains(op)));
    assert_eq!(found.lacking(), 0);
}
