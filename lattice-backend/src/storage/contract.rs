//! What every disk does, as one test for all of them.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::storage::{Disk, FileMode};

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("it fails").kind()
}

fn bytes(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, FileMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Checks a disk with files in a directory that exists and is empty.
pub(crate) fn check(disk: &dyn Disk, directory: &Path) {
    let [store, a, b] = ["store", "a", "b"].map(|name| directory.join(name));
    disk.open(&store, FileMode::CreateNew).unwrap();
    assert_eq!(
        kind(disk.open(&a, FileMode::ReadWrite)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(disk.file_id(&a)), ErrorKind::NotFound);
    let file = disk.create_beside(&store, &a).unwrap();
    let created = [
        disk.create_beside(&store, &a),
        disk.open(&a, FileMode::CreateNew),
    ];
    assert!(
        created
            .map(kind)
            .iter()
            .all(|kind| *kind == ErrorKind::AlreadyExists)
    );
    disk.sync_entry(&a).unwrap();

    // Bytes between the end and a write are zero.
    file.write_at(3, b"later").unwrap();
    file.sync().unwrap();
    assert_eq!(bytes(disk, &a), b"\0\0\0later");
    let mut four = [0; 4];
    file.read_at(3, &mut four).unwrap();
    assert_eq!(&four, b"late");
    assert_eq!(kind(file.read_at(5, &mut four)), ErrorKind::UnexpectedEof);
    file.set_len(4).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(bytes(disk, &a), b"\0\0\0l\0\0");

    // A rename replaces a file. Who has a file open keeps it.
    let replaced = disk.open(&b, FileMode::CreateNew).unwrap();
    replaced.write_at(0, b"b").unwrap();
    let (id, replaced_id) = (disk.file_id(&a).unwrap(), disk.file_id(&b).unwrap());
    assert!(id.is_some() && id != replaced_id);
    disk.rename(&a, &b).unwrap();
    disk.sync_entry(&b).unwrap();
    assert_eq!(disk.file_id(&b).unwrap(), id);
    assert_eq!(kind(disk.open(&a, FileMode::Read)), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(&a, &b)), ErrorKind::NotFound);
    file.write_at(0, b"new").unwrap();
    replaced.write_at(0, b"old").unwrap();
    assert_eq!(bytes(disk, &b), b"newl\0\0");

    disk.remove(&b).unwrap();
    disk.sync_entry(&b).unwrap();
    assert_eq!(kind(disk.remove(&b)), ErrorKind::NotFound);
    file.write_at(0, b"still").unwrap();
    let mut five = [0; 5];
    file.read_at(0, &mut five).unwrap();
    assert_eq!(&five, b"still");
    // The name is free for another file.
    disk.create_beside(&store, &b).unwrap();
    assert_eq!(bytes(disk, &b), b"");
    assert_ne!(disk.file_id(&b).unwrap(), id);
    assert_eq!(disk.canonical(&store).unwrap(), store);
}
