//! Bundles that differ from what the writer wrote.

use lattice_backend::bundle::{
    BundleCode, BundleCodeError, BundleError, Claims, MAX_MODULE_BYTES, Module, write_bundle,
};
use lattice_backend::machine::LogicVersion;
use lattice_backend::op::{Op, OpRef};
use lattice_meta::{Cid, StateHash};
use proptest::prelude::*;

use super::golden::{golden, golden_code};
use super::{ops, verify, written, written_with};
use crate::support::{chain, genesis, op, owner, secret};

#[test]
fn golden_bundles_truncated_anywhere_are_refused() {
    truncated(&golden());
    truncated(&golden_code());
}

fn truncated(bytes: &[u8]) {
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
fn golden_bundles_with_any_bit_changed_are_refused() {
    altered(&golden());
    altered(&golden_code());
}

fn altered(bytes: &[u8]) {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.to_vec();
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

/// A section of these modules; the claims name the first one.
fn code(modules: Vec<Vec<u8>>, frontier: &[Op]) -> BundleCode {
    let modules = modules.into_iter();
    let modules: Vec<_> = modules
        .map(|bytes| Module::new(Cid::of(&bytes), bytes).unwrap())
        .collect();
    let logic = LogicVersion::new(&modules[0].cid().to_string()).unwrap();
    let mut frontier: Vec<_> = frontier.iter().map(Op::reference).collect();
    frontier.sort_unstable();
    frontier.dedup();
    let claims = Claims::new(logic, StateHash::from_bytes([9; 32]), frontier).unwrap();
    BundleCode::new(claims, modules).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_bundle_with_code_that_is_altered_truncated_or_extended_is_refused(
        modules in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5),
        ops_long in prop::collection::vec(0_usize..500, 0..4),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        more in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let made = (0_u64..).zip(&ops_long);
        let made: Vec<_> = made
            .map(|(after_ms, length)| op(&owner(), None, &[], after_ms, &vec![0x5a; *length]))
            .collect();
        let code = code(modules, &made);
        let bytes = written_with(&code, &made);
        prop_assert_eq!(verify(&bytes).unwrap().code, Some(code));
        let expected: Vec<_> = made.iter().map(|op| op.bytes().to_vec()).collect();
        prop_assert_eq!(ops(&bytes).unwrap(), expected);
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
fn the_longest_section_is_read() {
    let author = owner();
    let chain = chain(&author, 1);
    let one = chain[0].reference();
    let frontier: Vec<_> = (0..1024).map(|seq| OpRef { seq, ..one }).collect();
    let logic = LogicVersion::new(&"x".repeat(64)).unwrap();
    let claims = Claims::new(logic, StateHash::from_bytes([9; 32]), frontier).unwrap();
    let modules = (0..4).map(|byte| vec![byte; MAX_MODULE_BYTES]);
    let modules = modules.map(|bytes| Module::new(Cid::of(&bytes), bytes).unwrap());
    let code = BundleCode::new(claims, modules.collect()).unwrap();
    let bytes = written_with(&code, &chain);
    assert!(verify(&bytes).unwrap().code == Some(code));
}

#[test]
fn a_section_that_no_reader_accepts_cannot_be_made() {
    let one = chain(&owner(), 1)[0].reference();
    let logic = || LogicVersion::new("chat/1").unwrap();
    let hash = StateHash::from_bytes([9; 32]);
    let frontier = |count| (0..count).map(|seq| OpRef { seq, ..one }).collect();
    let refused = Claims::new(logic(), hash, frontier(1025));
    assert_eq!(refused, Err(BundleCodeError::Frontier { found: 1025 }));
    let refused = Claims::new(logic(), hash, vec![one, one]);
    assert_eq!(refused, Err(BundleCodeError::FrontierOrder));
    let claims = Claims::new(logic(), hash, vec![one]).unwrap();
    let module = Module::new(Cid::of(b"x"), b"x".to_vec()).unwrap();
    for count in [0, 5] {
        let refused = BundleCode::new(claims.clone(), vec![module.clone(); count]);
        assert_eq!(refused, Err(BundleCodeError::ModuleCount { found: count }));
    }
    let cid = Cid::of(b"x");
    let refused = Module::new(cid, b"y".to_vec());
    assert_eq!(refused, Err(BundleCodeError::ModuleHash { cid }));
    let long = vec![0; MAX_MODULE_BYTES + 1];
    let refused = Module::new(Cid::of(&long), long);
    assert!(matches!(
        refused,
        Err(BundleCodeError::ModuleLength {
            found: 4_194_305,
            ..
        })
    ));
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
