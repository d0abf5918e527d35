//! What a loss of power leaves.

use std::collections::BTreeSet;
use std::path::Path;

use super::{RecordingDisk, Unsynced};
use crate::conformance::Rng;
use crate::storage::{
    Disk, DiskCall, DiskFault, Failure, FailurePoint, FileMode, Lasting, MemoryDisk, Storage,
};

const STORE: &str = "dir/store";
const A: &str = "dir/a";
const B: &str = "dir/b";

/// The names and contents of a disk.
type Content = Vec<(String, Vec<u8>)>;

fn content(disk: &MemoryDisk) -> Content {
    let paths = disk.paths().into_iter();
    paths
        .map(|path| {
            let bytes = disk.bytes(&path).unwrap();
            (path.to_str().unwrap().to_owned(), bytes)
        })
        .collect()
}

fn file(path: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    (path.to_owned(), bytes.to_vec())
}

fn made(disk: &RecordingDisk, path: &str) -> Box<dyn Storage> {
    disk.create_beside(Path::new(STORE), Path::new(path))
        .unwrap()
}

fn now(disk: &RecordingDisk, unsynced: Unsynced) -> Content {
    content(&disk.after_power_loss(disk.step_count(), unsynced, &mut Rng::new(1)))
}

/// All that the disk may hold, by choice of complete changes.
fn all(disk: &RecordingDisk) -> BTreeSet<Content> {
    let mut found = BTreeSet::new();
    let all = disk.each_power_loss(disk.step_count(), 4096, &mut Rng::new(1), &mut |left| {
        found.insert(content(&left));
    });
    assert!(all);
    found
}

fn fail(call: DiskCall, after: u64) -> FailurePoint {
    let point = FailurePoint::default();
    point.fail(Failure {
        call,
        after,
        lasting: Lasting::Once,
        fault: DiskFault::Io,
    });
    point
}

#[test]
fn it_is_a_disk() {
    crate::storage::contract::check(&RecordingDisk::new(), Path::new("dir"));
}

#[test]
fn a_file_is_durable_once_its_bytes_and_its_name_are_synced() {
    let disk = RecordingDisk::new();
    let a = made(&disk, A);
    a.write_at(0, b"bytes").unwrap();
    a.sync().unwrap();
    assert_eq!(now(&disk, Unsynced::Lost), []);
    assert_eq!(now(&disk, Unsynced::Kept), [file(A, b"bytes")]);
    disk.sync_entry(Path::new("other/b")).unwrap();
    assert_eq!(now(&disk, Unsynced::Lost), []);
    disk.sync_entry(Path::new(B)).unwrap();
    assert_eq!(now(&disk, Unsynced::Lost), [file(A, b"bytes")]);
}

#[test]
fn opening_a_new_file_syncs_its_name() {
    let disk = RecordingDisk::new();
    let a = disk.open(Path::new(A), FileMode::CreateNew).unwrap();
    a.write_at(0, b"x").unwrap();
    assert_eq!(now(&disk, Unsynced::Lost), [file(A, b"")]);
    let disk = RecordingDisk::new().fail_syncs(fail(DiskCall::SyncEntry, 0));
    disk.open(Path::new(A), FileMode::CreateNew).unwrap_err();
    assert_eq!(disk.disk.paths(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn names_are_changed_by_renames_and_removals_once_they_are_synced() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), b"a".to_vec());
    disk.insert(Path::new(B), b"b".to_vec());
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    disk.rename(Path::new(A), Path::new(B)).unwrap();
    let (before, after) = (vec![file(A, b"a"), file(B, b"b")], vec![file(B, b"a")]);
    assert_eq!(all(&disk), BTreeSet::from([before, after.clone()]));
    // The handle has the file, whatever its name.
    a.write_at(0, b"A").unwrap();
    a.sync().unwrap();
    disk.sync_entry(Path::new(B)).unwrap();
    assert_eq!(all(&disk), BTreeSet::from([vec![file(B, b"A")]]));
    disk.remove(Path::new(B)).unwrap();
    assert_eq!(all(&disk), BTreeSet::from([vec![file(B, b"A")], vec![]]));
    disk.sync_entry(Path::new(B)).unwrap();
    assert_eq!(all(&disk), BTreeSet::from([vec![]]));
    disk.rename(Path::new(A), Path::new("other/a")).unwrap_err();
}

#[test]
fn a_later_name_can_be_on_the_disk_without_an_earlier_one() {
    let disk = RecordingDisk::new();
    made(&disk, A);
    made(&disk, B);
    let (a, b) = (file(A, b""), file(B, b""));
    let expected = [vec![], vec![a.clone()], vec![b.clone()], vec![a, b]];
    assert_eq!(all(&disk), BTreeSet::from(expected));
}

#[test]
fn each_choice_of_unsynced_writes_of_two_files_occurs() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), vec![0; 2]);
    disk.insert(Path::new(B), vec![0; 1]);
    let open = |path| disk.open(Path::new(path), FileMode::ReadWrite).unwrap();
    let (a, b) = (open(A), open(B));
    a.write_at(0, &[1]).unwrap();
    b.write_at(0, &[2]).unwrap();
    a.write_at(1, &[3]).unwrap();
    let found = all(&disk);
    assert_eq!(found.len(), 8);
    assert!(found.contains(&vec![file(A, &[0, 3]), file(B, &[0])]));
    // A sync covers the writes of its file, and the ones before it.
    a.sync().unwrap();
    a.write_at(1, &[4]).unwrap();
    let found = all(&disk);
    assert_eq!(found.len(), 4);
    assert!(
        found
            .iter()
            .all(|left| left[0].1[0] == 1 && left[0].1[1] >= 3)
    );
    // Too many choices for the bound: none, all, and random ones.
    let mut count = 0;
    let each = &mut |_| count += 1;
    assert!(!disk.each_power_loss(disk.step_count(), 3, &mut Rng::new(1), each));
    assert_eq!(count, 5);
}

#[test]
fn power_can_fail_at_each_earlier_step() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), vec![0]);
    let from = disk.step_count();
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    a.write_at(0, &[1]).unwrap();
    a.sync().unwrap();
    assert_eq!(disk.step_count(), from + 2);
    assert!(!disk.is_sync(from) && disk.is_sync(from + 1));
    let lost = |steps| {
        let left = disk.after_power_loss(steps, Unsynced::Lost, &mut Rng::new(1));
        left.bytes(Path::new(A)).unwrap()
    };
    assert_eq!([from, from + 1, from + 2].map(lost), [[0], [0], [1]]);
}

/// All contents that a torn disk left in many tries.
fn torn(disk: &RecordingDisk) -> BTreeSet<Vec<u8>> {
    let mut rng = Rng::new(7);
    let tries = (0..2000).map(|_| {
        let left = disk.after_power_loss(disk.step_count(), Unsynced::Torn, &mut rng);
        left.bytes(Path::new(A)).unwrap()
    });
    tries.collect()
}

#[test]
fn writes_are_torn_into_sectors_pages_and_prefixes() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), vec![0; 16384]);
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    // From the middle of a sector on.
    a.write_at(4096 - 100, &[1; 9000]).unwrap();
    let found = torn(&disk);
    let kept = |bytes: &[u8], from: usize, to: usize| bytes[from..to].iter().all(|byte| *byte == 1);
    let has = |of: &dyn Fn(&Vec<u8>) -> bool| assert!(found.iter().any(of));
    has(&|bytes| !kept(bytes, 3996, 4096) && kept(bytes, 4096, 4608));
    has(&|bytes| kept(bytes, 3996, 4096) && !kept(bytes, 4096, 8192) && kept(bytes, 8192, 12288));
    has(&|bytes| kept(bytes, 3996, 5000) && bytes[5000..].contains(&0));
    has(&|bytes| bytes.iter().all(|byte| *byte == 0));
    has(&|bytes| kept(bytes, 3996, 12996));
    // Bytes beside the write do not change.
    assert!(
        found
            .iter()
            .all(|bytes| bytes.len() == 16384 && bytes[..3996] == [0; 3996])
    );
}

#[test]
fn growth_can_be_on_the_disk_without_the_bytes() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), vec![9]);
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    a.write_at(1, &[1; 1023]).unwrap();
    let found = torn(&disk);
    let grown = [&[9][..], &[0; 1023]].concat();
    assert!(found.contains(&grown) && found.contains(&vec![9]));
    a.sync().unwrap();
    a.set_len(1).unwrap();
    assert_eq!(all(&disk).len(), 2);
}

#[test]
fn a_failed_sync_drops_writes_that_later_syncs_do_not_bring_back() {
    let point = fail(DiskCall::Sync, 0);
    let disk = RecordingDisk::new().fail_syncs(point.clone());
    disk.insert(Path::new(A), vec![0; 2]);
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    a.write_at(0, &[1]).unwrap();
    let failed = disk.step_count();
    assert_eq!(a.sync().unwrap_err().raw_os_error(), Some(5));
    assert!(point.has_failed() && !disk.is_sync(failed));
    // The process reads what it wrote.
    let mut seen = [0];
    a.read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [1]);
    a.write_at(1, &[2]).unwrap();
    a.sync().unwrap();
    let left = |first| vec![file(A, &[first, 2])];
    assert_eq!(all(&disk), BTreeSet::from([left(0), left(1)]));
    assert_eq!(now(&disk, Unsynced::Lost), left(0));
    assert_eq!(now(&disk, Unsynced::Kept), left(1));
    // Only a new write brings it to the disk.
    a.write_at(0, &[1]).unwrap();
    a.sync().unwrap();
    assert_eq!(all(&disk), BTreeSet::from([left(1)]));
}

#[test]
fn a_failed_sync_of_names_drops_them() {
    let disk = RecordingDisk::new().fail_syncs(fail(DiskCall::SyncEntry, 0));
    made(&disk, A);
    disk.sync_entry(Path::new(A)).unwrap_err();
    made(&disk, B);
    disk.sync_entry(Path::new(A)).unwrap();
    let (a, b) = (file(A, b""), file(B, b""));
    assert_eq!(all(&disk), BTreeSet::from([vec![b.clone()], vec![a, b]]));
}

#[test]
fn a_killed_disk_has_all_writes_and_syncs_none_of_them() {
    let disk = RecordingDisk::new();
    disk.insert(Path::new(A), vec![0]);
    let a = disk.open(Path::new(A), FileMode::ReadWrite).unwrap();
    let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    assert!(
        a.try_lock(everything, crate::storage::LockKind::Exclusive)
            .unwrap()
    );
    a.write_at(0, &[1]).unwrap();
    let killed = disk.killed();
    a.write_at(0, &[2]).unwrap();
    a.sync().unwrap();
    assert_eq!(now(&killed, Unsynced::Kept), [file(A, &[1])]);
    assert_eq!(now(&killed, Unsynced::Lost), [file(A, &[0])]);
    // The next process can lock, sync and grow the file.
    let next = killed.open(Path::new(A), FileMode::ReadWrite).unwrap();
    assert!(
        next.try_lock(everything, crate::storage::LockKind::Exclusive)
            .unwrap()
    );
    next.sync().unwrap();
    assert_eq!(now(&killed, Unsynced::Lost), [file(A, &[1])]);
    made(&killed, B).write_at(0, b"b").unwrap();
    assert_eq!(now(&killed, Unsynced::Kept), [file(A, &[1]), file(B, b"b")]);
}

#[test]
fn a_disk_that_holds_another_has_its_files_synced() {
    let disk = RecordingDisk::new();
    made(&disk, A).write_at(0, b"a").unwrap();
    let left = disk.after_power_loss(disk.step_count(), Unsynced::Kept, &mut Rng::new(1));
    let next = RecordingDisk::holding(&left);
    assert_eq!(now(&next, Unsynced::Lost), [file(A, b"a")]);
}
