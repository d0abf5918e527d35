//! Payloads: each command has one encoding, and all other bytes are invalid.

use lattice_code::releases::{
    MAX_NOTES_BYTES, Publish, ReleaseCommand, Withdraw, decode_payload, encode_payload,
};
use lattice_meta::{Cid, CidHash};
use proptest::prelude::*;

use super::support::{CHAT, cid, publish, withdraw};

fn cids() -> impl Strategy<Value = Cid> {
    let hash = prop_oneof![Just(CidHash::Blake3), Just(CidHash::Sha256)];
    (hash, any::<[u8; 32]>()).prop_map(|(hash, digest)| Cid::from_digest(hash, digest))
}

/// Commands that a payload can hold.
fn commands() -> impl Strategy<Value = ReleaseCommand> {
    let notes = || "\\PC{0,40}";
    let publish = (
        (
            "[a-z0-9]{1,5}([.][a-z][a-z0-9_-]{0,5}){1,3}",
            any::<u64>(),
            cids(),
        ),
        (1..=4_194_304_u32, 1..=u16::MAX, any::<(u64, u64)>()),
        (proptest::option::of(cids()), notes()),
    );
    let publish = publish.prop_map(|((store_type, release, cid), numbers, (replaces, notes))| {
        let (length, abi, (one, other)) = numbers;
        ReleaseCommand::Publish(Publish {
            store_type: store_type.parse().unwrap(),
            release,
            cid,
            length,
            abi,
            schemas: (one.min(other), one.max(other)),
            replaces,
            notes,
        })
    });
    let withdraw = (cids(), notes())
        .prop_map(|(cid, reason)| ReleaseCommand::Withdraw(Withdraw { cid, reason }));
    prop_oneof![3 => publish, 1 => withdraw]
}

#[test]
fn every_truncation_extension_and_bit_flip_is_invalid_or_a_different_command() {
    let mut publish = publish(CHAT, 7, 1);
    publish.replaces = Some(cid(2));
    for command in [
        ReleaseCommand::Publish(publish),
        ReleaseCommand::Withdraw(withdraw(1, "reason")),
    ] {
        let payload = encode_payload(&command).unwrap();
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
            if let Ok(other) = decode_payload(&flipped) {
                valid += 1;
                assert_ne!(other, command, "bit {bit}");
                assert_eq!(encode_payload(&other).unwrap(), flipped, "bit {bit}");
            }
        }
        assert!(
            valid >= 32 * 8,
            "only {valid} flips are valid: those of digests must be"
        );
    }
}

/// Text is limited in bytes, whatever its characters.
#[test]
fn text_is_counted_in_bytes() {
    let of = |reason: String| encode_payload(&ReleaseCommand::Withdraw(withdraw(1, &reason)));
    assert!(of("ö".repeat(MAX_NOTES_BYTES / 2)).is_ok());
    assert!(of("ö".repeat(MAX_NOTES_BYTES / 2 + 1)).is_err());
}

proptest! {
    #[test]
    fn commands_round_trip(command in commands()) {
        let payload = encode_payload(&command).unwrap();
        prop_assert_eq!(decode_payload(&payload).unwrap(), command);
    }

    #[test]
    fn every_mutated_payload_is_invalid_or_canonical(
        command in commands(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = encode_payload(&command).unwrap();
        for (at, byte) in spoils {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(other) = decode_payload(&payload) {
            prop_assert_eq!(encode_payload(&other).unwrap(), payload.clone());
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_invalid(mut bytes in any::<Vec<u8>>(), tag in 0..3_u8) {
        bytes.splice(0..bytes.len().min(5), [1, tag, 0, 0, 0]);
        if let Ok(command) = decode_payload(&bytes) {
            prop_assert_eq!(encode_payload(&command).unwrap(), bytes.clone());
        }
    }
}
