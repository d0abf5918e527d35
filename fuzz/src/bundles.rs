//! Bundles.

use std::io::Cursor;

use lattice_backend::BundleReader;

use crate::frames::Frames;

const MAGIC: [u8; 16] = *b"lattice bundle\n\x01";

/// A bundle as it is given, and one that is made of the parts of the input with the right counts and
/// digest, so that its ops are reached. What is read through its end verifies.
pub(crate) fn bundle(bytes: &[u8]) {
    read(bytes);
    read(&made(bytes));
}

fn read(bytes: &[u8]) {
    let Ok(mut reader) = BundleReader::new(Cursor::new(bytes)) else {
        return;
    };
    while let Ok(Some(op)) = reader.next_op() {
        assert!(op.len() <= bytes.len(), "an op is longer than its bundle");
    }
    let Ok(reader) = BundleReader::new(Cursor::new(bytes)) else {
        return;
    };
    if let Ok(summary) = reader.verify() {
        let ops: u64 = summary.authors.values().sum();
        assert_eq!(ops, summary.ops);
    }
}

/// The first part is the genesis, the others are ops.
fn made(bytes: &[u8]) -> Vec<u8> {
    let mut parts = Frames(bytes);
    let genesis = parts.next().unwrap_or(&[]);
    let ops: Vec<&[u8]> = parts.collect();
    let len = |bytes: &[u8]| {
        u32::try_from(bytes.len())
            .expect("a frame is short")
            .to_le_bytes()
    };
    let count = |count: usize| {
        u64::try_from(count)
            .expect("an input is short")
            .to_le_bytes()
    };
    let total = ops.iter().map(|op| op.len()).sum();
    let mut digest = blake3::Hasher::new_derive_key("lattice 2026 bundle v1");
    for record in std::iter::once(&genesis).chain(&ops) {
        digest.update(&len(record));
        digest.update(record);
    }
    digest.update(&count(ops.len()));
    digest.update(&count(total));
    let mut bundle = MAGIC.to_vec();
    bundle.extend(len(genesis));
    bundle.extend(genesis);
    bundle.extend(count(ops.len()));
    bundle.extend(count(total));
    bundle.extend(digest.finalize().as_bytes());
    for op in ops {
        bundle.extend(len(op));
        bundle.extend(op);
    }
    bundle
}
