//! Targets for bundles.

use std::io::Cursor;

use lattice_backend::bundle::{BundleReader, write_bundle, write_bundle_with_code};

use crate::frames::Frames;

const MAGIC: [u8; 16] = *b"lattice bundle\n\x01";

/// Reads the input as a bundle. Then reads a bundle made of parts of the input with the right
/// counts and digest, so that the reader reaches the ops.
pub(crate) fn bundle(bytes: &[u8]) {
    read(bytes);
    read(&made(bytes));
}

/// A bundle that is read to its end has a digest. A refused bundle stays refused. A bundle that
/// verifies is byte for byte what the writer writes.
fn read(bytes: &[u8]) {
    let Ok(mut reader) = BundleReader::new(Cursor::new(bytes)) else {
        return;
    };
    let mut ops = Vec::new();
    let is_intact = loop {
        match reader.next_op() {
            Ok(Some(op)) => ops.push(op),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert_eq!(reader.digest().is_some(), is_intact);
    assert_eq!(reader.next_op().is_ok(), is_intact);
    assert!(
        ops.concat().len() <= bytes.len(),
        "ops of more than there was"
    );
    let Ok(reader) = BundleReader::new(Cursor::new(bytes)) else {
        return;
    };
    if let Ok(summary) = reader.verify() {
        assert!(is_intact, "it verifies, and is not intact");
        let of_authors: u64 = summary.authors.values().sum();
        assert_eq!(of_authors + summary.other_ops, summary.counts.ops);
        let mut written = Vec::new();
        let (genesis, mut ops) = (&summary.genesis, ops.into_iter().map(Ok));
        let counts = match &summary.code {
            Some(code) => write_bundle_with_code(&mut written, genesis, code, &mut ops),
            None => write_bundle(&mut written, genesis, &mut ops),
        };
        assert_eq!(counts.ok(), Some(summary.counts));
        assert_eq!(written, bytes);
    }
}

/// Makes a bundle of parts: the first is the genesis, the others are ops.
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
    for op in &ops {
        bundle.extend(len(op));
        bundle.extend(*op);
    }
    bundle.extend([0; 4]);
    bundle.extend(count(ops.len()));
    bundle.extend(count(total));
    bundle.extend(digest.finalize().as_bytes());
    bundle
}
