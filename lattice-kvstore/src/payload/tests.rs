use alloc::vec;

use lattice_meta::{OpId, PubKey};
use proptest::prelude::*;

use super::*;
use crate::{MAX_BATCH, golden};

fn op(author: u8, seq: u64, id: u8) -> OpRef {
    OpRef {
        author: PubKey::from_bytes([author; 32]),
        seq,
        id: OpId::from_bytes([id; 32]),
    }
}

fn write<'a>(key: &'a [u8], supersedes: &[u32], value: Option<&'a [u8]>) -> Write<'a> {
    Write {
        key,
        supersedes: supersedes.to_vec(),
        value,
    }
}

fn payload<'a>(refs: &[OpRef], writes: Vec<Write<'a>>) -> Payload<'a> {
    Payload {
        refs: refs.to_vec(),
        writes,
    }
}

fn refused(payload: &Payload<'_>) -> PayloadError {
    Payload::decode(&payload.encode()).unwrap_err()
}

#[test]
fn every_rule_of_keys_is_checked() {
    assert_eq!(refused(&payload(&[], vec![])), PayloadError::NoWrites);
    assert_eq!(
        refused(&payload(&[], vec![write(b"", &[], None)])),
        PayloadError::EmptyKey
    );
    let twice = vec![write(b"a", &[], None), write(b"a", &[], None)];
    assert_eq!(refused(&payload(&[], twice)), PayloadError::KeyOrder);
    let unsorted = vec![write(b"b", &[], None), write(b"a", &[], None)];
    assert_eq!(refused(&payload(&[], unsorted)), PayloadError::KeyOrder);
    let late = vec![write(b"a", &[], None), write(b"", &[], None)];
    assert_eq!(refused(&payload(&[], late)), PayloadError::KeyOrder);
    let longest = vec![1; MAX_KEY_BYTES];
    let fits = payload(&[], vec![write(&longest, &[], Some(b""))]).encode();
    assert!(Payload::decode(&fits).is_ok());
    let longer = vec![1; MAX_KEY_BYTES + 1];
    assert_eq!(
        refused(&payload(&[], vec![write(&longer, &[], None)])),
        PayloadError::KeyTooLong {
            found: MAX_KEY_BYTES + 1
        }
    );
}

#[test]
fn every_rule_of_refs_is_checked() {
    let two = [op(1, 1, 1), op(1, 2, 2)];
    let good = vec![write(b"a", &[0, 1], None), write(b"b", &[1], None)];
    assert!(Payload::decode(&payload(&two, good).encode()).is_ok());
    let reversed = [two[1], two[0]];
    assert_eq!(
        refused(&payload(&reversed, vec![write(b"a", &[0, 1], None)])),
        PayloadError::RefOrder
    );
    let twice = [two[0], two[0]];
    assert_eq!(
        refused(&payload(&twice, vec![write(b"a", &[0, 1], None)])),
        PayloadError::RefOrder
    );
    for places in [&[1, 0][..], &[0, 0]] {
        assert_eq!(
            refused(&payload(&two, vec![write(b"a", places, None)])),
            PayloadError::SupersedesOrder
        );
    }
    for found in [2, u32::MAX] {
        assert_eq!(
            refused(&payload(&two, vec![write(b"a", &[0, 1, found], None)])),
            PayloadError::Place { found, refs: 2 }
        );
    }
    assert_eq!(
        refused(&payload(&two, vec![write(b"a", &[1], None)])),
        PayloadError::UnusedRef { place: 0 }
    );
}

#[test]
fn other_formats_are_refused_by_their_first_byte() {
    for found in [0, 2, 255] {
        assert_eq!(
            Payload::decode(&[found]),
            Err(PayloadError::Format {
                found: found.into()
            })
        );
    }
    assert!(matches!(
        Payload::decode(b""),
        Err(PayloadError::Bytes { .. })
    ));
}

#[test]
fn one_write_too_many_is_refused() {
    let keys: Vec<[u8; 3]> = (0..=MAX_BATCH)
        .map(|number| {
            let [.., a, b, c] = number.to_be_bytes();
            [a, b, c]
        })
        .collect();
    let writes = |count: usize| {
        keys[..count]
            .iter()
            .map(|key| write(key, &[], None))
            .collect()
    };
    assert!(Payload::decode(&payload(&[], writes(MAX_BATCH)).encode()).is_ok());
    assert!(matches!(
        refused(&payload(&[], writes(MAX_BATCH + 1))),
        PayloadError::Bytes { .. }
    ));
}

/// Each superseded value can become a mark: an op of 1 MB must not write millions of rows.
#[test]
fn one_superseded_value_too_many_is_refused() {
    let refs: Vec<OpRef> = (0..512).map(|seq| op(1, seq, 1)).collect();
    let places: Vec<u32> = (0..512).collect();
    let keys: Vec<[u8; 2]> = (0..=512_u16).map(u16::to_be_bytes).collect();
    let (last, keys) = keys.split_last().unwrap();
    let writes = |more: &[u32]| {
        let mut writes: Vec<_> = keys.iter().map(|key| write(key, &places, None)).collect();
        writes.push(write(last, more, Some(b"")));
        payload(&refs, writes)
    };
    assert!(Payload::decode(&writes(&[]).encode()).is_ok());
    let found = (1 << 18) + 1;
    assert_eq!(
        refused(&writes(&[7])),
        PayloadError::TooManySuperseded { found }
    );
}

#[test]
fn a_claimed_length_allocates_nothing() {
    for claimed in [u64::MAX, u64::MAX / 72, 1 << 40, 1 << 22] {
        let mut bytes = vec![FORMAT];
        bytes.extend(claimed.to_le_bytes());
        assert!(matches!(
            Payload::decode(&bytes),
            Err(PayloadError::Bytes { .. })
        ));
        let mut bytes = vec![FORMAT];
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(claimed.to_le_bytes());
        assert!(matches!(
            Payload::decode(&bytes),
            Err(PayloadError::Bytes { .. })
        ));
    }
}

#[test]
fn golden_payloads() {
    let (a, b) = (op(1, 1, 1), op(1, 256, 2));
    let longest = [b'k'; MAX_KEY_BYTES];
    let named: Vec<OpRef> = (0..171).map(|n| op(n, n.into(), n)).collect();
    let places: Vec<u32> = (0..171).collect();
    let (first, second) = ([b'a'; MAX_KEY_BYTES], [b'b'; MAX_KEY_BYTES]);
    let heaviest = vec![write(&first, &places, None), write(&second, &places, None)];
    let heaviest = payload(&named, heaviest);
    let expected = [
        (
            "put",
            payload(&[], vec![write(b"key", &[], Some(b"value"))]),
        ),
        (
            "empty-value",
            payload(&[], vec![write(b"k", &[], Some(b""))]),
        ),
        ("delete", payload(&[a], vec![write(b"key", &[0], None)])),
        (
            "delete-of-nothing",
            payload(&[], vec![write(b"key", &[], None)]),
        ),
        (
            "batch",
            payload(
                &[a, b],
                vec![
                    write(b"a", &[0, 1], Some(b"1")),
                    write(b"a\0", &[1], None),
                    write(b"\xff", &[], Some(b"3")),
                ],
            ),
        ),
        (
            "longest-key",
            payload(&[], vec![write(&longest, &[], Some(b""))]),
        ),
        ("heaviest", heaviest),
    ];
    let lines = golden::lines("payloads.txt");
    assert_eq!(lines.len(), expected.len());
    for ((name, words), (expected_name, payload)) in lines.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert_eq!(payload.encode(), golden::first(words), "{name}");
        assert_eq!(
            Payload::decode(golden::first(words)).unwrap(),
            payload,
            "{name}"
        );
    }
}

#[test]
fn golden_hostile_payloads() {
    let lines = golden::lines("payload_hostile.txt");
    assert_eq!(lines.len(), 25);
    for (name, words) in lines {
        let error = Payload::decode(golden::first(&words)).unwrap_err();
        let expected = match name.as_str() {
            "format-0" => PayloadError::Format { found: 0 },
            "format-2" => PayloadError::Format { found: 2 },
            "no-writes" => PayloadError::NoWrites,
            "empty-key" => PayloadError::EmptyKey,
            "key-too-long" => PayloadError::KeyTooLong { found: 4097 },
            "keys-unsorted" | "keys-twice" => PayloadError::KeyOrder,
            "refs-unsorted" | "refs-twice" => PayloadError::RefOrder,
            "ref-unused" => PayloadError::UnusedRef { place: 1 },
            "places-unsorted" | "places-twice" => PayloadError::SupersedesOrder,
            "place-too-great" => PayloadError::Place { found: 1, refs: 1 },
            "place-far-too-great" => PayloadError::Place {
                found: u32::MAX,
                refs: 1,
            },
            "too-heavy" => PayloadError::TooHeavy {
                found: 2 * 4096 * 172,
                len: golden::first(&words).len(),
            },
            _ => {
                assert!(
                    matches!(error, PayloadError::Bytes { .. }),
                    "{name}: {error}"
                );
                continue;
            }
        };
        assert_eq!(error, expected, "{name}");
    }
}

/// The record form of a payload, for the codec of stored records.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Record<'a> {
    format: u8,
    refs: Vec<OpRef>,
    #[serde(borrow)]
    writes: Vec<WriteRecord<'a>>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct WriteRecord<'a> {
    #[serde(borrow)]
    key: &'a serde_bytes::Bytes,
    supersedes: Vec<u32>,
    #[serde(borrow)]
    value: Option<&'a serde_bytes::Bytes>,
}

fn record<'a>(payload: &Payload<'a>) -> Record<'a> {
    let writes = payload.writes.iter().map(|write| WriteRecord {
        key: serde_bytes::Bytes::new(write.key),
        supersedes: write.supersedes.clone(),
        value: write.value.map(serde_bytes::Bytes::new),
    });
    Record {
        format: FORMAT,
        refs: payload.refs.clone(),
        writes: writes.collect(),
    }
}

/// Whether the codec accepts the bytes and encodes this payload to the same bytes.
fn is_record(bytes: &[u8], payload: &Payload<'_>) -> bool {
    let read: Result<Record<'_>, _> = lattice_meta::codec::decode(bytes, MAX_OP_BYTES);
    read.is_ok() && lattice_meta::codec::encode(&record(payload)).unwrap() == bytes
}

type Owned = (Vec<OpRef>, Vec<(Vec<u8>, Vec<u32>, Option<Vec<u8>>)>);

fn arb_payload() -> impl Strategy<Value = Owned> {
    use proptest::collection::{btree_map, btree_set, vec};
    let refs = btree_set((0..3_u8, 0..4_u64, 0..4_u8), 0..5);
    let key = vec(any::<u8>(), 1..12);
    let content = (
        btree_set(0..5_usize, 0..5),
        proptest::option::of(vec(any::<u8>(), 0..20)),
    );
    (refs, btree_map(key, content, 1..6)).prop_map(|(refs, writes)| {
        let refs: Vec<_> = refs
            .into_iter()
            .map(|(author, seq, id)| op(author, seq, id))
            .collect();
        let named: alloc::collections::BTreeSet<usize> = writes
            .values()
            .flat_map(|(places, _)| places)
            .copied()
            .filter(|&place| place < refs.len())
            .collect();
        let place = |place: &usize| {
            named
                .iter()
                .position(|named| named == place)
                .map(|p| u32::try_from(p).unwrap())
        };
        let writes = writes
            .into_iter()
            .map(|(key, (places, value))| (key, places.iter().filter_map(place).collect(), value))
            .collect();
        (named.iter().map(|&place| refs[place]).collect(), writes)
    })
}

fn borrow((refs, writes): &Owned) -> Payload<'_> {
    let writes = writes
        .iter()
        .map(|(key, supersedes, value)| write(key, supersedes, value.as_deref()))
        .collect();
    payload(refs, writes)
}

proptest! {
    #[test]
    fn a_payload_reads_back_as_it_was_written(owned in arb_payload()) {
        let payload = borrow(&owned);
        let bytes = payload.encode();
        prop_assert!(is_record(&bytes, &payload));
        prop_assert_eq!(Payload::decode(&bytes).unwrap(), payload);
    }

    /// This decoder refuses what the codec refuses; it refuses other bytes only by a rule.
    #[test]
    fn the_codec_reads_the_same_bytes(
        owned in arb_payload(), place: proptest::sample::Index, flip in 0..=u8::MAX, cut in 0..4_usize,
    ) {
        let mut bytes = borrow(&owned).encode();
        *place.get_mut(&mut bytes) ^= flip;
        bytes.truncate(bytes.len() - cut.saturating_sub(2));
        let by_codec: Result<Record<'_>, _> = lattice_meta::codec::decode(&bytes, MAX_OP_BYTES);
        match Payload::decode(&bytes) {
            Ok(payload) => prop_assert!(is_record(&bytes, &payload)),
            Err(PayloadError::Bytes { .. }) => prop_assert!(by_codec.is_err(), "{by_codec:?}"),
            Err(PayloadError::Format { .. }) => {}
            Err(_) => prop_assert!(by_codec.is_ok(), "{by_codec:?}"),
        }
    }

    #[test]
    fn truncated_and_extended_payloads_are_invalid(owned in arb_payload(), more: u8) {
        let mut bytes = borrow(&owned).encode();
        for end in 0..bytes.len() {
            prop_assert!(Payload::decode(&bytes[..end]).is_err(), "{} bytes of {}", end, bytes.len());
        }
        bytes.push(more);
        prop_assert!(Payload::decode(&bytes).is_err());
    }

    /// A changed byte gives a different payload or an error: no meaning has two encodings.
    #[test]
    fn a_changed_byte_never_reads_as_the_same_payload(
        owned in arb_payload(), place: proptest::sample::Index, flip in 1..=u8::MAX,
    ) {
        let payload = borrow(&owned);
        let mut bytes = payload.encode();
        *place.get_mut(&mut bytes) ^= flip;
        if let Ok(other) = Payload::decode(&bytes) {
            prop_assert_ne!(&other, &payload);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(mut bytes: Vec<u8>, format: bool) {
        if format && !bytes.is_empty() {
            bytes[0] = FORMAT;
        }
        if let Ok(payload) = Payload::decode(&bytes) {
            prop_assert_eq!(payload.encode(), bytes);
        }
    }

    #[test]
    fn prepare_predicts_the_length_of_the_payload(owned in arb_payload()) {
        let (refs, writes) = &owned;
        let fixed = writes.iter().map(|(key, supersedes, value)| {
            let value_len = value.as_ref().map_or(0, |value| 8 + value.len());
            WRITE_LEN - 8 + key.len() + 4 * supersedes.len() + value_len
        });
        let len = EMPTY_LEN + OpRef::KEY_LEN * refs.len() + fixed.sum::<usize>();
        prop_assert_eq!(borrow(&owned).encode().len(), len);
    }
}
