//! Genesis records and the ids that certify them.

use lattice_meta::codec::CodecError;
use lattice_meta::{
    Genesis, GenesisError, Hlc, MAX_GENESIS_BYTES, Nonce, PubKey, StateHash, StoreId, StoreType,
};
use proptest::prelude::*;

fn genesis(migrated: bool) -> Genesis {
    Genesis::new(
        StoreType::new("org.example.chat").unwrap(),
        PubKey::from_bytes([2; 32]),
        Nonce::from_bytes([3; 16]),
        Hlc::from_parts(1_700_000_000_000, 5).unwrap(),
        migrated.then(|| (StoreId::from_bytes([4; 16]), StateHash::from_bytes([5; 32]))),
    )
}

#[test]
fn records_are_as_long_as_their_fields() {
    assert_eq!(genesis(false).encode().len(), 1 + 8 + 16 + 32 + 16 + 8 + 1);
    assert_eq!(
        genesis(true).encode().len(),
        1 + 8 + 16 + 32 + 16 + 8 + 1 + 48
    );
}

#[test]
fn the_longest_record_has_the_limit() {
    let longest = Genesis::new(
        StoreType::new(&format!("a.{}", "b".repeat(126))).unwrap(),
        PubKey::from_bytes([2; 32]),
        Nonce::from_bytes([3; 16]),
        Hlc::from_u64(u64::MAX),
        Some((StoreId::from_bytes([4; 16]), StateHash::from_bytes([5; 32]))),
    );
    let mut bytes = longest.encode();
    assert_eq!(bytes.len(), MAX_GENESIS_BYTES);
    assert_eq!(Genesis::decode(&bytes).unwrap(), longest);
    bytes.push(0);
    let too_long = CodecError::TooLong {
        limit: MAX_GENESIS_BYTES,
        found: MAX_GENESIS_BYTES + 1,
    };
    assert_eq!(Genesis::decode(&bytes), Err(GenesisError::Codec(too_long)));
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for migrated in [false, true] {
        let bytes = genesis(migrated).encode();
        for length in 0..bytes.len() {
            assert!(
                matches!(
                    Genesis::decode(&bytes[..length]),
                    Err(GenesisError::Codec(CodecError::Malformed { .. }))
                ),
                "{length} bytes of {} were not malformed",
                bytes.len()
            );
        }
        for byte in 0..=u8::MAX {
            let longer = [&bytes[..], &[byte]].concat();
            let trailing = CodecError::TrailingBytes {
                consumed: bytes.len(),
                found: longer.len(),
            };
            assert_eq!(Genesis::decode(&longer), Err(GenesisError::Codec(trailing)));
        }
    }
}

#[test]
fn every_bit_flip_is_refused_or_gives_a_different_store_id() {
    for migrated in [false, true] {
        let original = genesis(migrated);
        let bytes = original.encode();
        let mut read = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Genesis::decode(&flipped) {
                read += 1;
                assert_eq!(other.encode(), flipped, "bit {bit}");
                assert_ne!(other, original, "bit {bit}");
                assert_ne!(other.hash(), original.hash(), "bit {bit}");
                assert_ne!(other.store_id(), original.store_id(), "bit {bit}");
            }
        }
        // All of owner, nonce and created may have any value.
        assert!(read >= (32 + 16 + 8) * 8, "only {read} flips were read");
    }
}

#[test]
fn an_unknown_format_is_distinguished_from_damage() {
    let mut bytes = genesis(false).encode();
    for found in (0..=u8::MAX).filter(|&format| format != 1) {
        bytes[0] = found;
        assert_eq!(Genesis::decode(&bytes), Err(GenesisError::Format { found }));
        // A newer record may have another length.
        assert_eq!(
            Genesis::decode(&[found]),
            Err(GenesisError::Format { found })
        );
    }
}

#[test]
fn store_ids_are_version_8_uuids() {
    for nonce in 0..=u8::MAX {
        let genesis = Genesis::new(
            StoreType::new("a.b").unwrap(),
            PubKey::from_bytes([0; 32]),
            Nonce::from_bytes([nonce; 16]),
            Hlc::ZERO,
            None,
        );
        let id = genesis.store_id();
        assert_eq!(id.as_bytes()[6] >> 4, 8, "version of {id}");
        assert_eq!(id.as_bytes()[8] >> 6, 0b10, "variant of {id}");
        // The other 122 bits are those of the hash.
        let hash = *genesis.hash().as_bytes();
        for (place, (found, hashed)) in id.as_bytes().iter().zip(hash).enumerate() {
            let mask = match place {
                6 => 0x0f,
                8 => 0x3f,
                _ => 0xff,
            };
            assert_eq!(found & mask, hashed & mask, "byte {place} of {id}");
        }
        assert_eq!(StoreId::certifying(&genesis.hash()), id);
    }
}

fn records() -> impl Strategy<Value = Genesis> {
    let origin = prop::option::of((any::<[u8; 16]>(), any::<[u8; 32]>()));
    (
        "[a-z0-9]{1,60}[.:][a-z0-9]{1,60}",
        any::<[u8; 32]>(),
        any::<[u8; 16]>(),
        any::<u64>(),
        origin,
    )
        .prop_map(|(store_type, owner, nonce, created, origin)| {
            Genesis::new(
                StoreType::new(&store_type).unwrap(),
                PubKey::from_bytes(owner),
                Nonce::from_bytes(nonce),
                Hlc::from_u64(created),
                origin.map(|(id, hash)| (StoreId::from_bytes(id), StateHash::from_bytes(hash))),
            )
        })
}

proptest! {
    #[test]
    fn records_round_trip(genesis in records()) {
        let bytes = genesis.encode();
        prop_assert!(bytes.len() <= MAX_GENESIS_BYTES);
        let read = Genesis::decode(&bytes).unwrap();
        prop_assert_eq!(read.hash(), genesis.hash());
        prop_assert_eq!(read, genesis);
    }

    #[test]
    fn bytes_that_decode_are_canonical(
        genesis in records(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = genesis.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Genesis::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in any::<Vec<u8>>(), known in any::<bool>()) {
        if let (true, Some(format)) = (known, bytes.first_mut()) {
            *format = 1;
        }
        let _ = Genesis::decode(&bytes);
    }

    #[test]
    fn every_field_reaches_the_id(a in records(), b in records()) {
        prop_assert_eq!(a == b, a.store_id() == b.store_id());
    }
}
