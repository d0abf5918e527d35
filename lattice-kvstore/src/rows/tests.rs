use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::golden;

/// The greatest apply index in a cell: four times it is a varint below 2^63.
const GREATEST: u64 = u64::MAX >> 3;

const fn at(index: u64) -> ApplyIndex {
    ApplyIndex::new(index)
}

fn name(op: &OpRef) -> OpHash {
    OpHash(blake3::hash(&op.to_key()).into())
}

fn mark_at(op: &OpRef, key: &[u8]) -> Vec<u8> {
    mark_key(name(op), KeyHash(blake3::hash(key).into())).to_vec()
}

fn stamp(hlc: u64, author: u8, seq: u64, id: u8) -> Stamp {
    let op = OpRef {
        author: PubKey::from_bytes([author; 32]),
        seq,
        id: OpId::from_bytes([id; 32]),
    };
    Stamp {
        hlc: Hlc::from_u64(hlc),
        op,
    }
}

#[test]
fn cells_have_the_bytes_of_the_table() {
    // 4 times 130 is 520, which is 8 in the low seven bits and 4 in the next.
    let value = b"six";
    for (cell, row) in [
        (
            Cell::Inside {
                index: at(130),
                value,
            },
            &b"\x88\x04six"[..],
        ),
        (Cell::Apart { index: at(130) }, b"\x89\x04"),
        (
            Cell::Siblings {
                current: at(130),
                count: 300,
            },
            b"\x8a\x04\xac\x02",
        ),
    ] {
        assert_eq!(cell.encode(), row);
        assert_eq!(Cell::decode(row).unwrap(), cell);
        assert_eq!(cell.current(), at(130));
    }
}

#[test]
fn a_value_and_a_sibling_have_the_bytes_of_the_table() {
    let value = [&b"v\0\x03key"[..], &[0, 0, 0, 0, 0, 0, 1, 2]].concat();
    assert_eq!(value_key(b"key", at(0x0102)), value);
    assert_eq!(split_value_key(&value).unwrap(), (&b"key"[..], at(0x0102)));

    let stamp = stamp(0x0102, 3, 4, 5);
    let sibling = SiblingRow {
        stamp,
        index: at(130),
    };
    let row_key = [&b"s\0\x03key"[..], &[0, 0, 0, 0, 0, 0, 1, 2], &[5; 32]].concat();
    assert_eq!(sibling_key(b"key", &stamp), row_key);
    let row = [&[3; 32][..], &[4, 0, 0, 0, 0, 0, 0, 0], &[0x82, 1]].concat();
    assert_eq!(sibling_row(&sibling), row);
    assert_eq!(decode_sibling(&row_key, &row).unwrap(), sibling);
    assert_eq!(key_of_sibling(&row_key).unwrap(), b"key");
}

#[test]
fn marks_and_elements_have_the_bytes_of_the_table() {
    let stamp = stamp(0x0102, 3, 4, 5);
    let key_hash = blake3::hash(b"key");
    let named = [&[3; 32][..], &[0, 0, 0, 0, 0, 0, 0, 4], &[5; 32]].concat();
    let hash = blake3::hash(&named);
    let mark = [&b"m"[..], hash.as_bytes(), key_hash.as_bytes()].concat();
    assert_eq!(mark_at(&stamp.op, b"key"), mark);
    // The length of the user's key does not matter.
    let long = [b'k'; 4096];
    assert_eq!(mark_at(&stamp.op, &long).len(), 65);
    let element = [&b"key"[..], &[5; 32]].concat();
    assert_eq!(element_key(b"key", &stamp.op.id), element);
}

#[test]
fn the_first_byte_of_a_row_is_its_kind() {
    let stamp = stamp(1, 2, 3, 4);
    for (row_key, expected) in [
        (cell_key(b"key"), RowKind::Cell),
        (value_key(b"key", at(5)), RowKind::Value),
        (sibling_key(b"key", &stamp), RowKind::Sibling),
        (mark_at(&stamp.op, b"key"), RowKind::Mark),
    ] {
        assert_eq!(kind(&row_key).unwrap(), expected);
    }
    for unknown in [&b""[..], b"h", b"i", b"\0", b"C"] {
        let error = kind(unknown).unwrap_err().to_string();
        assert!(
            error.contains("`data`") && error.contains("a row of a key-value store"),
            "{error}"
        );
    }
}

#[test]
fn a_value_inside_a_cell_has_at_most_1024_bytes() {
    let inside = |len: usize| [&[0][..], &vec![7; len]].concat();
    assert!(Cell::decode(&inside(MAX_INSIDE)).is_ok());
    assert!(Cell::decode(&inside(MAX_INSIDE + 1)).is_err());
    assert_eq!(MAX_INSIDE, 1024);
}

#[test]
fn damaged_cells_are_errors_that_say_what_was_expected() {
    // Empty; a varint that is unfinished, too long or beyond 64 bits; form 3; a byte after a
    // cell without a value; a count that is missing, unfinished, 0 or 1, or followed by a
    // byte.
    for row in [
        &b""[..],
        b"\x80",
        b"\x80\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x03",
        b"\x07",
        b"\x01\0",
        b"\x02",
        b"\x02\x80",
        b"\x02\0",
        b"\x02\x01",
        b"\x02\x82\0",
        b"\x02\x02\0",
    ] {
        let error = Cell::decode(row).unwrap_err().to_string();
        assert!(error.contains("a cell of a key-value store"), "{error}");
    }
}

#[test]
fn damaged_values_and_siblings_are_errors_that_say_what_was_expected() {
    assert!(key_of_cell(b"s").is_err() && key_of_cell(b"").is_err());
    let stamp = stamp(1, 2, 3, 4);
    let (value, sibling) = (value_key(b"key", at(5)), sibling_key(b"key", &stamp));
    for end in 0..value.len() {
        assert!(split_value_key(&value[..end]).is_err(), "{end} bytes");
    }
    for end in 0..sibling.len() {
        assert!(key_of_sibling(&sibling[..end]).is_err(), "{end} bytes");
    }
    assert!(split_value_key(&[&value[..], &[0]].concat()).is_err());
    assert!(key_of_sibling(&[&sibling[..], &[0]].concat()).is_err());
    assert!(split_value_key(&sibling).is_err() && key_of_sibling(&value).is_err());

    let row = sibling_row(&SiblingRow {
        stamp,
        index: at(5),
    });
    for end in 0..row.len() {
        let error = decode_sibling(&sibling, &row[..end]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("a sibling of 41 to 49 bytes"), "{error}");
    }
    assert!(decode_sibling(&sibling, &[&row[..], &[0]].concat()).is_err());
    // An index that is not the shortest varint; the key of a different kind of row.
    let header = &row[..40];
    assert!(decode_sibling(&sibling, &[header, &[0x85, 0]].concat()).is_err());
    assert!(decode_sibling(&value, &row).is_err());
}

#[test]
fn golden_rows() {
    let stamp = stamp(0x0102, 3, 0x0405, 6);
    let key = b"key";
    let cell = |cell: Cell<'_>| (cell_key(key), cell.encode());
    let inside = |index, value| {
        let index = at(index);
        cell(Cell::Inside { index, value })
    };
    let siblings = |current, count| {
        let current = at(current);
        cell(Cell::Siblings { current, count })
    };
    let longest: Vec<u8> = (0..=u8::MAX).collect::<Vec<_>>().repeat(4);
    let sibling = SiblingRow {
        stamp,
        index: at(0x4081),
    };
    let expected = [
        ("cell-inside", inside(5, b"seven")),
        ("cell-inside-empty", inside(0, b"")),
        ("cell-inside-longest", inside(0x1020, &longest)),
        ("cell-apart", cell(Cell::Apart { index: at(0x4081) })),
        ("cell-of-siblings", siblings(31, 2)),
        ("cell-of-many-siblings", siblings(GREATEST, 301)),
        ("value", (value_key(key, at(0x0708)), b"seven".to_vec())),
        (
            "value-empty",
            (value_key(&[0xff; 300], at(u64::MAX)), vec![]),
        ),
        ("sibling", (sibling_key(key, &stamp), sibling_row(&sibling))),
        ("mark", (mark_at(&stamp.op, key), vec![])),
        (
            "mark-longest-key",
            (mark_at(&stamp.op, &[b'k'; 4096]), vec![]),
        ),
    ];
    let lines = golden::lines("rows.txt");
    assert_eq!(lines.len(), expected.len());
    for ((name, words), (expected_name, (row_key, row))) in lines.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(golden::first(words), row_key, "{name}");
        assert_eq!(words.get(1).map_or(&[][..], Vec::as_slice), row, "{name}");
        if let Ok(key) = key_of_cell(&row_key) {
            assert_eq!(key, b"key");
            assert_eq!(Cell::decode(&row).unwrap().encode(), row, "{name}");
        }
    }
}

#[test]
fn golden_elements() {
    let lines = golden::lines("elements.txt");
    assert_eq!(lines.len(), 2);
    for (name, words) in lines {
        let [key, op, element] = &words[..] else {
            panic!("{name} has other parts");
        };
        let op = OpId::from_bytes(op.as_slice().try_into().unwrap());
        assert_eq!(element_key(key, &op), *element, "{name}");
    }
}

fn arb_stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u8>(), any::<u64>(), any::<u8>())
        .prop_map(|(hlc, author, seq, id)| stamp(hlc, author, seq, id))
}

fn arb_key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..300)
}

fn arb_inside() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..=MAX_INSIDE)
}

proptest! {
    #[test]
    fn rows_read_back_as_they_were_written(
        index in 0..=GREATEST, count in 2..=u64::MAX >> 1, stamp in arb_stamp(), key in arb_key(),
        value in arb_inside(),
    ) {
        let (index, value) = (at(index), &value[..]);
        let cells = [
            Cell::Inside { index, value }, Cell::Apart { index },
            Cell::Siblings { current: index, count },
        ];
        for cell in cells {
            let row = cell.encode();
            prop_assert_eq!(Cell::decode(&row).unwrap(), cell);
        }
        let row_key = cell_key(&key);
        prop_assert_eq!(key_of_cell(&row_key).unwrap(), &key[..]);
        prop_assert!(with_cell_key(&key, &mut |shown| Ok(shown == row_key)).unwrap());
        let row_key = value_key(&key, index);
        prop_assert_eq!(split_value_key(&row_key).unwrap(), (&key[..], index));
        let sibling = SiblingRow { stamp, index };
        let (row_key, row) = (sibling_key(&key, &stamp), sibling_row(&sibling));
        prop_assert_eq!(decode_sibling(&row_key, &row).unwrap(), sibling);
        prop_assert_eq!(key_of_sibling(&row_key).unwrap(), &key[..]);
    }

    /// Each cell has one encoding: bytes that decode as a cell are its encoding.
    #[test]
    fn any_bytes_are_refused_or_the_only_encoding_of_a_cell(row in proptest::collection::vec(any::<u8>(), 0..24)) {
        if let Ok(cell) = Cell::decode(&row) {
            prop_assert_eq!(cell.encode(), row);
        }
    }

    #[test]
    fn siblings_are_sorted_by_rank(
        key in arb_key(), a in arb_stamp(), b in arb_stamp(),
    ) {
        prop_assert_eq!(a.rank().cmp(&b.rank()), sibling_key(&key, &a).cmp(&sibling_key(&key, &b)));
    }

    #[test]
    fn a_keys_ranges_contain_no_rows_of_other_keys(
        a in arb_key(), b in arb_key(), extended in any::<bool>(), stamp in arb_stamp(),
    ) {
        let b = if extended { [&a[..], &b].concat() } else { b };
        let within = |span: &PrefixSpan, row_key: &[u8]| {
            use core::ops::RangeBounds;
            span.span().contains(row_key)
        };
        let same = a == b;
        prop_assert_eq!(within(&sibling_span(&a), &sibling_key(&b, &stamp)), same);
        prop_assert!(!within(&sibling_span(&a), &value_key(&b, at(1))));
        prop_assert_eq!(mark_at(&stamp.op, &a) == mark_at(&stamp.op, &b), same);
        prop_assert!(mark_at(&stamp.op, &b).starts_with(&mark_prefix(name(&stamp.op))));
    }

    /// A mark is for a whole reference: a reference with a false author or number has other marks.
    #[test]
    fn a_mark_includes_author_and_sequence_number(key in arb_key(), stamp in arb_stamp(), more in 1_u64..) {
        let op = stamp.op;
        let other = |byte: u8| [byte ^ 1; 32];
        let seq = op.seq.wrapping_add(more);
        let author = PubKey::from_bytes(other(op.author.as_bytes()[0]));
        let id = OpId::from_bytes(other(op.id.as_bytes()[0]));
        for lie in [OpRef { seq, ..op }, OpRef { author, ..op }] {
            prop_assert_ne!(mark_at(&lie, &key), mark_at(&op, &key));
        }
        let mark = mark_at(&OpRef { id, ..op }, &key);
        prop_assert!(!mark.starts_with(&mark_prefix(name(&op))));
    }
}
