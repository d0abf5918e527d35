//! The committed bytes of ops and state hashes, which another implementation made
//! (`golden/generate.py`), and vectors that others have published.
// The exemption of tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use lattice_backend::lthash::{LTHASH_BYTES, LtHash};
use lattice_backend::{
    Accumulator, Args, Authors, BackendError, CallError, DataRead, DataWrite, Direction,
    EVERYTHING, Effect, EffectHash, Engine, History, LeafHasher, LogicVersion, MAX_DEPS,
    MAX_OP_BYTES, MemoryBackend, Method, Op, OpDraft, OpError, OpHasher, OpKind, OpRef, OpView,
    OpenOptions, OpenRequest, SecretKey, SignatureError, StateBackend, StateMachine, Table, Value,
};
use lattice_meta::codec::{self, CodecError};
use lattice_meta::{Genesis, GenesisHash, Hlc, OpId, PubKey, SchemaVersion, StateHash, StoreType};

/// A byte string of a line; nothing where it says `none`.
type Word = Option<Vec<u8>>;

fn read(file: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a golden file: a name and its byte strings.
fn lines(file: &str) -> Vec<(String, Vec<Word>)> {
    let text = String::from_utf8(read(file)).unwrap();
    let word = |word: &str| match word {
        "none" => None,
        "empty" => Some(Vec::new()),
        digits => Some(data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()),
    };
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap().to_owned(), words.map(word).collect())
        })
        .collect()
}

/// A golden file as the lines under each name.
struct Fields(BTreeMap<String, Vec<Vec<Word>>>);

impl Fields {
    fn read(file: &str) -> Self {
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (name, words) in lines(file) {
            fields.entry(name).or_default().push(words);
        }
        Self(fields)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        match self.0[name].as_slice() {
            [words] => words[0].as_deref().unwrap(),
            several => panic!("{} lines of {name}", several.len()),
        }
    }

    fn number(&self, name: &str) -> u64 {
        u64::from_le_bytes(self.bytes(name).try_into().unwrap())
    }
}

fn genesis(name: &str) -> GenesisHash {
    Genesis::decode(Fields::read("op_stores.txt").bytes(name))
        .unwrap()
        .hash()
}

fn hasher() -> OpHasher {
    OpHasher::new(&genesis("genesis"))
}

fn op_ref(words: &[Word]) -> OpRef {
    let [Some(author), Some(seq), Some(id)] = words else {
        panic!("a dep has three parts")
    };
    OpRef {
        author: PubKey::from_slice(author).unwrap(),
        seq: u64::from_le_bytes(seq.as_slice().try_into().unwrap()),
        id: OpId::from_slice(id).unwrap(),
    }
}

#[test]
fn golden_stores() {
    let stores = Fields::read("op_stores.txt");
    assert_eq!(genesis("genesis").as_bytes(), stores.bytes("genesis_hash"));
    assert_eq!(hasher().store_id().as_bytes(), stores.bytes("store_id"));
    assert_ne!(genesis("genesis"), genesis("other_genesis"));
}

fn check_op(file: &str) -> Op {
    let fields = Fields::read(file);
    let hasher = hasher();
    let secret = SecretKey::from_bytes(fields.bytes("secret").try_into().unwrap());
    assert_eq!(secret.public().as_ref(), fields.bytes("author"), "{file}");
    let deps: Vec<OpRef> = fields
        .0
        .get("dep")
        .into_iter()
        .flatten()
        .map(|dep| op_ref(dep))
        .collect();
    let kind = match fields.bytes("kind") {
        [0] => OpKind::Application,
        [1] => OpKind::Merge,
        other => panic!("kind {other:?}"),
    };
    let draft = OpDraft {
        kind,
        seq: fields.number("seq_le"),
        prev: OpId::from_slice(fields.bytes("prev")).unwrap(),
        hlc: Hlc::from_u64(fields.number("hlc_le")),
        deps: deps.clone(),
        payload: fields.bytes("payload"),
    };
    let bytes = [fields.bytes("body"), fields.bytes("signature")].concat();
    let made = draft.clone().sign(&hasher, &secret).unwrap();
    assert_eq!(made.bytes(), bytes, "{file}");

    let op = Op::decode(bytes, &hasher).unwrap();
    op.verify().unwrap();
    assert_eq!(op, made, "{file}");
    assert_eq!(op.reference().id.as_ref(), fields.bytes("id"), "{file}");
    assert_eq!(op.reference().author, secret.public(), "{file}");
    assert_eq!(op.reference().seq, draft.seq, "{file}");
    assert_eq!(
        op.prev().map_or(OpId::ZERO, |prev| prev.id),
        draft.prev,
        "{file}"
    );
    assert_eq!(op.hlc(), draft.hlc, "{file}");
    assert_eq!(op.deps(), deps, "{file}");
    assert_eq!(op.payload(), fields.bytes("payload"), "{file}");
    assert_eq!(op.kind(), kind, "{file}");
    op
}

#[test]
fn golden_ops() {
    let first = check_op("op_first.txt");
    let other = check_op("op_empty_payload.txt");
    let later = check_op("op_later.txt");
    assert_eq!(later.prev(), Some(first.reference()));
    assert!(later.deps().contains(&other.reference()));
    let merge = check_op("op_merge.txt");
    assert!(merge.deps().contains(&first.reference()));
    assert!(merge.deps().contains(&other.reference()));
}

#[test]
fn golden_ops_of_another_store_are_no_ops_of_this_one() {
    let fields = Fields::read("op_first.txt");
    let bytes = [fields.bytes("body"), fields.bytes("signature")].concat();
    let other = OpHasher::new(&genesis("other_genesis"));
    let refusal = OpError::OtherStore {
        expected: other.store_id(),
        found: hasher().store_id(),
    };
    assert_eq!(Op::decode(bytes, &other), Err(refusal));
}

/// Whether a hostile op of this name is refused as it has to be.
fn is_expected(name: &str, found: &OpError) -> bool {
    use OpError as E;
    match name {
        "author_no_point" => matches!(found, E::Signature(SignatureError::NoKey { .. })),
        "author_of_small_order" | "body_bit" => {
            matches!(found, E::Signature(SignatureError::Wrong { .. }))
        }
        name if name.starts_with("signature_") => {
            matches!(found, E::Signature(SignatureError::Wrong { .. }))
        }
        "deps_descending" | "deps_twice_the_same" | "deps_descending_seq" => *found == E::DepsOrder,
        "dep_is_prev" => *found == E::DepIsPrev,
        "first_with_prev" => {
            *found
                == E::PrevAgainstSeq {
                    seq: 0,
                    zero_prev: false,
                }
        }
        "later_without_prev" => {
            *found
                == E::PrevAgainstSeq {
                    seq: 1,
                    zero_prev: true,
                }
        }
        "merge_with_payload" => *found == E::MergePayload { found: 7 },
        "kind_2" => *found == E::UnknownKind { found: 2 },
        "kind_255" => *found == E::UnknownKind { found: 255 },
        "format_0" => *found == E::UnknownFormat { found: 0 },
        "format_2" => *found == E::UnknownFormat { found: 2 },
        "store_other" => matches!(found, E::OtherStore { .. }),
        "trailing_byte" | "trailing_byte_in_body" | "payload_length_one_less" => {
            matches!(found, E::Body(CodecError::TrailingBytes { .. }))
        }
        "one_byte_short"
        | "deps_length_huge"
        | "deps_length_lying"
        | "payload_length_huge"
        | "payload_length_one_more" => matches!(found, E::Body(CodecError::Malformed { .. })),
        "nothing" | "no_signature" => matches!(found, E::TooShort { .. }),
        _ => panic!("no expectation for {name}"),
    }
}

#[test]
fn golden_hostile_ops() {
    let hasher = hasher();
    let mut seen = 0;
    for (name, mut words) in lines("op_hostile.txt") {
        let bytes = words.remove(0).unwrap();
        let result = Op::decode(bytes, &hasher).and_then(|op| Ok(op.verify()?));
        let found = result.expect_err(&name);
        assert!(is_expected(&name, &found), "{name}: {found:?}");
        seen += 1;
    }
    assert_eq!(seen, 31);
}

/// The hostile vector bites: ed25519's plain equation holds for it, for any message at all.
#[test]
fn golden_key_of_small_order_passes_the_plain_equation() {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let hostile = lines("op_hostile.txt");
    let (_, words) = hostile
        .iter()
        .find(|(name, _)| name == "author_of_small_order")
        .unwrap();
    let op = Op::decode(words[0].clone().unwrap(), &hasher()).unwrap();
    let key = VerifyingKey::from_bytes(op.reference().author.as_bytes()).unwrap();
    let signature = Signature::from_bytes(op.bytes().last_chunk().unwrap());
    assert!(key.verify(b"any message", &signature).is_ok());
    assert!(op.verify().is_err());
}

#[test]
fn golden_ops_with_many_deps() {
    let most = Op::decode(read("op_1024_deps.bin"), &hasher()).unwrap();
    most.verify().unwrap();
    assert_eq!(most.deps().len(), MAX_DEPS);
    let refusal = Op::decode(read("op_hostile_1025_deps.bin"), &hasher()).unwrap_err();
    assert!(
        matches!(refusal, OpError::Body(CodecError::Malformed { .. })),
        "{refusal:?}"
    );
}

#[test]
fn golden_state_hashes() {
    let hasher = LeafHasher::default();
    let (here, there) = (genesis("genesis"), genesis("other_genesis"));
    let mut state = Accumulator::default();
    let mut leaves = Vec::new();
    for (name, words) in lines("state_hash.txt") {
        let bytes = words[0].as_deref().unwrap();
        let hash = || StateHash::from_slice(bytes).unwrap();
        match name.as_str() {
            "genesis" => assert_eq!(Genesis::decode(bytes).unwrap().hash(), here),
            "empty_hash" => assert_eq!(state.state_hash(&here), hash()),
            "leaf" => {
                let value = words[1].as_deref().unwrap();
                state.insert(&hasher, bytes, value);
                leaves.push((bytes.to_vec(), value.to_vec()));
            }
            "expanded" => {
                let (key, value) = leaves.last().unwrap();
                assert_eq!(hasher.expand(key, value), bytes, "leaf {}", leaves.len());
            }
            "state_hash" => assert_eq!(state.state_hash(&here), hash()),
            "state_hash_of_other_store" => assert_eq!(state.state_hash(&there), hash()),
            "sum" => {
                let mut sum = LtHash::default();
                for (key, value) in &leaves {
                    sum.add(&hasher.expand(key, value));
                }
                assert_eq!(sum.to_bytes(), bytes);
            }
            other => panic!("no expectation for {other}"),
        }
    }
    assert_eq!(state.leaf_count(), 7);

    // Taken out again in another order, every leaf leaves nothing behind.
    leaves.rotate_left(3);
    for (key, value) in &leaves {
        state.remove(&hasher, key, value).unwrap();
    }
    assert_eq!(state, Accumulator::default());
    assert!(
        state.remove(&hasher, b"key", b"value").is_err(),
        "no leaf is left"
    );
}

/// Every effect of the golden file, made by one op on a store that holds what was there before.
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
    // Written in another order than that of keys, every key twice, and beside a row that is
    // removed although it is not there and one that is written as it was: the net change counts.
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

/// All rows of a store with a fixed history, in the order of tables and keys.
#[test]
fn golden_tables() {
    let (backend, engine) = fixed_history();
    let state_hash = engine.state_hash().unwrap();
    engine.close().unwrap();
    let db = backend
        .open(Path::new("store"), &OpenOptions::read_only())
        .unwrap();
    let snapshot = db.snapshot().unwrap();
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut rows = snapshot
            .range(table, EVERYTHING, Direction::Forward)
            .unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = Some(row.key.to_vec());
            found.push(if row.value.len() <= 200 {
                (table.name().to_owned(), vec![key, Some(row.value.to_vec())])
            } else {
                let hash = blake3::hash(row.value).as_bytes().to_vec();
                (format!("{table}_hashed"), vec![key, Some(hash)])
            });
        }
    }
    found.push((
        "state_hash".into(),
        vec![Some(state_hash.as_bytes().to_vec())],
    ));
    let expected = lines("tables.txt");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// Two authors, an op in several parts, one that is long enough to bring the index up to date, and
/// a fork that comes after it.
fn fixed_history() -> (Arc<MemoryBackend>, Engine<RowMachine>) {
    let secret =
        |file| SecretKey::from_bytes(&Fields::read(file).bytes("secret").try_into().unwrap());
    let (a, b) = (secret("op_first.txt"), secret("op_empty_payload.txt"));
    let start = Hlc::from_parts(1_700_000_000_000, 0).unwrap().to_u64();
    let hasher = hasher();
    let make = |secret, seq, prev: Option<&Op>, after, deps: &[&Op], writes: &[(&[u8], Word)]| {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq,
            prev: prev.map_or(OpId::ZERO, |op| op.reference().id),
            hlc: Hlc::from_u64(start + after),
            deps: deps.iter().map(|op| op.reference()).collect(),
            payload: &codec::encode(writes).unwrap(),
        };
        draft.sign(&hasher, secret).unwrap()
    };
    let a0 = make(&a, 0, None, 0, &[], &[(b"k1", Some(b"v1".to_vec()))]);
    let b0_writes: [(&[u8], Word); 2] = [
        (b"k1", Some(b"v2".to_vec())),
        (b"k2", Some(vec![0x5a; 5000])),
    ];
    let b0 = make(&b, 0, None, 1, &[&a0], &b0_writes);
    let a1 = make(
        &a,
        1,
        Some(&a0),
        2,
        &[&b0],
        &[(b"k3", Some(vec![0x11; 300 * 1024]))],
    );
    let fork = make(&a, 1, Some(&a0), 3, &[], &[(b"k2", None)]);

    let backend = Arc::new(MemoryBackend::new());
    let genesis = Genesis::decode(Fields::read("op_stores.txt").bytes("genesis")).unwrap();
    Engine::create(&*backend, Path::new("store"), &genesis, &RowMachine::new()).unwrap();
    let request = OpenRequest::new(backend.clone(), "store");
    let engine = Engine::open(request, RowMachine::new()).unwrap();
    for ops in [vec![a0, b0, a1], vec![fork]] {
        let mut ops = ops.into_iter().map(Op::into_bytes);
        let report = engine.ingest(&mut ops, &Authors::Any).unwrap();
        assert!(report.is_complete(), "{report:?}");
    }
    (backend, engine)
}

/// Rows written as a payload says: the least a state machine can do.
struct RowMachine(StoreType);

impl RowMachine {
    fn new() -> Self {
        Self("org.example.golden".parse().unwrap())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl StateMachine for RowMachine {
    type Command = Vec<(Vec<u8>, Word)>;
    type Refusal = Never;

    fn store_type(&self) -> &StoreType {
        &self.0
    }

    fn schemas(&self) -> RangeInclusive<SchemaVersion> {
        SchemaVersion::new(1)..=SchemaVersion::new(1)
    }

    fn logic_version(&self) -> LogicVersion {
        LogicVersion::new("rows/1").unwrap()
    }

    fn methods(&self) -> &'static [Method] {
        &[]
    }

    fn prepare(
        &self,
        command: &Self::Command,
        _data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Vec<u8>, Never>, BackendError> {
        Ok(Ok(codec::encode(command).unwrap()))
    }

    fn apply(
        &self,
        op: &OpView<'_>,
        data: &mut dyn DataWrite,
        _history: &dyn History,
    ) -> Result<Effect, BackendError> {
        let writes: Self::Command = codec::decode(op.payload, MAX_OP_BYTES).unwrap();
        for (key, value) in writes {
            match value {
                Some(value) => data.put(&key, &value)?,
                None => data.remove(&key)?,
            }
        }
        Ok(Effect::Applied)
    }

    fn command(&self, _args: Args) -> Result<Self::Command, CallError> {
        unreachable!("there are no methods")
    }

    fn query(
        &self,
        _args: Args,
        _data: &dyn DataRead,
        _: &dyn History,
    ) -> Result<Result<Value, CallError>, BackendError> {
        unreachable!("there are no methods")
    }
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
