//! The payload of an op of a log.

use alloc::format;
use alloc::vec::Vec;

use lattice_backend::machine::Invalid;
use lattice_backend::op::MAX_OP_BYTES;
use lattice_meta::codec;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use crate::{LogRefusal, MAX_BATCH};

/// The only known format of a payload.
const FORMAT: u8 = 1;

/// A payload as it is encoded. It is valid if and only if the format is known, there are 1 to
/// [`MAX_BATCH`] entries, and the encoding is canonical.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    format: u8,
    #[serde(
        borrow,
        deserialize_with = "codec::bounded_seq::deserialize::<_, _, MAX_BATCH>"
    )]
    entries: Vec<&'a Bytes>,
}

/// Encodes entries in the order of appending.
///
/// # Errors
/// [`LogRefusal`] for no entries, and for too many.
pub fn encode_payload<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, LogRefusal> {
    match entries.len() {
        0 => Err(LogRefusal::Nothing),
        found if found > MAX_BATCH => Err(LogRefusal::TooMany {
            limit: MAX_BATCH,
            found,
        }),
        _ => {
            let entries = entries
                .iter()
                .map(|entry| Bytes::new(entry.as_ref()))
                .collect();
            let payload = Payload {
                format: FORMAT,
                entries,
            };
            Ok(
                codec::encode(&payload)
                    .expect("a payload is made of types that the codec supports"),
            )
        }
    }
}

/// Decodes the entries of a payload; they borrow from it.
///
/// # Errors
/// [`Invalid`] if the bytes are not a payload: such an op has no effect on any replica.
pub fn decode_payload(payload: &[u8]) -> Result<Vec<&[u8]>, Invalid> {
    // A later format may have a different layout, so the format is checked first.
    match payload.first() {
        Some(&FORMAT) => {}
        Some(found) => {
            let reason = format!("expected payload format {FORMAT}, found {found}");
            return Err(Invalid::new(reason));
        }
        None => return Err(Invalid::new("expected a payload, found no bytes")),
    }
    let Payload { entries, .. } = codec::decode(payload, MAX_OP_BYTES)
        .map_err(|error| Invalid::new(format!("not the encoding of a payload: {error}")))?;
    let entries: Vec<&[u8]> = entries.into_iter().map(AsRef::as_ref).collect();
    match entries.is_empty() {
        true => Err(Invalid::new("a payload has 1 entry or more, found none")),
        false => Ok(entries),
    }
}
