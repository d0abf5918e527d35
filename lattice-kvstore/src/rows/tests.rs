use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use lattice_meta::PubKey;

use super::*;
use crate::golden;

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
fn a_cell_has_the_bytes_of_the_table() {
    let cell = Cell {
        others: 2,
        number: 130,
        value: b"six",
    };
    let row = b"\x85\x02\x02six";
    assert_eq!(cell.encode(), row);
    assert_eq!(Cell::decode(row).unwrap(), cell);
}

#[test]
fn a_full_cell_has_the_bytes_of_schema_1() {
    let cell = FullCell {
        others: 2,
        winner: stamp(0x0102, 3, 4, 5),
        value: b"six",
    };
    let mut row = vec![2, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
    row.extend([3; 32]);
    row.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    row.extend([5; 32]);
    row.extend(b"six");
    assert_eq!(cell.encode(), row);
    assert_eq!(FullCell::decode(&row).unwrap(), cell);
    assert_eq!(row.len(), FullCell::HEADER_LEN + 3);
}

#[test]
fn a_further_head_has_the_bytes_of_the_table() {
    let stamp = stamp(0x0102, 3, 4, 5);
    let mut row_key = vec![b'h', 0, 3];
    row_key.extend(b"key");
    row_key.extend([0, 0, 0, 0, 0, 0, 1, 2]);
    row_key.extend([5; 32]);
    assert_eq!(further_key(b"key", &stamp), row_key);
    let mut row = vec![3; 32];
    row.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    row.extend(b"six");
    assert_eq!(further_value(&stamp.op, b"six"), row);
    assert_eq!(
        decode_further(&row_key, &row).unwrap(),
        (stamp, &b"six"[..])
    );
    assert_eq!(key_of_further(&row_key).unwrap(), b"key");
}

#[test]
fn index_and_marks_have_the_bytes_of_the_table() {
    let stamp = stamp(0x0102, 3, 4, 5);
    let mut op = vec![3; 32];
    op.extend([0, 0, 0, 0, 0, 0, 0, 4]);
    op.extend([5; 32]);
    let index = [&[b'i', 0, 3][..], b"key", &op].concat();
    assert_eq!(index_key(b"key", &stamp.op), index);
    assert_eq!(op_of_index(&index).unwrap(), stamp.op);
    assert_eq!(index_value(stamp.hlc), [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decode_index(&[2, 1, 0, 0, 0, 0, 0, 0]).unwrap(), stamp.hlc);
    assert!(is_index(&index) && !is_index(b"c") && !is_index(b""));
    let mark = [&[b'm'][..], &op, b"key"].concat();
    assert_eq!(mark_key(&stamp.op, b"key"), mark);
    assert_eq!(key_of_mark(&mark).unwrap(), b"key");
}

#[test]
fn damaged_rows_are_errors_that_say_what_was_expected() {
    // Nothing; a varint that goes on; one that is longer than it need be; a count that is missing, goes
    // on, is none, or too great.
    for row in [
        &b""[..],
        b"\x80",
        b"\x80\0",
        b"\x01",
        b"\x01\x80",
        b"\x01\0",
        b"\x01\x80\x80\x80\x80\x10",
    ] {
        let error = Cell::decode(row).unwrap_err().to_string();
        assert!(error.contains("number of an op"), "{error}");
    }
    let short = vec![0; FullCell::HEADER_LEN - 1];
    let error = FullCell::decode(&short).unwrap_err().to_string();
    assert!(
        error.contains("`data`") && error.contains("84 bytes"),
        "{error}"
    );
    assert!(decode_index(&[0; 7]).is_err() && decode_index(&[0; 9]).is_err());
    assert!(op_of_index(&[0; OpRef::KEY_LEN - 1]).is_err());
    assert!(key_of_mark(&[0; MARK_HEADER_LEN - 1]).is_err());
    assert!(key_of_cell(b"h").is_err());
    let row_key = further_key(b"key", &stamp(1, 2, 3, 4));
    for end in 0..row_key.len() {
        assert!(
            key_of_further(&row_key[..end]).is_err(),
            "{end} bytes of a key"
        );
    }
    assert!(decode_further(&row_key, &[0; FURTHER_HEADER_LEN - 1]).is_err());
}

#[test]
fn golden_rows() {
    let (first, second) = (stamp(0x0102, 3, 0x0405, 6), stamp(0x0102, 8, 9, 10));
    let full = |others, winner, value| FullCell {
        others,
        winner,
        value,
    };
    let short = |others, number, value| {
        let cell = Cell {
            others,
            number,
            value,
        };
        (cell_key(b"key"), cell.encode())
    };
    let further = (
        further_key(b"key", &first),
        further_value(&first.op, b"seven"),
    );
    let index = (
        index_key(b"key", &first.op),
        index_value(first.hlc).to_vec(),
    );
    let expected = [
        // As they were in schema 1, and as their leaves are.
        (
            "cell",
            (cell_key(b"key"), full(0, first, b"seven").encode()),
        ),
        (
            "cell-of-two",
            (cell_key(b"key"), full(1, second, b"").encode()),
        ),
        ("further", further),
        ("index", index),
        ("mark", (mark_key(&first.op, b"key"), vec![])),
        ("short-cell", short(0, 5, b"seven")),
        ("short-cell-of-two", short(1, 0x4081, b"")),
        ("short-cell-of-many", short(300, u64::MAX >> 2, b"seven")),
    ];
    let lines = golden::lines("rows.txt");
    assert_eq!(lines.len(), expected.len());
    for ((name, words), (expected_name, (row_key, row))) in lines.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(golden::first(words), row_key, "{name}");
        assert_eq!(words.get(1).map_or(&[][..], Vec::as_slice), row, "{name}");
    }
}

fn arb_stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u8>(), any::<u64>(), any::<u8>())
        .prop_map(|(hlc, author, seq, id)| stamp(hlc, author, seq, id))
}

fn arb_key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..300)
}

proptest! {
    #[test]
    fn rows_read_back_as_they_were_written(
        others: u32, number in 0..=u64::MAX >> 2, winner in arb_stamp(), key in arb_key(), value: Vec<u8>,
    ) {
        let cell = Cell { others, number, value: &value };
        let row = cell.encode();
        prop_assert_eq!(Cell::decode(&row).unwrap(), cell);
        let full = FullCell { others, winner, value: &value };
        let leaf = full.encode();
        prop_assert_eq!(FullCell::decode(&leaf).unwrap(), full);
        let row_key = cell_key(&key);
        prop_assert_eq!(key_of_cell(&row_key).unwrap(), &key[..]);
        let (row_key, row) = (further_key(&key, &winner), further_value(&winner.op, &value));
        prop_assert_eq!(decode_further(&row_key, &row).unwrap(), (winner, &value[..]));
        prop_assert_eq!(key_of_further(&row_key).unwrap(), &key[..]);
    }

    #[test]
    fn further_heads_stand_in_the_order_of_winning(
        key in arb_key(), a in arb_stamp(), b in arb_stamp(),
    ) {
        prop_assert_eq!(a.rank().cmp(&b.rank()), further_key(&key, &a).cmp(&further_key(&key, &b)));
    }

    #[test]
    fn no_other_keys_rows_lie_in_a_keys_ranges(
        a in arb_key(), b in arb_key(), extended in any::<bool>(), stamp in arb_stamp(),
    ) {
        let b = if extended { [&a[..], &b].concat() } else { b };
        let within = |span: &PrefixSpan, row_key: &[u8]| {
            use core::ops::RangeBounds;
            span.span().contains(row_key)
        };
        let same = a == b;
        prop_assert_eq!(within(&further_span(&a), &further_key(&b, &stamp)), same);
        prop_assert_eq!(within(&index_span(&a), &index_key(&b, &stamp.op)), same);
        prop_assert!(within(&mark_span(&stamp.op), &mark_key(&stamp.op, &b)));
    }
}
