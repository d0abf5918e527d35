//! Bundles that differ from what the writer wrote.

use lattice_backend::bundle::{BundleError, write_bundle};
use proptest::prelude::*;

use super::golden::golden;
use super::{ops, verify, written};
use crate::support::{chain, genesis, op, owner, secret};

#[test]
fn golden_bundle_truncated_anywhere_is_refused() {
    let bytes = golden();
    for length in 0..bytes.len() {
        let cut = ops(&bytes[..length]).unwrap_err();
        let is_cut = match length {
            0 => matches!(cut, BundleError::Empty),
            _ => matches!(cut, BundleError::Cut { .. }),
        };
        assert!(is_cut, "{length}: {cut:?}");
    }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Bundles of zero or more ops, short and long, of two authors.
    #[test]
    fn a_bundle_that_is_altered_truncated_or_extended_is_refused(
        lengths in prop::collection::vec((0_usize..2000, any::<bool>()), 0..8),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        more in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let authors = [owner(), secret(2)];
        let mut made = Vec::new();
        for (after_ms, (length, second)) in (0_u64..).zip(&lengths) {
            // Each op is the first of its author: forks are in causal order, too.
            let author = &authors[usize::from(*second)];
            made.push(op(author, None, &[], after_ms, &vec![0x5a; *length]));
        }
        let bytes = written(&made);
        prop_assert_eq!(
            ops(&bytes).unwrap(),
            made.iter().map(|op| op.bytes().to_vec()).collect::<Vec<_>>()
        );
        let at = at.index(bytes.len());
        prop_assert!(ops(&bytes[..at]).is_err(), "cut after {} bytes", at);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(ops(&flipped).is_err(), "bit {} of byte {}", bit, at);
        let continued = [&bytes[..], &more].concat();
        prop_assert!(matches!(ops(&continued), Err(BundleError::Trailing)));
    }
}

#[test]
fn an_op_with_an_invalid_signature_is_not_written() {
    let mut made: Vec<_> = chain(&owner(), 3)
        .iter()
        .map(|op| op.bytes().to_vec())
        .collect();
    *made[1].last_mut().unwrap() ^= 1;
    let mut out = Vec::new();
    let refused = write_bundle(&mut out, &genesis(), &mut made.into_iter().map(Ok)).unwrap_err();
    assert!(
        matches!(refused, BundleError::BadOp { index: 1, .. }),
        "{refused:?}"
    );
    // The bytes written before the failure are a truncated bundle, and a reader reports that.
    assert!(matches!(verify(&out), Err(BundleError::Cut { .. })));
}
