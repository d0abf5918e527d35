//! Bundles: the frozen bytes, streams that stall or end anywhere, and alterations.

mod altered;
mod golden;
mod streams;

use lattice_backend::bundle::{
    BundleCode, BundleError, BundleReader, BundleSummary, write_bundle, write_bundle_with_code,
};
use lattice_backend::op::Op;

use crate::support::genesis;

fn verify(bytes: &[u8]) -> Result<BundleSummary, BundleError> {
    BundleReader::new(bytes)?.verify()
}

/// The ops of a bundle, read as a stream.
fn ops(bytes: &[u8]) -> Result<Vec<Vec<u8>>, BundleError> {
    let mut reader = BundleReader::new(bytes)?;
    let mut ops = Vec::new();
    loop {
        assert_eq!(reader.digest(), None, "it is known at the end only");
        match reader.next_op() {
            Ok(Some(op)) => ops.push(op),
            Ok(None) => break,
            Err(error) => {
                // A second call must not report the rest as an intact end.
                assert!(matches!(reader.next_op(), Err(BundleError::Refused)));
                assert_eq!(reader.digest(), None);
                return Err(error);
            }
        }
    }
    // A call after the end reports the end again.
    assert!(reader.next_op().unwrap().is_none());
    assert!(reader.digest().is_some());
    Ok(ops)
}

/// A bundle of ops of the tests' store.
fn written(ops: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut given = ops.iter().map(|op| Ok(op.bytes().to_vec()));
    let counts = write_bundle(&mut bytes, &genesis(), &mut given).unwrap();
    assert_eq!(counts, verify(&bytes).unwrap().counts);
    bytes
}

/// The same, with code.
fn written_with(code: &BundleCode, ops: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut given = ops.iter().map(|op| Ok(op.bytes().to_vec()));
    let counts = write_bundle_with_code(&mut bytes, &genesis(), code, &mut given).unwrap();
    assert_eq!(counts, verify(&bytes).unwrap().counts);
    bytes
}
