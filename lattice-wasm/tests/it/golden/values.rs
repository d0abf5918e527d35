//! Encoded values, valid and hostile.

use lattice_backend::machine::{Conversion, Query, Step, Value};

use super::{field, fields, lines};

fn check(name: &str, value: &Value, bytes: &[u8]) {
    assert_eq!(value.to_bytes(), bytes, "{name}");
    assert_eq!(Value::from_bytes(bytes).as_ref(), Ok(value), "{name}");
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Nested empty lists.
fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]))
}

fn expected(name: &str) -> Value {
    match name {
        "null" => Value::Null,
        "false" => Value::Bool(false),
        "true" => Value::Bool(true),
        "bytes_empty" => Value::Bytes(Vec::new()),
        "bytes_all" => Value::Bytes((0..=255).collect()),
        "bytes_127" => Value::Bytes(vec![0; 127]),
        "bytes_128" => Value::Bytes(vec![0; 128]),
        "text_empty" => text(""),
        "text" => text("Grüße, \u{0} \u{1f331}"),
        "list_empty" => Value::List(Vec::new()),
        "list" => Value::List(vec![
            Value::Null,
            Value::Bool(true),
            Value::Integer(-3),
            Value::List(vec![Value::Bool(false)]),
            text("x"),
        ]),
        "record_empty" => Value::record([]),
        "record_of_the_page" => Value::record([("n", Value::Integer(-3)), ("note", text("hi"))]),
        "record" => Value::record([
            ("", Value::Null),
            ("b", Value::Bytes(vec![0xff])),
            (
                "a",
                Value::List(vec![Value::record([("x", Value::Integer(1))])]),
            ),
            ("ab", Value::Bool(true)),
            ("\u{e9}", Value::Integer(1 << 64)),
            ("Z", Value::record([])),
        ]),
        "nested_32" => nested(32),
        other => panic!("no expectation for {other}"),
    }
}

#[test]
fn golden_values() {
    for (name, bytes) in fields("value.txt") {
        check(&name, &expected(&name), &bytes);
    }
}

#[test]
fn golden_integers() {
    let lines = lines("value_integers.txt");
    assert!(lines.len() > 90);
    for (_, words) in lines {
        let [number, bytes] = words.as_slice() else {
            panic!("a line has a number and its encoding");
        };
        let number = i128::from_le_bytes(number.as_slice().try_into().unwrap());
        check(&number.to_string(), &Value::Integer(number), bytes);
    }
}

#[test]
fn golden_hostile_values_are_refused() {
    for (name, bytes) in fields("value_hostile.txt") {
        let read = Value::from_bytes(&bytes);
        assert!(read.is_err(), "{name}: {read:?}");
    }
}

#[test]
fn golden_conversions() {
    let step = Step {
        from: "core:kvstore".parse().unwrap(),
        state: Value::Null,
        result: Value::Integer(1),
    };
    let bytes = field("conversions.txt", "step");
    check("step", &Value::from(step.clone()), &bytes);
    assert_eq!(Step::try_from(Value::from(step.clone())), Ok(step));

    let key = Value::record([("key", Value::Bytes(b"k".to_vec()))]);
    let more = Conversion {
        calls: vec![("put".into(), key)],
        next: Some(Query {
            method: "scan".into(),
            args: Value::record([]),
            state: text("s"),
        }),
    };
    for (name, conversion) in [("last", Conversion::default()), ("more", more)] {
        let bytes = field("conversions.txt", name);
        check(name, &Value::from(conversion.clone()), &bytes);
        let read = Conversion::try_from(Value::from(conversion.clone()));
        assert_eq!(read, Ok(conversion), "{name}");
    }
}
