//! Payloads of the key-value store.

use lattice_backend::op::OpRef;
use lattice_meta::codec;
use serde::Serialize;
use serde_bytes::{ByteBuf, Bytes};

/// The write of a payload to one key: `supersedes` has places in the refs.
#[derive(Serialize)]
pub(crate) struct Write<'a> {
    key: &'a Bytes,
    supersedes: Vec<u32>,
    value: Option<ByteBuf>,
}

#[derive(Serialize)]
struct Payload<'a> {
    format: u8,
    refs: &'a [OpRef],
    writes: Vec<Write<'a>>,
}

pub(crate) fn write<'a>(key: &'a [u8], supersedes: &[u32], value: Option<Vec<u8>>) -> Write<'a> {
    Write {
        key: Bytes::new(key),
        supersedes: supersedes.to_vec(),
        value: value.map(ByteBuf::from),
    }
}

/// A payload; it is valid if keys and refs ascend and each ref is used.
pub(crate) fn payload(refs: &[OpRef], writes: Vec<Write<'_>>) -> Vec<u8> {
    let payload = Payload {
        format: 1,
        refs,
        writes,
    };
    codec::encode(&payload).unwrap()
}
