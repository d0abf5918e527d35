//! Arguments of calls, as values and as bytes; fields of records.

use std::collections::BTreeMap;

use lattice_backend::machine::{
    Args, CallError, Field, Fields, MAX_VALUE_DEPTH, Method, MethodKind, Param, Value, ValueType,
};
use lattice_backend::params;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::values::{change, changed, value};

const PARAMS: &[Param] = params![
    Param::required("bytes", ValueType::Bytes, "a byte string"),
    Param::optional("list", ValueType::List, "records"),
    Param::optional("record", ValueType::Record, "a record"),
];

fn method() -> Method {
    Method {
        name: "act".into(),
        kind: MethodKind::Command,
        doc: "acts".into(),
        params: PARAMS.into(),
        result: ValueType::Record,
    }
}

/// What a field shows.
type Shown = (Vec<u8>, [Result<Option<Vec<u8>>, String>; 3]);

fn shown((name, field): (&[u8], Field<'_>)) -> Shown {
    let text = field.text().map(|text| text.map(|text| text.into()));
    let integer = field.integer();
    let integer = integer.map(|number| number.map(|number| number.to_le_bytes().to_vec()));
    let bytes = field.bytes().map(|bytes| bytes.map(<[u8]>::to_vec));
    (name.to_vec(), [bytes, text, integer])
}

/// The records of the list, up to an error, and the outcome.
fn records(mut args: Args<'_>) -> (Vec<Vec<Shown>>, Result<(), CallError>) {
    let mut all = Vec::new();
    let outcome = args.take_records("list", &mut |record| {
        all.push(record.fields().map(shown).collect());
        Ok(())
    });
    (all, outcome)
}

/// What the fields of a record show.
fn shown_of(fields: &Fields) -> Vec<Shown> {
    let of = |(name, value): (&str, &Value)| -> Shown {
        let found = value.value_type();
        let other = |expected: ValueType| Err(format!("expected {expected}, found {found}"));
        let [bytes, text, integer] = match value {
            Value::Null => [Ok(None), Ok(None), Ok(None)],
            Value::Bytes(bytes) => [
                Ok(Some(bytes.clone())),
                other(ValueType::Text),
                other(ValueType::Integer),
            ],
            Value::Text(text) => [
                Ok(Some(text.clone().into())),
                Ok(Some(text.clone().into())),
                other(ValueType::Integer),
            ],
            Value::Integer(number) => [
                other(ValueType::Bytes),
                other(ValueType::Text),
                Ok(Some(number.to_le_bytes().to_vec())),
            ],
            _ => [ValueType::Bytes, ValueType::Text, ValueType::Integer].map(other),
        };
        (name.as_bytes().to_vec(), [bytes, text, integer])
    };
    fields.iter().map(of).collect()
}

/// What [`records`] finds in a list: all of it if it consists of records.
fn records_of(list: Option<&Value>) -> (Vec<Vec<Shown>>, bool) {
    let mut all = Vec::new();
    let values = match list {
        Some(Value::List(values)) => &values[..],
        _ => &[],
    };
    for value in values {
        match value {
            Value::Record(fields) => all.push(shown_of(fields)),
            _ => return (all, false),
        }
    }
    (all, true)
}

fn list_of(given: &Value) -> Option<&Value> {
    match given {
        Value::Record(fields) => fields.get("list"),
        _ => None,
    }
}

fn arguments() -> impl Strategy<Value = Value> {
    let record = vec((".{0,3}", value()), 0..4)
        .prop_map(|fields| Value::Record(fields.into_iter().collect()));
    let list = vec(prop_oneof![4 => record, 1 => value()], 0..6).prop_map(Value::List);
    let bytes = prop_oneof![
        Just(Value::Bytes(b"b".to_vec())),
        Just(Value::Text("t".into()))
    ];
    (bytes, list, any::<bool>()).prop_map(|(bytes, list, has_list)| {
        let mut fields: Fields = [("bytes", bytes)].into();
        if has_list {
            fields.insert("list", list);
        }
        Value::Record(fields)
    })
}

#[test]
fn checked_arguments_are_not_compared_with_the_parameters_again() {
    let method = method();
    let given = Value::record([("bytes", Value::Null), ("none", Value::Bool(true))]).to_bytes();
    assert!(Args::new(&method, &given).is_err());
    let mut args = Args::from_checked("act", &given).unwrap();
    assert_eq!(args.take("none").unwrap(), Some(Value::Bool(true)));
    assert!(matches!(
        args.take_bytes("bytes"),
        Err(CallError::ParamType { .. })
    ));
    for bytes in [&Value::Null.to_bytes()[..], b"", b"\x07"] {
        let error = Args::from_checked("act", bytes).unwrap_err();
        assert!(matches!(error, CallError::Encoding(_)), "{error}");
    }
}

proptest! {
    #[test]
    fn arguments_are_the_fields_of_the_encoded_record(given in arguments()) {
        let method = method();
        let bytes = given.to_bytes();
        let list = list_of(&given);
        // What the host has checked, a module reads without looking at it again.
        for is_checked in [false, true] {
            let args = || match is_checked {
                false => Args::new(&method, &bytes).unwrap(),
                true => Args::from_checked("act", &bytes).unwrap(),
            };
            prop_assert_eq!(args().method(), "act");
            prop_assert_eq!(args().to_bytes(), &bytes[..]);
            prop_assert_eq!(&args().into_record().unwrap(), &given);
            prop_assert_eq!(args().take("list").unwrap(), list.cloned());
            prop_assert_eq!(args().take_list("list").unwrap().map(Value::List), list.cloned());
            let (found, outcome) = records(args());
            prop_assert_eq!((found, outcome.is_ok()), records_of(list));
        }
    }

    #[test]
    fn mutated_argument_bytes_are_accepted_or_refused(
        given in arguments(),
        changes in vec(change(), 1..4),
    ) {
        let method = method();
        let bytes = changed(given.to_bytes(), &changes);
        let args = || Args::new(&method, &bytes);
        match (Value::from_bytes(&bytes), args()) {
            (Ok(value), Ok(whole)) => {
                let (found, outcome) = records(args().unwrap());
                prop_assert_eq!((found, outcome.is_ok()), records_of(list_of(&value)));
                prop_assert_eq!(whole.to_bytes().len() <= bytes.len(), true);
            }
            // The names or the types are wrong.
            (Ok(_), Err(error)) => prop_assert!(!matches!(error, CallError::Encoding(_)), "{error}"),
            // The error is in a value that was not taken.
            (Err(_), Ok(whole)) => {
                let whole = whole.into_record();
                prop_assert!(matches!(whole, Err(CallError::Encoding(_))), "{whole:?}");
                // Records show the same error, but for a text that is not taken as a text, and for
                // the values of lists and records in them.
                let _ = records(args().unwrap());
            }
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn a_module_refuses_malformed_arguments_or_reads_them(bytes: Vec<u8>, given in arguments(), changes in vec(change(), 1..4)) {
        for bytes in [bytes, changed(given.to_bytes(), &changes)] {
            let args = || Args::from_checked("act", &bytes);
            if args().is_ok() {
                let _ = records(args().unwrap());
                let _ = args().unwrap().take_list("list");
                let _ = args().unwrap().take_bytes("bytes");
                let _ = args().unwrap().into_record();
            }
        }
    }

    #[test]
    fn fields_behave_like_a_map(changes in vec(("[a-d]{0,2}", any::<Option<u8>>()), 0..40)) {
        let (mut fields, mut model) = (Fields::new(), BTreeMap::new());
        for (name, number) in changes {
            match number {
                Some(number) => {
                    let value = Value::Integer(number.into());
                    let before = fields.insert(name.as_str(), value.clone());
                    prop_assert_eq!(before, model.insert(name.clone(), value));
                }
                None => prop_assert_eq!(fields.remove(&name), model.remove(&name)),
            }
            prop_assert_eq!(fields.get(&name), model.get(&name));
            prop_assert_eq!(fields.contains(&name), model.contains_key(&name));
            prop_assert_eq!(fields.len(), model.len());
            prop_assert_eq!(fields.is_empty(), model.is_empty());
        }
        let of_model = model.iter().map(|(name, value)| (name.as_str(), value));
        prop_assert!(fields.iter().eq(of_model));
        prop_assert!(fields.clone().into_iter().eq(model.clone()));
        prop_assert_eq!(fields, model.into_iter().rev().collect());
    }
}

#[test]
fn a_refused_record_is_named_by_its_position() {
    let method = method();
    let record = |name| Value::record([(name, Value::Null)]);
    let list = Value::List(vec![record("a"), record("b"), Value::Null]);
    let given = Value::record([("bytes", Value::Text("t".into())), ("list", list)]);
    let bytes = given.to_bytes();
    let refuse = |mut args: Args<'_>, bad: &[u8]| {
        let outcome = args.take_records("list", &mut |record| match record
            .fields()
            .any(|(name, _)| name == bad)
        {
            true => Err("not this one".into()),
            false => Ok(()),
        });
        outcome.unwrap_err().to_string()
    };
    let place = "method `act`, parameter `list`: record";
    let args = || Args::new(&method, &bytes).unwrap();
    assert_eq!(refuse(args(), b"b"), format!("{place} 1: not this one"));
    let found = format!("{place} 2: expected a record, found null");
    assert_eq!(refuse(args(), b""), found);
}

#[test]
fn names_are_in_ascending_order_in_the_arguments_and_in_their_records() {
    let method = method();
    let refused = |error: CallError| {
        let text = error.to_string();
        assert!(text.contains("names in ascending order"), "{text}");
    };
    let twice = b"\x07\x02\x05bytes\x04\x01b\x05bytes\x04\x01b";
    refused(Args::new(&method, twice).unwrap_err());
    // Also if the argument is null, and so left out.
    let not_text = b"\x07\x02\x05bytes\x04\x01b\x04li\x80t\x00";
    let error = Args::new(&method, not_text).unwrap_err().to_string();
    assert!(error.contains("names in UTF-8, found li\\x80t"), "{error}");
    let record = b"\x07\x02\x01a\x00\x01a\x00";
    let list = [&b"\x07\x02\x05bytes\x04\x01b\x04list\x06\x01"[..], record].concat();
    let args = || Args::new(&method, &list).unwrap();
    refused(args().take_list("list").unwrap_err());
    refused(args().into_record().unwrap_err());
    refused(records(args()).1.unwrap_err());
}

/// Bytes are arguments if they are the encoding of a value, however deep its lists and records are.
#[test]
fn arguments_are_as_deep_as_values() {
    let method = method();
    let in_lists =
        |count: usize, inner: Value| (0..count).fold(inner, |inner, _| Value::List(vec![inner]));
    let mut accepted = 0;
    for count in 25..MAX_VALUE_DEPTH + 2 {
        for list in [
            in_lists(count, Value::Null),
            Value::List(vec![Value::record([("a", in_lists(count, Value::Null))])]),
        ] {
            let given = Value::record([("bytes", Value::Text("t".into())), ("list", list.clone())]);
            let bytes = given.to_bytes();
            let args = || Args::new(&method, &bytes);
            let is_value = Value::from_bytes(&bytes).is_ok();
            accepted += usize::from(is_value);
            assert_eq!(args().is_ok(), is_value, "{count}");
            if let Ok(mut taken) = args() {
                assert_eq!(taken.take("list").unwrap().as_ref(), Some(&list), "{count}");
                let (found, outcome) = records(args().unwrap());
                assert_eq!((found, outcome.is_ok()), records_of(Some(&list)), "{count}");
            }
        }
    }
    // 31 levels are left for a list, and 29 for what is in its records.
    assert_eq!(accepted, 7 + 5);
}
