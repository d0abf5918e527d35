//! Rows and payloads, written byte by byte from their documentation.

use std::collections::BTreeSet;

use lattice_backend::OpRef;

/// What a payload says about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestWrite {
    pub(crate) key: Vec<u8>,
    pub(crate) supersedes: BTreeSet<OpRef>,
    pub(crate) value: Option<Vec<u8>>,
}

fn op(op: &OpRef) -> Vec<u8> {
    [op.author.as_ref(), &op.seq.to_le_bytes(), op.id.as_ref()].concat()
}

fn op_ordered(op: &OpRef) -> Vec<u8> {
    [op.author.as_ref(), &op.seq.to_be_bytes(), op.id.as_ref()].concat()
}

fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap().to_le_bytes()
}

/// A payload of format 1. The writes must stand in ascending order of keys to be valid.
pub(crate) fn payload(writes: &[TestWrite]) -> Vec<u8> {
    let refs: BTreeSet<OpRef> = writes
        .iter()
        .flat_map(|write| write.supersedes.iter().copied())
        .collect();
    let refs: Vec<OpRef> = refs.into_iter().collect();
    payload_of(&refs, writes)
}

/// A payload of format 1 with these refs, which should be those that the writes name.
pub(crate) fn payload_of(refs: &[OpRef], writes: &[TestWrite]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(length(refs.len()));
    bytes.extend(refs.iter().flat_map(op));
    bytes.extend(length(writes.len()));
    for write in writes {
        bytes.extend(length(write.key.len()));
        bytes.extend(&write.key);
        bytes.extend(length(write.supersedes.len()));
        for superseded in &write.supersedes {
            let place = refs.iter().position(|other| other == superseded).unwrap();
            bytes.extend(u32::try_from(place).unwrap().to_le_bytes());
        }
        match &write.value {
            Some(value) => {
                bytes.push(1);
                bytes.extend(length(value.len()));
                bytes.extend(value);
            }
            None => bytes.push(0),
        }
    }
    bytes
}

/// One head of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestHead {
    pub(crate) hlc: u64,
    pub(crate) op: OpRef,
    pub(crate) value: Vec<u8>,
}

/// The rows of a key with these heads, the winner first.
pub(crate) fn key_rows(key: &[u8], heads: &[TestHead]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some((winner, others)) = heads.split_first() else {
        return Vec::new();
    };
    let count = u32::try_from(others.len()).unwrap();
    let cell = [
        &count.to_le_bytes()[..],
        &winner.hlc.to_le_bytes(),
        &op(&winner.op),
        &winner.value,
    ];
    let mut rows = vec![([b"c", key].concat(), cell.concat())];
    let key_len = u16::try_from(key.len()).unwrap().to_be_bytes();
    for head in others {
        let further = [
            b"h",
            &key_len[..],
            key,
            &head.hlc.to_be_bytes(),
            head.op.id.as_ref(),
        ];
        let row = [
            head.op.author.as_ref(),
            &head.op.seq.to_le_bytes(),
            &head.value,
        ];
        rows.push((further.concat(), row.concat()));
        let index = [b"i", &key_len[..], key, &op_ordered(&head.op)];
        rows.push((index.concat(), head.hlc.to_le_bytes().to_vec()));
    }
    rows
}

/// The row of a mark.
pub(crate) fn mark_row(marked: &OpRef, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([b"m", &op_ordered(marked)[..], key].concat(), Vec::new())
}

/// What a payload that is known to be valid says; a merge's says nothing.
pub(crate) fn payload_writes(payload: &[u8]) -> Vec<TestWrite> {
    let mut rest = payload;
    let mut take = |count: usize| {
        let (taken, behind) = rest.split_at(count);
        rest = behind;
        taken
    };
    let number =
        |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap())).unwrap();
    if payload.is_empty() {
        return Vec::new();
    }
    assert_eq!(take(1), [1]);
    let refs: Vec<OpRef> = (0..number(take(8)))
        .map(|_| OpRef {
            author: lattice_meta::PubKey::from_bytes(take(32).try_into().unwrap()),
            seq: u64::from_le_bytes(take(8).try_into().unwrap()),
            id: lattice_meta::OpId::from_bytes(take(32).try_into().unwrap()),
        })
        .collect();
    let writes = (0..number(take(8)))
        .map(|_| {
            let key_len = number(take(8));
            let key = take(key_len).to_vec();
            let supersedes = (0..number(take(8)))
                .map(|_| {
                    refs[usize::try_from(u32::from_le_bytes(take(4).try_into().unwrap())).unwrap()]
                })
                .collect();
            let value = (take(1) == [1]).then(|| {
                let value_len = number(take(8));
                take(value_len).to_vec()
            });
            TestWrite {
                key,
                supersedes,
                value,
            }
        })
        .collect();
    assert!(rest.is_empty());
    writes
}
