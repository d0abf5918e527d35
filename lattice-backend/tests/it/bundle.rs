//! Bundles: the frozen bytes, and everything that is not whole.

use std::io::Cursor;

use lattice_backend::{BundleError, BundleReader, BundleSummary, write_bundle};
use lattice_meta::Genesis;

fn golden() -> Vec<u8> {
    std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/bundle.bin"
    ))
    .unwrap()
}

fn verify(bytes: &[u8]) -> Result<BundleSummary, BundleError> {
    BundleReader::new(bytes)?.verify()
}

/// The ops of a bundle, read as a stream.
fn ops(bytes: &[u8]) -> Result<Vec<Vec<u8>>, BundleError> {
    let mut reader = BundleReader::new(bytes)?;
    let mut ops = Vec::new();
    while let Some(op) = reader.next_op()? {
        ops.push(op);
    }
    // The end stays the end.
    assert!(reader.next_op()?.is_none());
    Ok(ops)
}

#[test]
fn golden_bundle() {
    let bytes = golden();
    let summary = verify(&bytes).unwrap();
    assert_eq!(summary.ops, 2);
    assert_eq!(summary.authors.values().collect::<Vec<_>>(), [&1, &1]);
    let ops = ops(&bytes).unwrap();
    let mut written = Cursor::new(Vec::new());
    let made = write_bundle(&mut written, &summary.genesis, &mut ops.into_iter().map(Ok)).unwrap();
    assert_eq!((made.ops, made.op_bytes), (summary.ops, summary.op_bytes));
    assert!(written.into_inner() == bytes);
}

#[test]
fn a_bundle_without_ops_is_whole() {
    let genesis = BundleReader::new(&golden()[..])
        .unwrap()
        .summary()
        .genesis
        .clone();
    let mut written = Cursor::new(Vec::new());
    write_bundle(&mut written, &genesis, &mut std::iter::empty()).unwrap();
    let summary = verify(written.get_ref()).unwrap();
    assert_eq!((summary.ops, summary.genesis), (0, genesis));
}

#[test]
fn golden_bundle_cut_anywhere_is_refused() {
    let bytes = golden();
    for length in 0..bytes.len() {
        let cut = ops(&bytes[..length]).unwrap_err();
        let is_cut = matches!(cut, BundleError::Cut { .. })
            || (length == 0 && matches!(cut, BundleError::NotABundle { .. }));
        assert!(is_cut, "{length}: {cut:?}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(ops(&longer), Err(BundleError::Trailing)));
}

#[test]
fn golden_bundle_with_any_bit_changed_is_refused() {
    let bytes = golden();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            assert!(ops(&altered).is_err(), "byte {at}, bit {bit}");
        }
    }
}

/// Lengths and counts that lie: each is an error, and none of them is believed before what is left
/// has been looked at.
#[test]
fn lengths_that_lie_allocate_nothing() {
    let bytes = golden();
    let genesis_len =
        usize::try_from(u32::from_le_bytes(bytes[16..20].try_into().unwrap())).unwrap();
    let counts = 20 + genesis_len;
    let first_op = counts + 16 + 32;
    for (at, lie) in [
        (16, &u32::MAX.to_le_bytes()[..]),
        (16, &1025_u32.to_le_bytes()),
        (counts, &u64::MAX.to_le_bytes()),
        (counts + 8, &u64::MAX.to_le_bytes()),
        (counts + 8, &0_u64.to_le_bytes()),
        (first_op, &u32::MAX.to_le_bytes()),
        (first_op, &(16_u32 << 20).to_le_bytes()),
        (first_op, &0_u32.to_le_bytes()),
    ] {
        let mut lying = bytes.clone();
        lying[at..at + lie.len()].copy_from_slice(lie);
        let refused = ops(&lying).unwrap_err();
        let is_told = matches!(
            refused,
            BundleError::Length { .. } | BundleError::Cut { .. } | BundleError::Digest
        );
        assert!(is_told, "{at}: {refused:?}");
    }
    // A whole digest over an op that nobody signed.
    let summary = verify(&bytes).unwrap();
    let mut op = ops(&bytes).unwrap().remove(0);
    *op.last_mut().unwrap() ^= 1;
    let forged = unchecked(&summary.genesis, &op);
    assert!(ops(&forged).is_ok(), "its digest holds");
    assert!(matches!(
        verify(&forged),
        Err(BundleError::Op { place: 0, .. })
    ));
    // It is not written either.
    let mut written = Cursor::new(Vec::new());
    let refused = write_bundle(&mut written, &summary.genesis, &mut [Ok(op)].into_iter());
    assert!(
        matches!(refused, Err(BundleError::BadOp { place: 0, .. })),
        "{refused:?}"
    );
}

/// A bundle of one op, whatever that is.
fn unchecked(genesis: &Genesis, op: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let record = genesis.encode();
    let mut bundle = golden()[..16].to_vec();
    bundle.extend(length(&record));
    bundle.extend(&record);
    let counts = [1, u64::try_from(op.len()).unwrap()].map(u64::to_le_bytes);
    let counts = counts.concat();
    let mut digest = blake3::Hasher::new_derive_key("lattice 2026 bundle v1");
    for part in [&record[..], op] {
        digest.update(&length(part)).update(part);
    }
    digest.update(&counts);
    bundle.extend(&counts);
    bundle.extend(digest.finalize().as_bytes());
    bundle.extend(length(op));
    bundle.extend(op);
    bundle
}

#[test]
fn other_files_are_told_apart() {
    assert!(matches!(ops(b""), Err(BundleError::NotABundle { .. })));
    assert!(matches!(
        ops(b"redb\x1a\x0a and more than sixteen"),
        Err(BundleError::NotABundle { .. })
    ));
    let mut newer = golden();
    newer[15] = 2;
    assert!(matches!(ops(&newer), Err(BundleError::Format { found: 2 })));
}
