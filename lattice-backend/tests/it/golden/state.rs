//! State hashes and effects.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::engine::Engine;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::op::SecretKey;
use lattice_backend::state::lthash::{LTHASH_BYTES, LtHash};
use lattice_backend::state::{Accumulator, EffectHash, ElementHasher, Expansion};
use lattice_meta::{Genesis, StateHash};

use super::machine::RowMachine;
use super::{Fields, Word, genesis, lines};

#[test]
fn golden_state_hashes() {
    for expansion in Expansion::EACH {
        check_state_hashes(&ElementHasher::by(expansion));
    }
}

fn check_state_hashes(hasher: &ElementHasher) {
    let (here, there) = (genesis("genesis"), genesis("other_genesis"));
    let mut state = Accumulator::default();
    let mut elements = Vec::new();
    for (name, words) in lines("state_hash.txt") {
        let bytes = words[0].as_deref().unwrap();
        let hash = || StateHash::from_slice(bytes).unwrap();
        match name.as_str() {
            "genesis" => assert_eq!(Genesis::decode(bytes).unwrap().hash(), here),
            "empty_hash" => assert_eq!(state.state_hash(&here), hash()),
            "element" => {
                let value = words[1].as_deref().unwrap();
                state.insert(hasher, bytes, value);
                elements.push((bytes.to_vec(), value.to_vec()));
            }
            "expanded" => {
                let (key, value) = elements.last().unwrap();
                assert_eq!(
                    hasher.expand(key, value),
                    bytes,
                    "element {}",
                    elements.len()
                );
            }
            "state_hash" => assert_eq!(state.state_hash(&here), hash()),
            "state_hash_of_other_store" => assert_eq!(state.state_hash(&there), hash()),
            "sum" => {
                let mut sum = LtHash::default();
                for (key, value) in &elements {
                    sum.add(&hasher.expand(key, value));
                }
                assert_eq!(sum.to_bytes(), bytes);
            }
            other => panic!("no expectation for {other}"),
        }
    }
    assert_eq!(state.element_count(), 7);

    // Removing the elements in a different order restores the empty accumulator.
    elements.rotate_left(3);
    for (key, value) in &elements {
        state.remove(hasher, key, value).unwrap();
    }
    assert_eq!(state, Accumulator::default());
    assert!(
        state.remove(hasher, b"key", b"value").is_err(),
        "no element is left"
    );
}

/// Every effect of the golden file, made by one op on a store that holds the rows before it.
#[test]
fn golden_effects() {
    let mut changes = Vec::new();
    let mut seen = 0;
    for (name, mut words) in lines("effect.txt") {
        if name == "change" {
            let after = words.remove(2);
            let before = words.remove(1);
            changes.push((words.remove(0).unwrap(), before, after));
            continue;
        }
        let effect = words.remove(0).unwrap();
        assert_eq!(
            effect_of(&std::mem::take(&mut changes))[..],
            effect,
            "effect {seen}"
        );
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// Key, value before, value after.
type Change = (Vec<u8>, Word, Word);

fn effect_of(changes: &[Change]) -> EffectHash {
    let backend = Arc::new(MemoryBackend::new());
    let stores = Fields::read("op_stores.txt");
    let genesis = Genesis::decode(stores.bytes("genesis")).unwrap();
    let machine = RowMachine::new();
    Engine::create(&*backend, Path::new("store"), &genesis, &machine).unwrap();
    let identity = Arc::new(SecretKey::from_bytes(&[1; 32]));
    let request = OpenRequest::new(backend, "store").identity(identity);
    let engine = Engine::open(request, machine).unwrap();
    let before = changes
        .iter()
        .map(|(key, before, _)| (key.clone(), before.clone()));
    let steady = [(b"steady".to_vec(), Some(b"as it was".to_vec()))];
    engine
        .append(before.chain(steady.clone()).collect())
        .unwrap();
    // Written in a different order than that of keys, every key twice, beside a row that is removed
    // although it does not exist and one that is written unchanged: only the net change counts.
    let after = changes
        .iter()
        .rev()
        .map(|(key, _, after)| (key.clone(), after.clone()));
    let noise = changes
        .iter()
        .map(|(key, _, _)| (key.clone(), Some(b"passing".to_vec())));
    let gone = [(b"not there".to_vec(), None)];
    let writes = noise.chain(after).chain(gone).chain(steady);
    let receipt = engine.append(writes.collect()).unwrap();
    engine.effect_at(receipt.index).unwrap().unwrap()
}

/// LtHash16 with 1,024 lanes over plain BLAKE3, as Solana's validators use it (SIMD-0215).
///
/// The lanes and the checksums (BLAKE3 of the lanes) are the values published in the tests of
/// Agave, `lattice-hash/src/lt_hash.rs`, `test_hello_world` (github.com/anza-xyz/agave at
/// 400e1378), and of Firedancer, `src/ballet/lthash/test_lthash.c`
/// (github.com/firedancer-io/firedancer at 4aad2349), which also adds the two and takes one out
/// again.
#[test]
fn golden_published_lthash() {
    let published: [(&str, [u16; 8], [u8; 32]); 2] = [
        (
            "hello",
            [
                0x8fea, 0x3d16, 0x86b3, 0x9282, 0x445e, 0xc591, 0x8de5, 0xb34b,
            ],
            [
                79, 156, 26, 184, 156, 205, 94, 208, 182, 235, 33, 147, 111, 153, 229, 152, 207,
                133, 75, 109, 182, 198, 119, 61, 11, 81, 41, 70, 24, 87, 100, 85,
            ],
        ),
        (
            "world!",
            [
                0x56dc, 0x1d98, 0x5420, 0x810d, 0x936f, 0x1011, 0xa2ff, 0x6681,
            ],
            [
                171, 53, 185, 10, 179, 49, 48, 151, 87, 43, 141, 13, 43, 152, 121, 1, 144, 7, 120,
                188, 115, 248, 214, 220, 229, 210, 175, 134, 215, 231, 18, 245,
            ],
        ),
    ];
    let file = Fields::read("lthash_published.txt");
    let mut both = LtHash::default();
    let mut expected = [0_u16; 1024];
    for (word, first_lanes, checksum) in published {
        let element: [u8; LTHASH_BYTES] = file.bytes(word).try_into().unwrap();
        let mut expanded = [0; LTHASH_BYTES];
        blake3::Hasher::new()
            .update(word.as_bytes())
            .finalize_xof()
            .fill(&mut expanded);
        assert_eq!(element, expanded, "{word}");

        let mut sum = LtHash::default();
        sum.add(&element);
        let bytes = sum.to_bytes();
        for (lane, pair) in first_lanes.iter().zip(bytes.chunks_exact(2)) {
            assert_eq!(pair, lane.to_le_bytes(), "{word}");
        }
        assert_eq!(blake3::hash(&bytes).as_bytes(), &checksum, "{word}");
        both.add(&element);
        for (lane, pair) in expected.iter_mut().zip(element.chunks_exact(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]));
        }
    }
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(|lane| lane.to_le_bytes())
        .collect();
    assert_eq!(both.to_bytes(), expected.as_slice());
    assert_eq!(LtHash::from_bytes(&both.to_bytes()), both);

    both.remove(file.bytes("hello").try_into().unwrap());
    assert_eq!(both.to_bytes(), file.bytes("world!"));
    both.remove(file.bytes("world!").try_into().unwrap());
    assert_eq!(both, LtHash::default());
}
