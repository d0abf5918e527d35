//! Rows and elements, encoded byte by byte from the table in `src/rows.rs`.

use lattice_backend::op::OpRef;

/// A key and a value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// The longest value that a cell holds, in bytes.
pub(crate) const MAX_INSIDE: usize = 1024;

/// One of the values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestSibling {
    pub(crate) hlc: u64,
    pub(crate) op: OpRef,
    pub(crate) value: Vec<u8>,
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn after_length(tag: u8, key: &[u8]) -> Vec<u8> {
    let len = u16::try_from(key.len()).unwrap().to_be_bytes();
    [&[tag], &len[..], key].concat()
}

fn cell_key(key: &[u8]) -> Vec<u8> {
    [b"c", key].concat()
}

/// A cell that holds the only value.
pub(crate) fn cell_inside(key: &[u8], index: u64, value: &[u8]) -> Pair {
    (cell_key(key), [&varint(4 * index)[..], value].concat())
}

/// A cell whose only value has a row of its own.
pub(crate) fn cell_apart(key: &[u8], index: u64) -> Pair {
    (cell_key(key), varint(4 * index + 1))
}

/// A cell of several values.
pub(crate) fn cell_of_siblings(key: &[u8], current: u64, count: usize) -> Pair {
    let count = varint(u64::try_from(count).unwrap());
    (cell_key(key), [varint(4 * current + 2), count].concat())
}

/// A value's own row.
pub(crate) fn value_row(key: &[u8], index: u64, value: &[u8]) -> Pair {
    let row_key = [&after_length(b'v', key)[..], &index.to_be_bytes()].concat();
    (row_key, value.to_vec())
}

/// The row that ranks one of several values.
pub(crate) fn sibling_row(key: &[u8], sibling: &TestSibling, index: u64) -> Pair {
    let TestSibling { hlc, op, .. } = sibling;
    let row_key = [
        &after_length(b's', key)[..],
        &hlc.to_be_bytes(),
        op.id.as_ref(),
    ];
    let row = [op.author.as_ref(), &op.seq.to_le_bytes(), &varint(index)];
    (row_key.concat(), row.concat())
}

/// The row of a mark.
pub(crate) fn mark_row(marked: &OpRef, key: &[u8]) -> Pair {
    let named = [
        marked.author.as_ref(),
        &marked.seq.to_be_bytes(),
        marked.id.as_ref(),
    ];
    let hashes = [blake3::hash(&named.concat()), blake3::hash(key)];
    let row_key = [b"m", &hashes[0].as_bytes()[..], hashes[1].as_bytes()].concat();
    (row_key, Vec::new())
}

/// The element of a value.
pub(crate) fn element(key: &[u8], sibling: &TestSibling) -> Pair {
    (
        [key, sibling.op.id.as_ref()].concat(),
        sibling.value.clone(),
    )
}
