//! Payloads, encoded byte by byte from the specification.

use std::collections::BTreeSet;

use lattice_backend::op::OpRef;

/// The write of a payload to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestWrite {
    pub(crate) key: Vec<u8>,
    pub(crate) supersedes: BTreeSet<OpRef>,
    pub(crate) value: Option<Vec<u8>>,
}

impl TestWrite {
    pub(crate) fn put(key: &[u8], supersedes: &[OpRef], value: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            supersedes: supersedes.iter().copied().collect(),
            value: Some(value.to_vec()),
        }
    }

    pub(crate) fn delete(key: &[u8], supersedes: &[OpRef]) -> Self {
        Self {
            value: None,
            ..Self::put(key, supersedes, b"")
        }
    }
}

fn op(op: &OpRef) -> Vec<u8> {
    [op.author.as_ref(), &op.seq.to_le_bytes(), op.id.as_ref()].concat()
}

fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap().to_le_bytes()
}

/// A payload of format 1. To be valid, its writes must be in ascending order of keys.
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

/// The writes of a valid payload; a merge has none.
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
