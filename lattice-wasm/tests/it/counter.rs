//! A module written in C from the specification of the interface.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::MemoryBackend;
use lattice_backend::conformance::{MachineSuite, Rng};
use lattice_backend::engine::Engine;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::OpenRequest;
use lattice_backend::machine::{Args, MethodCall, MethodKind, StateMachine, Value, ValueType};
use lattice_backend::op::{Op, SecretKey};
use lattice_meta::{Genesis, Hlc, Nonce};
use lattice_wasm::{Code, WasmCommand, WasmMachine, guests};

const PATH: &str = "state.db";

fn machine() -> WasmMachine {
    WasmMachine::new(Code::new(guests::COUNTER).unwrap(), &[]).unwrap()
}

/// A store in memory that one author writes to.
struct Store {
    backend: Arc<MemoryBackend>,
    author: Arc<SecretKey>,
}

impl Store {
    fn new() -> Self {
        let store = Self {
            backend: Arc::new(MemoryBackend::new()),
            author: Arc::new(SecretKey::from_bytes(&[7; 32])),
        };
        let machine = machine();
        let genesis = Genesis::new(
            machine.logic().store_type().clone(),
            store.author.public(),
            Nonce::from_bytes([1; 16]),
            Hlc::ZERO,
            None,
        );
        Engine::create(&*store.backend, Path::new(PATH), &genesis, &machine).unwrap();
        store
    }

    fn open(&self) -> Engine<WasmMachine> {
        let request = OpenRequest::new(self.backend.clone(), Path::new(PATH));
        Engine::open(request.identity(self.author.clone()), machine()).unwrap()
    }
}

fn n(number: i128) -> Value {
    Value::record([("n", Value::Integer(number))])
}

fn of(author: &str) -> Value {
    Value::record([("author", Value::Text(author.into()))])
}

/// The message of a refused call.
fn refusal(engine: &Engine<WasmMachine>, method: &str, args: Value) -> String {
    engine.call(method, args).unwrap_err().to_string()
}

#[test]
fn its_manifest_describes_it() {
    let code = Code::new(guests::COUNTER).unwrap();
    let manifest = code.manifest();
    assert_eq!(manifest.store_type.as_str(), "org.example.counter");
    let methods = manifest.methods.iter();
    let methods: Vec<_> = methods
        .map(|method| (&*method.name, method.kind, method.result))
        .collect();
    assert_eq!(
        methods,
        [
            ("add", MethodKind::Command, ValueType::Record),
            ("total", MethodKind::Query, ValueType::Integer),
            ("of", MethodKind::Query, ValueType::Integer),
        ]
    );
}

#[test]
fn it_counts_and_remembers() {
    let store = Store::new();
    let engine = store.open();
    assert_eq!(
        engine.call("total", Value::Null).unwrap(),
        Value::Integer(0)
    );
    let receipt = engine.call("add", n(5)).unwrap();
    let Value::Record(receipt) = receipt else {
        panic!("a receipt is a record: {receipt:?}");
    };
    let Value::Text(author) = &receipt["author"] else {
        panic!("an author is a text: {receipt:?}");
    };
    engine.call("add", n(-12)).unwrap();
    assert_eq!(
        engine.call("total", Value::Null).unwrap(),
        Value::Integer(-7)
    );
    assert_eq!(engine.call("of", of(author)).unwrap(), Value::Integer(-7));
    let stranger = "0f".repeat(32);
    assert_eq!(engine.call("of", of(&stranger)).unwrap(), Value::Integer(0));
    let hash = engine.state_hash().unwrap();
    engine.close().unwrap();

    let engine = store.open();
    assert_eq!(engine.state_hash().unwrap(), hash);
    assert_eq!(
        engine.call("total", Value::Null).unwrap(),
        Value::Integer(-7)
    );
    // Sums have 128 bits.
    for _ in 0..3 {
        engine.call("add", n(i64::MIN.into())).unwrap();
    }
    let sum = -7 + 3 * i128::from(i64::MIN);
    assert_eq!(
        engine.call("total", Value::Null).unwrap(),
        Value::Integer(sum)
    );
}

#[test]
fn it_sums_more_authors_than_a_page_has_rows() {
    let store = Store::new();
    let engine = store.open();
    let mut expected = 0;
    for nth in 0..200_u8 {
        let author = SecretKey::from_bytes(&[nth; 32]);
        let other = Store {
            backend: Arc::new(MemoryBackend::new()),
            author: Arc::new(author),
        };
        Engine::create(
            &*other.backend,
            Path::new(PATH),
            engine.genesis(),
            &machine(),
        )
        .unwrap();
        let other = other.open();
        other.call("add", n(i128::from(nth) + 1)).unwrap();
        let ops = other.ops_after(&Default::default()).unwrap();
        engine.ingest(ops, &Authors::Any).unwrap();
        expected += i128::from(nth) + 1;
    }
    assert_eq!(
        engine.call("total", Value::Null).unwrap(),
        Value::Integer(expected)
    );
}

#[test]
fn it_refuses_invalid_arguments() {
    let store = Store::new();
    let engine = store.open();
    for number in [
        i128::from(i64::MAX) + 1,
        i128::from(i64::MIN) - 1,
        i128::MAX,
        i128::MIN,
    ] {
        assert_eq!(
            refusal(&engine, "add", n(number)),
            "method `add`, parameter `n`: expected a number of 64 bits with a sign"
        );
    }
    assert_eq!(refusal(&engine, "add", n(0)), "adding 0 changes nothing");
    for author in ["", "0F", &"0F".repeat(32), &"0g".repeat(32)] {
        assert_eq!(
            refusal(&engine, "of", of(author)),
            "method `of`, parameter `author`: expected 64 digits of lower-case hexadecimal"
        );
    }
    // The host refuses these without calling the module.
    let text = Value::record([("n", Value::Text("1".into()))]);
    assert_eq!(
        refusal(&engine, "add", text),
        "method `add`, parameter `n`: expected integer, found text"
    );
    assert_eq!(
        refusal(&engine, "add", Value::Null),
        "method `add` needs parameter `n` (integer)"
    );
    assert_eq!(
        refusal(&engine, "of", n(1)),
        "method `of` has no parameter `n`"
    );
    assert_eq!(engine.op_count().unwrap(), 0);
}

#[test]
fn it_describes_payloads() {
    let machine = machine();
    for number in [0, 1, -1, 1234, i64::MAX, i64::MIN] {
        let said = machine.describe(&number.to_le_bytes());
        assert_eq!(said, format!("adds {number}"));
    }
    assert_eq!(machine.describe(b"short"), "");
    let invalid = machine.decode(b"short").unwrap_err();
    assert_eq!(invalid.reason(), "expected a payload of 8 bytes");
}

fn command(machine: &WasmMachine, number: i128) -> WasmCommand {
    let add = &machine.methods()[0];
    let MethodCall::Command(command) = add.call else {
        panic!("`add` is a command");
    };
    command(
        machine,
        Args::new(&add.method, &n(number).to_bytes()).unwrap(),
    )
    .unwrap()
}

#[test]
fn it_keeps_the_rules_of_state_machines() {
    let machine = machine();
    let make = || machine.clone();
    let number = |rng: &mut Rng| i128::try_from(rng.below(9)).unwrap() - 4;
    let hostile = |rng: &mut Rng, _: &[Op]| {
        let length = 7 + rng.below(3);
        rng.bytes(length)
    };
    MachineSuite::new(make, |rng| command(&machine, number(rng)))
        .hostile(hostile)
        .run();
}
