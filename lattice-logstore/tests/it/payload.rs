//! Payloads: each list of entries has one encoding, and all other bytes are invalid.

use lattice_logstore::{LogRefusal, MAX_BATCH, decode_payload, encode_payload};
use proptest::prelude::*;

#[test]
fn a_batch_without_entries_is_refused_and_an_empty_entry_is_accepted() {
    assert_eq!(encode_payload::<&[u8]>(&[]), Err(LogRefusal::Nothing));
    let payload = encode_payload(&[b""]).unwrap();
    assert_eq!(decode_payload(&payload).unwrap(), [b""]);
}

#[test]
fn a_batch_has_a_limit() {
    let most = vec![b""; MAX_BATCH];
    let payload = encode_payload(&most).unwrap();
    assert_eq!(decode_payload(&payload).unwrap().len(), MAX_BATCH);
    let refusal = LogRefusal::TooMany {
        limit: MAX_BATCH,
        found: MAX_BATCH + 1,
    };
    assert_eq!(encode_payload(&vec![b""; MAX_BATCH + 1]), Err(refusal));

    // The same by hand: increments the count at the front, and appends one more entry.
    let mut more = payload;
    more[1..9].copy_from_slice(&u64::try_from(MAX_BATCH + 1).unwrap().to_le_bytes());
    more.extend_from_slice(&[0; 8]);
    assert!(decode_payload(&more).is_err());
}

#[test]
fn entries_are_borrowed_from_the_payload() {
    let payload = encode_payload(&[b"content"]).unwrap();
    let entries = decode_payload(&payload).unwrap();
    assert!(payload.as_ptr_range().contains(&entries[0].as_ptr()));
}

#[test]
fn every_truncation_extension_and_bit_flip_is_invalid_or_other_entries() {
    let entries = [&b"one"[..], b"", b"three"];
    let payload = encode_payload(&entries).unwrap();
    for length in 0..payload.len() {
        assert!(
            decode_payload(&payload[..length]).is_err(),
            "{length} bytes"
        );
    }
    for byte in 0..=u8::MAX {
        assert!(decode_payload(&[&payload[..], &[byte]].concat()).is_err());
    }
    let mut valid = 0;
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(others) = decode_payload(&flipped) {
            valid += 1;
            assert_ne!(others, entries, "bit {bit}");
            assert_eq!(encode_payload(&others).unwrap(), flipped, "bit {bit}");
        }
    }
    assert!(
        valid >= 8 * 8,
        "only {valid} flips are valid: those of content must be"
    );
}

proptest! {
    #[test]
    fn entries_round_trip(entries in prop::collection::vec(any::<Vec<u8>>(), 1..20)) {
        let payload = encode_payload(&entries).unwrap();
        prop_assert_eq!(decode_payload(&payload).unwrap(), entries);
    }

    #[test]
    fn every_mutated_payload_is_invalid_or_canonical(
        entries in prop::collection::vec(any::<Vec<u8>>(), 1..5),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = encode_payload(&entries).unwrap();
        for (at, byte) in spoils {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(others) = decode_payload(&payload) {
            prop_assert_eq!(encode_payload(&others).unwrap(), payload.clone());
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_invalid(mut bytes in any::<Vec<u8>>()) {
        if let Some(format) = bytes.first_mut() {
            *format = 1;
        }
        if let Ok(entries) = decode_payload(&bytes) {
            prop_assert_eq!(encode_payload(&entries).unwrap(), bytes.clone());
        }
    }
}
