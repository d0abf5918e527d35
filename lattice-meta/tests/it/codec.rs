//! The strict codec.

use std::cell::Cell;
use std::fmt::Debug;

use lattice_meta::codec::{CodecError, bounded_seq, decode, encode};
use proptest::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

/// One of everything that records are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record<'a> {
    small: u8,
    wide: u64,
    flag: bool,
    fixed: [u8; 4],
    maybe: Option<u32>,
    choice: Choice,
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, 4>")]
    numbers: Vec<u16>,
    text: &'a str,
    #[serde(borrow)]
    bytes: &'a serde_bytes::Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Choice {
    First,
    Second(u8),
}

fn record(numbers: Vec<u16>) -> Record<'static> {
    Record {
        small: 1,
        wide: 0x0203_0405_0607_0809,
        flag: true,
        fixed: *b"abcd",
        maybe: Some(0x0a0b_0c0d),
        choice: Choice::Second(9),
        numbers,
        text: "text",
        bytes: serde_bytes::Bytes::new(b"\xff\0"),
    }
}

fn malformed<T: Debug>(result: Result<T, CodecError>) -> String {
    match result {
        Err(CodecError::Malformed { reason }) => reason,
        other => panic!("expected malformed bytes, found {other:?}"),
    }
}

#[test]
fn integers_are_fixed_width_and_little_endian() {
    let expected: Vec<u8> = [
        &[1][..],
        &[9, 8, 7, 6, 5, 4, 3, 2],
        &[1],
        b"abcd",
        &[1, 0x0d, 0x0c, 0x0b, 0x0a],
        &[1, 0, 0, 0, 9],
        &[2, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0x78, 0x56],
        &[4, 0, 0, 0, 0, 0, 0, 0],
        b"text",
        &[2, 0, 0, 0, 0, 0, 0, 0],
        b"\xff\0",
    ]
    .concat();
    let value = record(vec![0x1234, 0x5678]);
    let bytes = encode(&value).unwrap();
    assert_eq!(bytes, expected);
    assert_eq!(decode::<Record<'_>>(&bytes, bytes.len()).unwrap(), value);
}

#[test]
fn byte_strings_and_texts_are_borrowed_from_the_input() {
    let bytes = encode(&record(Vec::new())).unwrap();
    let read = decode::<Record<'_>>(&bytes, 1000).unwrap();
    let range = bytes.as_ptr_range();
    assert!(range.contains(&read.bytes.as_ptr()));
    assert!(range.contains(&read.text.as_ptr()));
}

#[test]
fn the_limit_is_checked_before_anything_is_read() {
    thread_local!(static READ: Cell<bool> = const { Cell::new(false) });
    #[derive(Debug, Serialize)]
    struct Traced(u8);
    impl<'de> Deserialize<'de> for Traced {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            READ.set(true);
            u8::deserialize(deserializer).map(Self)
        }
    }
    let refusal = decode::<Traced>(&[1; 10], 9).unwrap_err();
    assert_eq!(
        refusal,
        CodecError::TooLong {
            limit: 9,
            found: 10
        }
    );
    assert!(!READ.get());
    assert!(decode::<Traced>(&[1], 9).is_ok());
    assert!(READ.get());
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let bytes = encode(&record(vec![1, 2, 3])).unwrap();
    for length in 0..bytes.len() {
        malformed(decode::<Record<'_>>(&bytes[..length], 1000));
    }
    let longer = [&bytes[..], &[0]].concat();
    let trailing = CodecError::TrailingBytes {
        consumed: bytes.len(),
        found: longer.len(),
    };
    assert_eq!(decode::<Record<'_>>(&longer, 1000), Err(trailing));
}

#[test]
fn unknown_tags_and_flags_are_refused() {
    for byte in 2..=u8::MAX {
        malformed(decode::<bool>(&[byte], 1));
        malformed(decode::<Option<u8>>(&[byte, 0], 2));
    }
    for tag in [2_u32, 3, 256, u32::MAX] {
        malformed(decode::<Choice>(
            &[&tag.to_le_bytes()[..], &[0]].concat(),
            5,
        ));
    }
    malformed(decode::<&str>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff], 9));
}

#[test]
fn a_value_with_two_encodings_is_accepted_in_one_only() {
    /// Reads 2 as it reads 0: what a careless `Deserialize` may do.
    #[derive(Debug, PartialEq, Serialize)]
    struct Parity(u8);
    impl<'de> Deserialize<'de> for Parity {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            u8::deserialize(deserializer).map(|byte| Self(byte % 2))
        }
    }
    assert_eq!(decode::<Parity>(&[1], 1), Ok(Parity(1)));
    assert_eq!(decode::<Parity>(&[2], 1), Err(CodecError::NotCanonical));
    assert_eq!(decode::<Parity>(&[3], 1), Err(CodecError::NotCanonical));

    /// Reads a length that it does not write again.
    #[derive(Debug, PartialEq)]
    struct Shrinks(Vec<u8>);
    impl Serialize for Shrinks {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            ().serialize(serializer)
        }
    }
    impl<'de> Deserialize<'de> for Shrinks {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <[u8; 2]>::deserialize(deserializer).map(|bytes| Self(bytes.to_vec()))
        }
    }
    assert_eq!(decode::<Shrinks>(&[1, 2], 2), Err(CodecError::NotCanonical));
}

/// An element that counts how often one was begun to be read.
#[derive(Debug, Serialize)]
struct Counted(u64);

thread_local!(static ELEMENTS: Cell<usize> = const { Cell::new(0) });

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ELEMENTS.set(ELEMENTS.get() + 1);
        u64::deserialize(deserializer).map(Self)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Sequence<const MAX: usize>(
    #[serde(deserialize_with = "bounded_seq::deserialize::<_, _, MAX>")] Vec<Counted>,
);

#[test]
fn a_sequence_longer_than_allowed_is_refused_before_its_first_element() {
    let allowed = encode(&vec![7_u64; 3]).unwrap();
    assert_eq!(decode::<Sequence<3>>(&allowed, 1000).unwrap().0.len(), 3);
    ELEMENTS.set(0);
    let longer = encode(&vec![7_u64; 4]).unwrap();
    malformed(decode::<Sequence<3>>(&longer, 1000));
    assert_eq!(ELEMENTS.get(), 0);
}

/// Made room for by what it claims, this would overflow the capacity of a `Vec` and panic.
#[test]
fn a_false_length_allocates_nothing() {
    for claimed in [u64::MAX, u64::MAX / 2, 1 << 60, 1 << 40] {
        let bytes = [&claimed.to_le_bytes()[..], &[0; 16]].concat();
        malformed(decode::<Sequence<{ usize::MAX }>>(&bytes, 1000));
        malformed(decode::<&serde_bytes::Bytes>(&bytes, 1000));
        malformed(decode::<&str>(&bytes, 1000));
    }
    ELEMENTS.set(0);
    let bytes = [&1000_u64.to_le_bytes()[..], &[0; 16]].concat();
    malformed(decode::<Sequence<1000>>(&bytes, 1000));
    assert_eq!(
        ELEMENTS.get(),
        3,
        "two elements are there, the third is not"
    );
}

proptest! {
    #[test]
    fn records_round_trip(
        small in any::<u8>(), wide in any::<u64>(), flag in any::<bool>(),
        fixed in any::<[u8; 4]>(), maybe in any::<Option<u32>>(), second in any::<Option<u8>>(),
        numbers in prop::collection::vec(any::<u16>(), 0..=4), text in any::<String>(),
        bytes in any::<Vec<u8>>(),
    ) {
        let value = Record {
            small, wide, flag, fixed, maybe, numbers,
            choice: second.map_or(Choice::First, Choice::Second),
            text: &text,
            bytes: serde_bytes::Bytes::new(&bytes),
        };
        let encoded = encode(&value).unwrap();
        prop_assert_eq!(decode::<Record<'_>>(&encoded, encoded.len()).unwrap(), value);
    }

    #[test]
    fn bytes_that_decode_are_canonical(
        numbers in prop::collection::vec(any::<u16>(), 0..=4),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&record(numbers)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode::<Record<'_>>(&bytes, 1000) {
            prop_assert_eq!(encode(&read).unwrap(), bytes.clone());
        }
    }
}

/// An owned string that claims a length makes room for little more than the input.
#[test]
fn owned_strings_with_false_lengths_allocate_nothing() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Owned {
        text: String,
        bytes: Vec<u8>,
    }
    for length in [1_u64 << 20, 1 << 40, 1 << 62, u64::MAX] {
        let lie = [&length.to_le_bytes()[..], b"short"].concat();
        let text = lattice_meta::codec::decode::<String>(&lie, 1 << 24);
        assert!(
            matches!(text, Err(CodecError::Malformed { .. })),
            "{text:?}"
        );
    }
    for length in [0, 1, 0x3f0, 0x400, 0x1_0000, 0x10_0000, 0xf0_0000] {
        let owned = Owned {
            text: "x".repeat(length),
            bytes: vec![7; 9],
        };
        let encoded = lattice_meta::codec::encode(&owned).unwrap();
        assert_eq!(
            lattice_meta::codec::decode::<Owned>(&encoded, 1 << 24),
            Ok(owned)
        );
    }
}
