//! The committed bundles, made by an independent implementation (`tests/golden/generate.py`).

use std::error::Error;
use std::fs;

use lattice_backend::bundle::{
    BundleError, BundlePart, BundleReader, Module, write_bundle, write_bundle_after,
    write_bundle_with_code,
};
use lattice_backend::op::{Op, OpHasher};
use lattice_meta::{Cid, CidHash};

use super::{ops, verify};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(super) fn golden() -> Vec<u8> {
    file("bundle.bin")
}

/// A bundle of format 2, with two modules.
pub(super) fn golden_code() -> Vec<u8> {
    file("bundle_code.bin")
}

#[test]
fn golden_bundle() {
    let bytes = golden();
    let summary = verify(&bytes).unwrap();
    assert_eq!((summary.counts.ops, summary.other_ops), (2, 0));
    assert_eq!(summary.authors.values().collect::<Vec<_>>(), [&1, &1]);
    let ops = ops(&bytes).unwrap();
    assert_eq!(
        summary.counts.op_bytes,
        u64::try_from(ops.concat().len()).unwrap()
    );
    let mut written = Vec::new();
    let made = write_bundle(&mut written, &summary.genesis, &mut ops.into_iter().map(Ok)).unwrap();
    assert_eq!(made, summary.counts);
    assert!(written == bytes);
}

#[test]
fn the_genesis_is_known_at_the_start_and_the_digest_at_the_end() {
    let bytes = golden();
    let mut reader = BundleReader::new(&bytes[..]).unwrap();
    assert_eq!(*reader.genesis(), verify(&bytes).unwrap().genesis);
    while reader.next_op().unwrap().is_some() {}
    assert_eq!(reader.digest().unwrap(), bytes[bytes.len() - 32..]);
}

#[test]
fn golden_bundle_with_code() {
    let bytes = golden_code();
    let summary = verify(&bytes).unwrap();
    let (code, ops) = (summary.code.unwrap(), ops(&bytes).unwrap());
    assert_eq!(ops, super::ops(&golden()).unwrap());
    let contents: Vec<_> = code.modules().iter().map(Module::bytes).collect();
    let second = b"a module that is named by its SHA2-256";
    assert_eq!(contents, [&b"a module"[..], &second[..]]);
    let hashes: Vec<_> = code.modules().iter().map(|one| one.cid().hash()).collect();
    assert_eq!(hashes, [CidHash::Blake3, CidHash::Sha256]);
    let claims = code.claims();
    assert_eq!(claims.logic().as_str(), Cid::of(b"a module").to_string());
    let hasher = OpHasher::new(&summary.genesis.hash());
    let decoded = ops
        .iter()
        .map(|op| Op::decode(op.clone(), &hasher).unwrap());
    let mut frontier: Vec<_> = decoded.map(|op| op.reference()).collect();
    frontier.sort_unstable();
    assert_eq!(claims.frontier(), frontier);
    let mut written = Vec::new();
    let mut given = ops.into_iter().map(Ok);
    let made = write_bundle_with_code(&mut written, &summary.genesis, &code, &mut given).unwrap();
    assert_eq!(made, summary.counts);
    assert!(written == bytes);
    // Without code, the same ops make the bundle of format 1.
    let mut plain = Vec::new();
    let mut given = super::ops(&bytes).unwrap().into_iter().map(Ok);
    write_bundle(&mut plain, &summary.genesis, &mut given).unwrap();
    assert!(plain == golden());
}

#[test]
fn golden_bundle_of_a_chain() {
    let bytes = file("bundle_after.bin");
    let summary = verify(&bytes).unwrap();
    let (follows, given) = (summary.follows.unwrap(), ops(&bytes).unwrap());
    assert_eq!(follows.name(), "monday.db");
    let claims = verify(&golden_code()).unwrap().code.unwrap();
    assert_eq!(follows.ops(), claims.claims().frontier());
    assert_eq!(given, ops(&golden()).unwrap());
    let (mut written, mut given) = (Vec::new(), given.into_iter().map(Ok));
    let made = write_bundle_after(&mut written, &summary.genesis, &follows, &mut given).unwrap();
    assert_eq!(made, summary.counts);
    assert!(written == bytes);
    assert_eq!(verify(&golden()).unwrap().follows, None);
}

#[test]
fn the_code_is_known_before_the_first_op() {
    let (plain, bytes) = (golden(), golden_code());
    let ops_bytes = plain.len() - (16 + 4 + usize::from(plain[16]));
    let reader = BundleReader::new(&bytes[..bytes.len() - ops_bytes]).unwrap();
    assert_eq!(reader.code(), verify(&bytes).unwrap().code.as_ref());
    assert!(BundleReader::new(&plain[..]).unwrap().code().is_none());
}

/// The name of an error in the hostile bundles.
fn name(error: &BundleError) -> &'static str {
    let indexed = |index, names: [&'static str; 3]| names[index];
    match error {
        BundleError::Empty => "empty",
        BundleError::NotABundle { .. } => "not_a_bundle",
        BundleError::Format { .. } => "format",
        BundleError::Genesis(_) => "genesis",
        BundleError::Cut { part } => match part {
            BundlePart::Magic => "cut_magic",
            BundlePart::Claims => "cut_claims",
            BundlePart::ModuleCount => "cut_module_count",
            BundlePart::Module { index } => {
                indexed(*index, ["cut_module_0", "cut_module_1", "cut_module_2"])
            }
            BundlePart::Follows => "cut_follows",
            BundlePart::Genesis => "cut_genesis",
            BundlePart::Next { .. } => "cut_next",
            BundlePart::Op { .. } => "cut_op",
            BundlePart::Counts => "cut_counts",
            BundlePart::Digest => "cut_digest",
            part => panic!("{part} has no name"),
        },
        BundleError::Code { part, .. } => match part {
            BundlePart::Claims => "claims",
            BundlePart::ModuleCount => "module_count",
            BundlePart::Module { index } => indexed(*index, ["module_0", "module_1", "module_2"]),
            part => panic!("{part} has no code"),
        },
        BundleError::Length { part, .. } => match part {
            BundlePart::Claims => "length_claims",
            BundlePart::Module { index: 0 } => "length_module_0",
            BundlePart::Follows => "length_follows",
            BundlePart::Genesis => "length_genesis",
            BundlePart::Op { .. } => "length_op",
            part => panic!("{part} has no length"),
        },
        BundleError::Follows(_) => "follows",
        BundleError::OpCount { .. } => "op_count",
        BundleError::ByteCount { .. } => "byte_count",
        BundleError::Digest => "digest",
        BundleError::Trailing => "trailing",
        BundleError::Op { .. } => "op",
        error => panic!("{error} has no name"),
    }
}

/// Reads the hostile bundles of a file; returns how many kinds of errors they cause.
fn refused_kinds(vectors: &str) -> usize {
    let text = String::from_utf8(file(vectors)).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [vector, expected, digits] = words[..] else {
            panic!("{line} has other than three words")
        };
        let bytes = match digits {
            "empty" => Vec::new(),
            digits => data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap(),
        };
        let refused = verify(&bytes).unwrap_err();
        assert_eq!(name(&refused), expected, "{vector}: {refused}");
        // A reader that does not check signatures refuses the same bundles, except an op under a
        // right digest.
        match ops(&bytes) {
            Ok(_) => assert_eq!(expected, "op", "{vector}"),
            Err(refused) => assert_eq!(name(&refused), expected, "{vector}: {refused}"),
        }
        names.insert(expected.to_owned());
    }
    names.len()
}

#[test]
fn golden_hostile_bundles_are_refused_with_their_reasons() {
    assert_eq!(refused_kinds("bundle_hostile.txt"), 19);
}

#[test]
fn golden_hostile_bundles_of_a_chain_are_refused_with_their_reasons() {
    assert_eq!(refused_kinds("bundle_after_hostile.txt"), 7);
}

#[test]
fn golden_hostile_bundles_with_code_are_refused_with_their_reasons() {
    assert_eq!(refused_kinds("bundle_code_hostile.txt"), 19);
}

#[test]
fn messages_name_the_op_and_the_limit() {
    let text = |bytes: &[u8]| verify(bytes).unwrap_err().to_string();
    let bytes = golden();
    assert_eq!(text(b""), "expected a bundle, found no bytes");
    assert_eq!(
        text(b"redb\x1a\x0a and more than sixteen"),
        "expected a bundle, found data that starts with \"redb\\u{1a}\\n and more \""
    );
    assert_eq!(
        text(&bytes[..300]),
        "the bundle is truncated: op 1 is incomplete"
    );
    assert_eq!(
        text(&bytes[..bytes.len() - 52]),
        "the bundle is truncated: the length of op 2 or the end mark is incomplete"
    );
    let first_op = 20 + usize::from(bytes[16]);
    let mut long = bytes.clone();
    long[first_op..first_op + 4].copy_from_slice(&(17_u32 << 20).to_le_bytes());
    assert_eq!(
        text(&long),
        "the bundle is damaged: expected at most 16777216 bytes for op 0, found 17825792"
    );
    let mut counted = bytes.clone();
    counted[bytes.len() - 48] = 3;
    assert_eq!(
        text(&counted),
        "the bundle is damaged: expected 3 ops, found 2"
    );
    assert_eq!(
        text(&[&bytes[..], b"x"].concat()),
        "the bundle is damaged: data follows its end"
    );
    let mut newer = bytes;
    newer[15] = 4;
    assert_eq!(
        text(&newer),
        "expected a bundle of format 1 to 3, found format 4; a newer program may read it"
    );
}

#[test]
fn messages_name_the_part_of_the_code() {
    let shown = |bytes: &[u8]| {
        let error = verify(bytes).unwrap_err();
        let cause = error.source().map(ToString::to_string);
        (error.to_string(), cause)
    };
    let bytes = golden_code();
    let first_module = 16 + 4 + usize::from(bytes[16]) + 1;
    assert_eq!(
        shown(&bytes[..first_module + 40]),
        (
            "the bundle is truncated: module 0 is incomplete".to_owned(),
            None
        )
    );
    let mut altered = bytes.clone();
    altered[first_module + 40] ^= 1;
    let cid = Cid::of(b"a module");
    assert_eq!(
        shown(&altered),
        (
            "the bundle is damaged: module 0 is invalid".to_owned(),
            Some(format!("the bytes differ from those that {cid} names"))
        )
    );
    let mut many = bytes.clone();
    many[first_module - 1] = 5;
    assert_eq!(
        shown(&many),
        (
            "the bundle is damaged: the number of modules is invalid".to_owned(),
            Some("expected 1 to 4 modules, found 5".to_owned())
        )
    );
    let mut long = bytes;
    long[first_module + 36..first_module + 40].copy_from_slice(&(5_u32 << 20).to_le_bytes());
    assert_eq!(
        shown(&long).0,
        "the bundle is damaged: expected at most 4194304 bytes for module 0, found 5242880"
    );
}
