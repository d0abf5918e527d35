//! Files that change between two passes, copies of streams, and the memory bound.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::Path;

use lattice_backend::backend::Access;
use lattice_backend::bundle::{BundleReader, write_bundle};
use lattice_backend::op::BranchTips;

use super::source::{Intact, Tee};
use crate::program::failure::Failure;
use crate::program::pipes::{Input, Opened};
use crate::program::progress::Progress;
use crate::{KvStore, Node};

/// A bundle of a new store, with one op per value of the given length in bytes.
fn bundle(values: &[usize]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(dir.path()).unwrap();
    let id = node.manager().create(&"core:kvstore".parse().unwrap());
    let store: KvStore = node.open_as(id.unwrap(), Access::ReadWrite).unwrap();
    for (place, length) in values.iter().enumerate() {
        store.put(place.to_string(), vec![0x5a; *length]).unwrap();
    }
    let mut bundle = Vec::new();
    let mut ops = store.ops_after(&BranchTips::default()).unwrap();
    write_bundle(&mut bundle, store.genesis(), &mut ops).unwrap();
    bundle
}

/// The ops of a bundle in memory.
fn ops(bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = BundleReader::new(bundle).unwrap();
    std::iter::from_fn(|| reader.next_op().unwrap()).collect()
}

/// An intact bundle of the first `count` ops.
fn first_ops(bundle: &[u8], count: usize) -> Vec<u8> {
    let genesis = BundleReader::new(bundle).unwrap().genesis().clone();
    let mut first = Vec::new();
    let mut given = ops(bundle).into_iter().take(count).map(Ok);
    write_bundle(&mut first, &genesis, &mut given).unwrap();
    first
}

fn source(input: Input) -> Opened {
    Opened {
        progress: Progress::default(),
        name: "the bundle".into(),
        input,
    }
}

fn stream(bytes: &[u8]) -> Opened {
    source(Input::Stream(Box::new(Cursor::new(bytes.to_vec()))))
}

fn second_reading(bundle: &Intact) -> Result<Vec<Vec<u8>>, Failure> {
    let (mut again, mut ops) = (bundle.again()?, Vec::new());
    while let Some(op) = again.next_op()? {
        ops.push(op);
    }
    Ok(ops)
}

/// Reads a file through, applies `change` to it, and reads it again.
fn read_around(bytes: &[u8], change: impl FnOnce(&Path)) -> Result<Vec<Vec<u8>>, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.bundle");
    fs::write(&file, bytes).unwrap();
    let opened = source(Input::File(File::open(&file).unwrap()));
    let bundle = opened.read_through(dir.path()).unwrap();
    change(&file);
    second_reading(&bundle).map_err(|failure| {
        assert_eq!(failure.code(), 4, "{failure:?}");
        failure.message().to_owned()
    })
}

#[test]
fn a_file_that_replaces_the_verified_one_is_not_applied() {
    let (bytes, other) = (bundle(&[10, 20, 30]), bundle(&[40]));
    let read = read_around(&bytes, |file| {
        let beside = file.with_extension("new");
        fs::write(&beside, &other).unwrap();
        fs::rename(&beside, file).unwrap();
    });
    assert_eq!(read.unwrap(), ops(&bytes));
    let removed = read_around(&bytes, |file| fs::remove_file(file).unwrap());
    assert_eq!(removed.unwrap(), ops(&bytes));
}

#[test]
fn a_file_that_was_changed_since_it_was_read_is_reported() {
    let bytes = bundle(&[10, 20, 30]);
    let refused = |change: &[u8]| {
        let read = read_around(&bytes, |file| fs::write(file, change).unwrap());
        let message = read.unwrap_err();
        assert!(
            message.contains("was changed while it was read"),
            "{message}"
        );
        message
    };
    let mut flipped = bytes.clone();
    let last = flipped.len() - 100;
    flipped[last] ^= 1;
    assert!(refused(&flipped).contains("its digest differs"));
    assert!(refused(&bytes[..last]).contains("is truncated"));
    // Intact, but not the bundle of the first pass.
    assert!(refused(&first_ops(&bytes, 2)).contains("its digest differs"));
    assert!(refused(&bundle(&[10, 20, 30])).contains("its digest differs"));
}

#[test]
fn no_op_is_read_from_the_bundle_of_another_store() {
    let (bytes, other) = (bundle(&[10]), bundle(&[20]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.bundle");
    fs::write(&file, bytes).unwrap();
    let opened = source(Input::File(File::open(&file).unwrap()));
    let read = opened.read_through(dir.path()).unwrap();
    fs::write(&file, other).unwrap();
    assert!(read.again().is_err());
}

#[test]
fn a_stream_is_copied_to_a_file_without_a_name_and_read_again() {
    let bytes = bundle(&[10, 200_000, 30]);
    let dir = tempfile::tempdir().unwrap();
    // The data directory may not exist yet.
    for place in [dir.path().to_path_buf(), dir.path().join("not/yet")] {
        let kept = stream(&bytes).read_through(&place).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt};
            let metadata = kept.file.metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            assert_eq!(metadata.nlink(), 0);
            assert_eq!(metadata.dev(), dir.path().metadata().unwrap().dev());
        }
        assert_eq!(second_reading(&kept).unwrap(), ops(&bytes));
        // A third pass works, too.
        assert_eq!(second_reading(&kept).unwrap(), ops(&bytes));
    }
    for cut in [0, 10, 100, bytes.len() - 1] {
        let refused = stream(&bytes[..cut]).read_through(dir.path());
        assert_eq!(refused.err().unwrap().code(), 4, "cut after {cut} bytes");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_for_the_copy() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut tee = Tee::new(Cursor::new(vec![1; 100]), full);
    tee.read(&mut [0; 10]).unwrap_err();
    assert_eq!(tee.failed.unwrap().kind(), io::ErrorKind::StorageFull);
}
