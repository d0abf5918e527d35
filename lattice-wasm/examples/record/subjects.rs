//! The calls of the modules that ship.

use lattice_backend::conformance::Rng;
use lattice_backend::machine::Value;
use lattice_backend::op::Op;
use lattice_meta::OpId;
use lattice_wasm::guests;

use crate::session::{Call, Subject};

pub(crate) const KVSTORE: Subject<'_> = Subject {
    name: "kvstore",
    wasm: guests::KVSTORE,
    command: kv_command,
    query: kv_query,
    payload: None,
};
pub(crate) const LOGSTORE: Subject<'_> = Subject {
    name: "logstore",
    wasm: guests::LOGSTORE,
    command: log_command,
    query: log_query,
    payload: None,
};
pub(crate) const CHAT: Subject<'_> = Subject {
    name: "chat",
    wasm: guests::CHAT,
    command: chat_command,
    query: chat_query,
    payload: None,
};
pub(crate) const CHAT_V2: Subject<'_> = Subject {
    name: "chat_v2",
    wasm: guests::CHAT_V2,
    ..CHAT
};
pub(crate) const COUNTER: Subject<'_> = Subject {
    name: "counter",
    wasm: guests::COUNTER,
    command: counter_command,
    query: counter_query,
    payload: None,
};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(rng: &mut Rng, end: usize) -> Value {
    Value::from(rng.number() % u64::try_from(end).unwrap_or(u64::MAX))
}

/// A record of some of these fields.
fn some(rng: &mut Rng, fields: Vec<(&str, Value)>) -> Value {
    let mut kept = Vec::new();
    for (name, value) in fields {
        if rng.one_in(2) {
            kept.push((name.to_owned(), value));
        }
    }
    Value::Record(kept.into_iter().collect())
}

/// One of the values.
fn one(rng: &mut Rng, values: &[&str]) -> Value {
    rng.pick(values).map_or(Value::Null, |found| text(found))
}

/// Often one of a few keys, otherwise one of many; sometimes an invalid one.
fn key(rng: &mut Rng) -> Value {
    match rng.below(60) {
        0 => Value::Bytes(Vec::new()),
        1 => Value::Bytes(vec![b'k'; 4_096 + rng.below(2)]),
        2..=30 => Value::Bytes(vec![b'a', b"abcd"[rng.below(4)]]),
        31..=40 => text(&format!("key/{}", rng.below(400))),
        _ => Value::Bytes(vec![0, 0xff, b'b'][..1 + rng.below(3)].to_vec()),
    }
}

/// Values that fit in cells and, sometimes, longer ones.
fn value(rng: &mut Rng) -> Value {
    let len = match rng.below(16) {
        0 => 1_024,
        1 => 1_025,
        2 => rng.below(9_000),
        _ => rng.below(5),
    };
    Value::Bytes(rng.bytes(len))
}

fn pairs(rng: &mut Rng) -> Value {
    let count = [1, 2, 3, 12][rng.below(4)];
    let pair = |_| match rng.below(40) {
        0 => Value::Null,
        1..=9 => Value::record([("key", key(rng)), ("value", Value::Null)]),
        _ => Value::record([("key", key(rng)), ("value", value(rng))]),
    };
    Value::List((0..count).map(pair).collect())
}

fn kv_command(rng: &mut Rng, _: &[Op]) -> Call {
    let (key, value, expected) = (key(rng), value(rng), value(rng));
    match rng.below(12) {
        0 => ("delete", Value::record([("key", key)])),
        1 => (
            "put",
            Value::record([
                ("key", key),
                ("value", value),
                ("expect_absent", Value::Bool(true)),
            ]),
        ),
        2 => (
            "delete",
            Value::record([("key", key), ("expect", expected)]),
        ),
        3..=5 => ("batch", Value::record([("writes", pairs(rng))])),
        6 => {
            let fields = [("writes", pairs(rng)), ("expect", pairs(rng))];
            ("batch", Value::record(fields))
        }
        _ => ("put", Value::record([("key", key), ("value", value)])),
    }
}

fn kv_query(rng: &mut Rng, _: &[Op]) -> Call {
    let key = key(rng);
    let range = |rng: &mut Rng| {
        let prefix = Value::Bytes(b"ak"[rng.below(2)..][..1].to_vec());
        vec![
            ("prefix", prefix),
            ("from", self::key(rng)),
            ("to", self::key(rng)),
        ]
    };
    match rng.below(7) {
        0 | 1 => ("get", Value::record([("key", key)])),
        2 => ("contains", Value::record([("key", key)])),
        3 => {
            let mut fields = range(rng);
            fields.extend([
                ("limit", number(rng, 40)),
                ("reverse", Value::Bool(rng.one_in(2))),
                ("keys_only", Value::Bool(rng.one_in(2))),
            ]);
            ("scan", some(rng, fields))
        }
        4 => {
            let fields = range(rng);
            ("count", some(rng, fields))
        }
        5 => ("conflicts", Value::record([("key", key)])),
        _ => {
            let limit = Value::Integer([-1, 0, 3, 100][rng.below(4)]);
            ("conflicted_keys", some(rng, vec![("limit", limit)]))
        }
    }
}

fn log_command(rng: &mut Rng, _: &[Op]) -> Call {
    let entry = |rng: &mut Rng| match rng.below(40) {
        0 => Value::Integer(1),
        1..=9 => text(&format!("entry {}", rng.below(1_000))),
        10 => Value::Bytes(rng.bytes(5_000)),
        _ => {
            let len = rng.below(12);
            Value::Bytes(rng.bytes(len))
        }
    };
    if rng.one_in(3) {
        let len = rng.below(20);
        let content = Value::Bytes(rng.bytes(len));
        return ("append", Value::record([("content", content)]));
    }
    let entries = (0..rng.below(5)).map(|_| entry(rng)).collect();
    (
        "append_many",
        Value::record([("entries", Value::List(entries))]),
    )
}

fn log_query(rng: &mut Rng, ops: &[Op]) -> Call {
    match rng.below(5) {
        0 => ("len", Value::Null),
        1 => {
            let n = number(rng, 30);
            ("tail", some(rng, vec![("n", n)]))
        }
        _ => {
            let position = |rng: &mut Rng| match rng.pick(ops) {
                Some(op) if !rng.one_in(9) => {
                    let (hlc, id) = (op.hlc().to_u64(), op.reference().id);
                    text(&format!("{hlc:016x}-{id}-{}", rng.below(3)))
                }
                _ => text("yesterday"),
            };
            let ms = |rng: &mut Rng| {
                let ms = rng.pick(ops).map_or(0, |op| op.hlc().to_u64() >> 16);
                Value::from(ms)
            };
            let fields = vec![
                ("from_ms", ms(rng)),
                ("until_ms", ms(rng)),
                ("from", position(rng)),
                ("after", position(rng)),
                ("before", position(rng)),
                ("reverse", Value::Bool(true)),
                ("limit", number(rng, 50)),
            ];
            ("read", some(rng, fields))
        }
    }
}

const ROOMS: &[&str] = &["tea", "Tea", "coffee", "", "a\0b", "r\u{f6}om"];

fn chat_command(rng: &mut Rng, ops: &[Op]) -> Call {
    let said = match rng.below(12) {
        0 => text(""),
        1 => text("two\0texts"),
        2 => text(&"long ".repeat(300)),
        _ => text(&format!("text \"{}\"", rng.below(1_000))),
    };
    if rng.one_in(3) {
        let message = rng.pick(ops).map_or(OpId::ZERO, |op| op.reference().id);
        let message = match rng.one_in(9) {
            true => text("no id"),
            false => text(&message.to_string()),
        };
        return (
            "edit",
            Value::record([("message", message), ("text", said)]),
        );
    }
    let room = one(rng, ROOMS);
    ("post", Value::record([("room", room), ("text", said)]))
}

fn chat_query(rng: &mut Rng, _: &[Op]) -> Call {
    if rng.one_in(2) {
        return ("read", Value::record([("room", one(rng, ROOMS))]));
    }
    let after = Value::Bytes(b"mcoffee\0\x01\x8c"[..rng.below(10)].to_vec());
    let limit = Value::Integer([-1, 0, 3, 100_000][rng.below(4)]);
    ("all", some(rng, vec![("after", after), ("limit", limit)]))
}

fn counter_command(rng: &mut Rng, _: &[Op]) -> Call {
    let n = match rng.below(12) {
        0 => i128::MIN,
        1 => i128::from(i64::MAX) + 1,
        2 => i128::from(i64::MAX),
        3 => i128::from(i64::MIN),
        _ => i128::from(rng.number() % 9) - 4,
    };
    ("add", Value::record([("n", Value::Integer(n))]))
}

fn counter_query(rng: &mut Rng, ops: &[Op]) -> Call {
    if rng.one_in(2) {
        return ("total", Value::Null);
    }
    let author = match rng.pick(ops) {
        Some(op) if !rng.one_in(5) => op.reference().author.to_string(),
        _ => "0F".repeat(32),
    };
    ("of", Value::record([("author", text(&author))]))
}
