//! The conformance suite over every store type that ships, each call natively and as a module.

use std::num::NonZero;

use guest_chat::{ChatMachine, First, Second};
use guest_tally::TallyMachine;
use lattice_backend::conformance::{HostilePayloads, MachineSuite, Rng};
use lattice_backend::machine::Value;
use lattice_backend::machine::manifest::StoreCode;
use lattice_backend::op::{Op, OpRef};
use lattice_kvstore::{KvMachine, STORE_TYPE};
use lattice_logstore::LogMachine;
use lattice_meta::OpId;
use lattice_wasm::{Code, guests};

use crate::both::Both;
use crate::kv;

/// The module's calls read rows ahead by the page, so the limits are less tight than natively.
const DIVISOR: NonZero<u64> = NonZero::new(256).expect("it is not zero");

type Call = (&'static str, Value);

fn run<M>(
    wasm: &[u8],
    make: impl Fn() -> M,
    call: impl Fn(&mut Rng) -> Call,
    hostile: HostilePayloads<'_>,
) where
    M: StoreCode,
{
    let code = Code::new(wasm).unwrap();
    assert_eq!(code.store_type().as_str(), M::STORE_TYPE);
    let both = Both::new(make(), &code);
    let command = |rng: &mut Rng| {
        let (name, args) = call(rng);
        both.command(name, args)
    };
    MachineSuite::new(|| Both::new(make(), &code), command)
        .hostile(hostile)
        .tightened(DIVISOR)
        .run();
}

fn key(rng: &mut Rng) -> Vec<u8> {
    vec![b'a', u8::try_from(rng.below(4)).unwrap()][..1 + rng.below(2)].to_vec()
}

/// Values that fit in cells and, sometimes, longer ones.
fn value(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.below(8) {
        0 => 1024,
        1 => 1025,
        _ => rng.below(5),
    };
    rng.bytes(length)
}

/// Valid payloads that supersede any ops, seen or unseen, and ops that never arrive.
fn hostile_puts(rng: &mut Rng, ops: &[Op]) -> Vec<u8> {
    let mut refs: Vec<OpRef> = (0..=rng.below(3))
        .filter_map(|_| rng.pick(ops).map(Op::reference))
        .map(|op| OpRef {
            seq: op.seq + u64::from(op.seq == 1),
            ..op
        })
        .collect();
    refs.sort_unstable();
    refs.dedup();
    let (key, value) = (key(rng), value(rng));
    let places: Vec<u32> = (0..u32::try_from(refs.len()).unwrap()).collect();
    let value = (!rng.one_in(3)).then_some(value);
    kv::payload(&refs, vec![kv::write(&key, &places, value)])
}

#[test]
fn kvstore_behaves_the_same_natively_and_as_a_module() {
    assert_eq!(STORE_TYPE, <KvMachine as StoreCode>::STORE_TYPE);
    let call = |rng: &mut Rng| {
        let (key, value) = (Value::Bytes(key(rng)), Value::Bytes(value(rng)));
        match rng.below(8) {
            0 | 1 => ("delete", Value::record([("key", key)])),
            2 => (
                "put",
                Value::record([
                    ("key", key),
                    ("value", value),
                    ("expect_absent", Value::Bool(true)),
                ]),
            ),
            3 => {
                let one = Value::record([("key", key), ("value", value)]);
                let other = Value::record([("key", Value::Text("other".into()))]);
                (
                    "batch",
                    Value::record([("writes", Value::List(vec![one, other]))]),
                )
            }
            _ => ("put", Value::record([("key", key), ("value", value)])),
        }
    };
    run(
        guests::KVSTORE,
        KvMachine::new,
        call,
        Box::new(hostile_puts),
    );
}

#[test]
fn logstore_behaves_the_same_natively_and_as_a_module() {
    let call = |rng: &mut Rng| {
        let entries = (0..rng.below(5)).map(|_| {
            let length = rng.below(6);
            Value::Bytes(rng.bytes(length))
        });
        let entries = Value::List(entries.collect());
        ("append_many", Value::record([("entries", entries)]))
    };
    let hostile = |rng: &mut Rng, _: &[Op]| {
        let mut payload = lattice_logstore::encode_payload(&[b"one".to_vec(), Vec::new()]).unwrap();
        match rng.below(4) {
            0 => payload[0] = 2,
            1 => payload[1] = 3,
            2 => payload.truncate(9),
            _ => payload.push(0),
        }
        payload
    };
    run(guests::LOGSTORE, LogMachine::new, call, Box::new(hostile));
}

fn post(rng: &mut Rng) -> Call {
    let room = Value::Text(["tea", "Tea", "coffee", ""][rng.below(4)].into());
    let text = Value::Text(["", "a", "b"][rng.below(3)].into());
    ("post", Value::record([("room", room), ("text", text)]))
}

fn hostile_posts(rng: &mut Rng, ops: &[Op]) -> Vec<u8> {
    let message = rng.pick(ops).map_or(OpId::ZERO, |op| op.reference().id);
    match rng.below(4) {
        0 => format!("post\0room\0text {}\0", rng.below(9)).into_bytes(),
        1 => format!("edit\0{message}\0text {}\0", rng.below(9)).into_bytes(),
        2 => format!("edit\0{}\0text\0", message.to_string().to_uppercase()).into_bytes(),
        _ => format!("post\0\0text\0{}", rng.below(9)).into_bytes(),
    }
}

#[test]
fn chat_behaves_the_same_natively_and_as_a_module() {
    let hostile = Box::new(hostile_posts);
    run(guests::CHAT, ChatMachine::<First>::new, post, hostile);
}

#[test]
fn the_successor_of_chat_behaves_the_same_natively_and_as_a_module() {
    let hostile = Box::new(hostile_posts);
    run(guests::CHAT_V2, ChatMachine::<Second>::new, post, hostile);
}

fn add(rng: &mut Rng) -> Call {
    let name = Value::Text(["one", "two", "three", ""][rng.below(4)].into());
    let number = match rng.below(3) {
        0 => i64::MAX,
        1 => -1,
        _ => i64::try_from(rng.below(100)).unwrap(),
    };
    let number = Value::Integer(number.into());
    ("add", Value::record([("name", name), ("number", number)]))
}

/// Numbers without a name, names that are too long or not UTF-8, and empty payloads.
fn hostile_numbers(rng: &mut Rng, _: &[Op]) -> Vec<u8> {
    let length = [0, 7, 8, 9, 12, 263, 264][rng.below(7)];
    match rng.one_in(2) {
        true => rng.bytes(length),
        false => vec![b'a'; length],
    }
}

#[test]
fn tally_behaves_the_same_natively_and_as_a_module_in_both_layouts() {
    let hostile = || Box::new(hostile_numbers);
    run(guests::TALLY_V1, TallyMachine::<1>::new, add, hostile());
    run(guests::TALLY, TallyMachine::<2>::new, add, hostile());
}
