//! Ids, keys, hashes and timestamps: their text and their packing.

use lattice_meta::{
    GenesisHash, Hlc, HlcError, Nonce, OpId, ParseHexError, PubKey, StateHash, StoreId, codec,
};
use proptest::prelude::*;

/// What every byte newtype does, checked for one of them at a time.
macro_rules! checks_newtype {
    ($name:ident, $type:ty, $len:literal) => {
        #[test]
        fn $name() {
            let mut bytes = [0xab; $len];
            bytes[0] = 0x0c;
            let id = <$type>::from_bytes(bytes);
            let text = format!("0c{}", "ab".repeat($len - 1));
            assert_eq!(<$type>::LEN, $len);
            assert_eq!(id.to_string(), text);
            assert_eq!(format!("{id:.6}"), text[..6]);
            assert_eq!(format!("{id:?}"), format!("{}({text})", stringify!($type)));
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
            assert_eq!(<$type>::from_slice(&bytes), Some(id));
            assert_eq!(<$type>::from_slice(&bytes[1..]), None);
            assert_eq!(<$type>::from_slice(&[0; $len + 1]), None);

            let length = |found| {
                Err(ParseHexError::Length {
                    expected: 2 * $len,
                    found,
                })
            };
            assert_eq!("".parse::<$type>(), length(0));
            assert_eq!(text[1..].parse::<$type>(), length(2 * $len - 1));
            assert_eq!(format!("{text}0").parse::<$type>(), length(2 * $len + 1));
            for offset in 0..2 * $len {
                let mut wrong = text.clone();
                wrong.replace_range(offset..=offset, "g");
                assert_eq!(wrong.parse::<$type>(), Err(ParseHexError::Digit { offset }));
            }
            // Its bytes and nothing else in records, its text where a person reads.
            assert_eq!(codec::encode(&id).unwrap(), bytes);
            assert_eq!(codec::decode::<$type>(&bytes, $len), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<$type>(&json).unwrap(), id);
        }
    };
}

checks_newtype!(public_keys, PubKey, 32);
checks_newtype!(op_ids, OpId, 32);
checks_newtype!(state_hashes, StateHash, 32);
checks_newtype!(genesis_hashes, GenesisHash, 32);
checks_newtype!(nonces, Nonce, 16);

const ID: &str = "00112233-4455-8677-8899-aabbccddeeff";

#[test]
fn store_ids_are_shown_hyphenated_and_read_in_both_forms() {
    let id: StoreId = ID.parse().unwrap();
    assert_eq!(id.to_string(), ID);
    assert_eq!(format!("{id:?}"), format!("StoreId({ID})"));
    for text in [ID.to_owned(), ID.to_uppercase(), ID.replace('-', "")] {
        assert_eq!(text.parse(), Ok(id));
    }
    assert_eq!(codec::encode(&id).unwrap(), id.as_bytes());
    assert_eq!(codec::decode::<StoreId>(id.as_bytes(), 16), Ok(id));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{ID}\""));
    assert_eq!(
        serde_json::from_str::<StoreId>(&format!("\"{ID}\"")).unwrap(),
        id
    );
}

#[test]
fn other_forms_of_uuids_are_not_store_ids() {
    for text in [
        format!("{{{ID}}}"),
        format!("urn:uuid:{ID}"),
        ID[1..].into(),
        String::new(),
    ] {
        let length = ParseHexError::Length {
            expected: 32,
            found: text.len(),
        };
        assert_eq!(text.parse::<StoreId>(), Err(length), "{text}");
    }
}

/// Once said "expected 32 hexadecimal digits, found 32 characters" for a wrong digit.
#[test]
fn a_wrong_digit_of_a_store_id_is_named_with_its_offset() {
    for text in [ID.to_owned(), ID.replace('-', "")] {
        for offset in 0..text.len() {
            let mut wrong = text.clone();
            let other = if &text[offset..=offset] == "-" {
                "0"
            } else {
                "-"
            };
            wrong.replace_range(offset..=offset, other);
            assert_eq!(
                wrong.parse::<StoreId>(),
                Err(ParseHexError::Digit { offset }),
                "{wrong}"
            );
        }
    }
    let wide = "00112233-4455-8677-8899-aabbccddeeé0".replace('0', "");
    assert!(wide.parse::<StoreId>().is_err());
}

#[test]
fn timestamps_pack_milliseconds_and_a_counter() {
    let time = Hlc::from_parts(0x0102_0304_0506, 0x0708).unwrap();
    assert_eq!(time.to_u64(), 0x0102_0304_0506_0708);
    assert_eq!(time.ms(), 0x0102_0304_0506);
    assert_eq!(Hlc::from_u64(time.to_u64()), time);
    assert_eq!(Hlc::ZERO.to_u64(), 0);
    assert_eq!(
        format!("{time:?}"),
        format!("Hlc({}ms+{})", 0x0102_0304_0506_u64, 0x0708)
    );
}

#[test]
fn milliseconds_beyond_48_bits_are_refused() {
    assert_eq!(Hlc::MAX_MS, (1 << 48) - 1);
    let last = Hlc::from_parts(Hlc::MAX_MS, u16::MAX).unwrap();
    assert_eq!(last.to_u64(), u64::MAX);
    for found_ms in [Hlc::MAX_MS + 1, u64::MAX] {
        assert_eq!(
            Hlc::from_parts(found_ms, 0),
            Err(HlcError::Milliseconds { found_ms })
        );
    }
}

#[test]
fn the_counter_carries_over_and_the_last_timestamp_has_no_successor() {
    let full = Hlc::from_parts(5, u16::MAX).unwrap();
    assert_eq!(full.successor(), Some(Hlc::from_parts(6, 0).unwrap()));
    assert_eq!(Hlc::from_u64(u64::MAX).successor(), None);
}

proptest! {
    #[test]
    fn timestamps_sort_by_time(a in any::<(u32, u16)>(), b in any::<(u32, u16)>()) {
        let pack = |(ms, counter): (u32, u16)| Hlc::from_parts(ms.into(), counter).unwrap();
        prop_assert_eq!(pack(a).cmp(&pack(b)), a.cmp(&b));
    }

    #[test]
    fn a_successor_is_the_next_number(value in 0..u64::MAX) {
        prop_assert_eq!(Hlc::from_u64(value).successor().map(Hlc::to_u64), Some(value + 1));
    }

    #[test]
    fn store_ids_round_trip(bytes in any::<[u8; 16]>()) {
        let id = StoreId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn any_text_is_an_id_or_refused(text in "[0-9a-fA-F-]{30,38}|\\PC{0,40}") {
        if let Ok(id) = text.parse::<StoreId>() {
            prop_assert_eq!(id.to_string().replace('-', ""), text.replace('-', "").to_lowercase());
        }
    }
}
