//! Which files of the cache are garbage, and how collection excludes resolvers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use lattice_code::{CodeLibrary, Garbage, GarbageKind, LibraryError};
use lattice_meta::Cid;
use lattice_registry::Access;
use lattice_wasm::guests;

use crate::support::{CHAT, Place, of};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn chat() -> Cid {
    Cid::of(guests::CHAT)
}

/// Writes a file of the cache that was last used so many days ago.
fn aged(dir: &Path, name: &str, bytes: &[u8], days: u32) {
    let file = dir.join("wasm").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if !file.exists() {
        fs::write(&file, bytes).unwrap();
    }
    let file = File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - DAY * days).unwrap();
}

fn used(dir: &Path, cid: &Cid) -> Duration {
    let file = dir.join("wasm").join(cid.to_string());
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    SystemTime::now().duration_since(modified).unwrap()
}

fn none() -> BTreeSet<Cid> {
    BTreeSet::new()
}

fn garbage(library: &CodeLibrary, roots: &BTreeSet<Cid>) -> Vec<Garbage> {
    library.garbage(roots, SystemTime::now()).unwrap()
}

fn kinds(garbage: &[Garbage]) -> Vec<GarbageKind> {
    garbage.iter().map(|garbage| garbage.kind).collect()
}

#[test]
fn a_module_is_garbage_if_nothing_needs_it_for_90_days() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    assert_eq!(garbage(&library, &none()), []);
    assert!(!dir.path().join("wasm").exists());

    let name = chat().to_string();
    aged(dir.path(), &name, guests::CHAT, 89);
    assert_eq!(garbage(&library, &none()), []);
    aged(dir.path(), &name, guests::CHAT, 91);
    let found = garbage(&library, &none());
    assert_eq!(kinds(&found), [GarbageKind::Module(chat())]);
    assert_eq!(found[0].file, dir.path().join("wasm").join(&name));
    assert_eq!(found[0].bytes, u64::try_from(guests::CHAT.len()).unwrap());
    let age = SystemTime::now()
        .duration_since(found[0].last_used)
        .unwrap();
    assert_eq!(age.as_secs() / DAY.as_secs(), 91);
    // At another time, it is not.
    let earlier = SystemTime::now() - DAY * 30;
    assert_eq!(library.garbage(&none(), earlier).unwrap(), []);
    let before = SystemTime::now() - DAY * 1_000;
    assert_eq!(library.garbage(&none(), before).unwrap(), []);

    // A store records it.
    assert_eq!(garbage(&library, &BTreeSet::from([chat()])), []);
    // The user has added it.
    library.add(guests::CHAT, "chat").unwrap();
    aged(dir.path(), &name, guests::CHAT, 91);
    assert_eq!(garbage(&library, &none()), []);
    // A list that cannot be read may name any module.
    fs::write(dir.path().join("code.toml"), "broken").unwrap();
    let refused = library.garbage(&none(), SystemTime::now()).unwrap_err();
    assert!(matches!(refused, LibraryError::Trust { .. }), "{refused:?}");
}

#[test]
fn collection_removes_garbage_and_leftovers_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    let (kept, _) = library.add(guests::CHAT_V2, "v2").unwrap();
    let kept = kept.cid().to_string();
    let old = Cid::of(guests::CHAT_HOTFIX);
    aged(dir.path(), &kept, b"", 400);
    aged(dir.path(), &chat().to_string(), guests::CHAT, 400);
    aged(dir.path(), &old.to_string(), guests::CHAT_HOTFIX, 400);
    aged(dir.path(), &format!("{old}.bad"), b"damaged", 0);
    // What a process left, and what one is writing.
    let [left, live] = ["0123456789abcdef", "fedcba9876543210"]
        .map(|name| dir.path().join(format!("wasm/.lattice-{name}.partial")));
    for dir in [&left, &live] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("new"), b"half").unwrap();
    }
    let written = fs::File::open(&live).unwrap();
    written.lock().unwrap();
    aged(dir.path(), "notes.txt", b"of the user", 400);
    aged(dir.path(), "notes.bad", b"of the user", 400);
    fs::create_dir(dir.path().join("wasm").join(".tmpdir")).unwrap();

    let roots = BTreeSet::from([chat()]);
    let listed = garbage(&library, &roots);
    let expected = [
        GarbageKind::Unfinished,
        GarbageKind::Module(old),
        GarbageKind::Damaged(old),
    ];
    assert_eq!(kinds(&listed), expected);
    let before = fs::read_dir(dir.path().join("wasm")).unwrap().count();

    let collector = library.collector().unwrap();
    let removed = collector.collect(&roots, SystemTime::now()).unwrap();
    assert_eq!(removed, listed);
    let again = collector.collect(&roots, SystemTime::now()).unwrap();
    assert_eq!(again, []);
    drop(collector);
    let after = fs::read_dir(dir.path().join("wasm")).unwrap().count();
    assert_eq!(after, before - 3);
    for Garbage { file, .. } in removed {
        assert!(!file.exists(), "{file:?}");
    }
}

#[test]
fn a_link_to_a_module_is_neither_followed_nor_removed() {
    let (dir, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    aged(others.path(), "chat", guests::CHAT, 400);
    fs::create_dir(dir.path().join("wasm")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        others.path().join("wasm/chat"),
        dir.path().join("wasm").join(chat().to_string()),
    )
    .unwrap();
    assert_eq!(garbage(&CodeLibrary::new(dir.path()), &none()), []);
}

#[test]
fn opening_a_store_renews_the_time_of_use_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let cid = place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    let name = cid.to_string();
    aged(dir.path(), &name, b"", 100);
    // Searching is no use.
    assert!(place.library.find(&cid).unwrap().is_some());
    place.library.code(&cid, &of(CHAT)).unwrap();
    assert!(used(dir.path(), &cid) > DAY * 99);
    place.manager.open(id, Access::ReadOnly).unwrap();
    assert!(used(dir.path(), &cid) < DAY);
    place.manager.close_all().unwrap();

    let file = dir.path().join("wasm").join(&name);
    let recent = SystemTime::now() - DAY / 2;
    let opened = File::options().write(true).open(&file).unwrap();
    opened.set_modified(recent).unwrap();
    place.manager.open(id, Access::ReadOnly).unwrap();
    assert!(used(dir.path(), &cid) >= DAY / 2);
}

/// The module stays until the store has recorded it, however long that takes.
#[test]
fn an_opener_keeps_its_module_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let cid = place.add(guests::CHAT);
    let registry = place.manager.registry();
    let wasm = File::open(dir.path().join("wasm")).unwrap();
    wasm.try_lock().unwrap();
    wasm.unlock().unwrap();

    let opener = registry.resolve(&of(CHAT)).unwrap();
    let other = registry.resolve(&of(CHAT)).unwrap();
    drop(other);
    assert!(wasm.try_lock().is_err());
    // Changes of the list of trusted modules do not wait for openers, not even for their own.
    place.add(guests::CHAT_V2);
    place.library.remove(&cid).unwrap();
    place.add(guests::CHAT);
    thread::scope(|threads| {
        let collecting = threads.spawn(|| {
            let collector = place.library.collector().unwrap();
            collector.collect(&none(), SystemTime::now()).unwrap()
        });
        drop(opener);
        assert_eq!(collecting.join().unwrap(), []);
    });
    wasm.try_lock().unwrap();
}

#[test]
fn a_resolver_waits_for_a_collector() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.add(guests::CHAT);
    let id = place.manager.create(&of(CHAT)).unwrap();
    let collector = place.library.collector().unwrap();
    thread::scope(|threads| {
        let opening = threads.spawn(|| place.manager.open(id, Access::ReadOnly).is_ok());
        collector.collect(&none(), SystemTime::now()).unwrap();
        drop(collector);
        assert!(opening.join().unwrap());
    });
}

/// Threads add, resolve, collect and remove at once. All end, and a store that was created opens.
#[test]
fn threads_that_add_open_and_collect_at_once_all_end() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let cid = place.add(guests::CHAT);
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                for _ in 0..5 {
                    aged(dir.path(), &cid.to_string(), guests::CHAT, 100);
                    let id = place.manager.create(&of(CHAT)).unwrap();
                    place.manager.open(id, Access::ReadWrite).unwrap();
                    place.manager.close(id).unwrap();
                }
            });
        }
        threads.spawn(|| {
            for _ in 0..5 {
                place.add(guests::CHAT_V2);
                let collector = place.library.collector().unwrap();
                collector.collect(&none(), SystemTime::now()).unwrap();
                drop(collector);
                place.library.remove(&Cid::of(guests::CHAT_V2)).unwrap();
            }
        });
    });
    assert_eq!(place.library.cached().unwrap(), [cid]);
}
