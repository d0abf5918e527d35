//! The committed bundles, made by an independent implementation (`tests/golden/generate.py`).

use std::fs;

use lattice_backend::bundle::{BundleError, BundlePart, BundleReader, write_bundle};

use super::{ops, verify};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(super) fn golden() -> Vec<u8> {
    file("bundle.bin")
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

/// The name of an error in the hostile bundles.
fn name(error: &BundleError) -> &'static str {
    match error {
        BundleError::Empty => "empty",
        BundleError::NotABundle { .. } => "not_a_bundle",
        BundleError::Format { .. } => "format",
        BundleError::Genesis(_) => "genesis",
        BundleError::Cut { part } => match part {
            BundlePart::Magic => "cut_magic",
            BundlePart::Genesis => "cut_genesis",
            BundlePart::Next { .. } => "cut_next",
            BundlePart::Op { .. } => "cut_op",
            BundlePart::Counts => "cut_counts",
            BundlePart::Digest => "cut_digest",
            part => panic!("{part} has no name"),
        },
        BundleError::Length { part, .. } => match part {
            BundlePart::Genesis => "length_genesis",
            BundlePart::Op { .. } => "length_op",
            part => panic!("{part} has no length"),
        },
        BundleError::OpCount { .. } => "op_count",
        BundleError::ByteCount { .. } => "byte_count",
        BundleError::Digest => "digest",
        BundleError::Trailing => "trailing",
        BundleError::Op { .. } => "op",
        error => panic!("{error} has no name"),
    }
}

#[test]
fn golden_hostile_bundles_are_refused_with_their_reasons() {
    let text = String::from_utf8(file("bundle_hostile.txt")).unwrap();
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
    assert_eq!(names.len(), 17, "kinds of errors: {names:?}");
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
    newer[15] = 2;
    assert!(matches!(
        verify(&newer),
        Err(BundleError::Format { found: 2 })
    ));
}
