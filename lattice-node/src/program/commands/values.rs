//! Converts values of calls by name to JSON and text, and back from JSON.
//!
//! In a record, a byte string has its field's name if it is UTF-8; else the name ends in `_b64` and
//! the value is base64. Elsewhere a byte string that is not UTF-8 is an object with the single
//! field `b64`.

use data_encoding::BASE64;
use lattice_backend::machine::{Fields, Value};
use serde_json::{Map, Value as Json, json};

use crate::program::context::from_base64;
use crate::program::output::{escape, json_bytes, json_text};

/// The suffix of the names of base64 fields.
pub(super) const B64_SUFFIX: &str = "_b64";
const B64: &str = "b64";

/// Converts a value to JSON.
pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        // No store type returns an integer that fits neither `u64` nor `i64`.
        Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => Json::String(number.to_string()),
        },
        Value::Text(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Json::String(text.into()),
            Err(_) => json!({ B64: BASE64.encode(bytes) }),
        },
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Record(fields) => {
            let mut object = Map::new();
            for (name, value) in fields.iter() {
                match value {
                    Value::Bytes(bytes) => json_bytes(&mut object, name, bytes),
                    value => {
                        object.insert(name.into(), to_json(value));
                    }
                }
            }
            Json::Object(object)
        }
        other => Json::String(format!("{other:?}")),
    }
}

/// The receipt of a command as JSON, in the form that the program prints for its own commands.
pub(super) fn called(receipt: &Value) -> Json {
    let mut json = to_json(receipt);
    if let Some(seq) = json.get_mut("seq").filter(|seq| seq.is_u64()) {
        *seq = seq.to_string().into();
    }
    json
}

/// Converts JSON to a value. The error names the part that is not a value.
pub(super) fn from_json(json: Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Integer(number.into()),
            (_, Some(number)) => Value::Integer(number.into()),
            _ => return Err(format!("expected an integer of 64 bits, found {number}")),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(values) => Value::List(
            values
                .into_iter()
                .map(from_json)
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => match only_base64(&object) {
            Some(text) => Value::Bytes(from_base64(text.as_bytes())?),
            None => {
                let mut fields = Fields::new();
                for (name, json) in object {
                    let (name, value) = field(name, json)?;
                    if fields.contains(&name) {
                        return Err(format!("{name} is given twice, as text and in base64"));
                    }
                    fields.insert(name, value);
                }
                Value::Record(fields)
            }
        },
    })
}

fn only_base64(object: &Map<String, Json>) -> Option<&str> {
    match object.len() {
        1 => object.get(B64)?.as_str(),
        _ => None,
    }
}

/// Converts a field of a record; a name that ends in `_b64` is that of bytes.
pub(super) fn field(name: String, json: Json) -> Result<(String, Value), String> {
    match (name.strip_suffix(B64_SUFFIX), &json) {
        (Some(plain), Json::String(text)) if !plain.is_empty() => {
            let bytes =
                from_base64(text.as_bytes()).map_err(|reason| format!("{name}: {reason}"))?;
            Ok((plain.to_owned(), Value::Bytes(bytes)))
        }
        _ => Ok((name, from_json(json)?)),
    }
}

/// Parses a value, prints it, and parses the output again.
#[cfg(feature = "fuzzing")]
pub(in crate::program) fn check(json: &[u8]) {
    let read = serde_json::from_slice::<Json>(json).ok();
    let Some(value) = read.and_then(|json| from_json(json).ok()) else {
        return;
    };
    let shown = to_json(&value);
    let again = from_json(shown.clone()).expect("what was printed is a value");
    // Bytes that are UTF-8 come back as text.
    assert_eq!(to_json(&again), shown);
    let line = in_line(&value);
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

/// A value on one line: bytes and texts are escaped, values with parts are JSON.
pub(super) fn in_line(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => escape(bytes),
        Value::Text(text) => escape(text.as_bytes()),
        value => json_text(&to_json(value)),
    }
}

/// The fields of a record on one line.
pub(super) fn fields_in_line(fields: &Fields) -> String {
    let field =
        |(name, value): (&str, _)| format!("{}={}", escape(name.as_bytes()), in_line(value));
    fields.iter().map(field).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_through_json_unchanged() {
        let value = Value::record([
            ("null", Value::Null),
            ("truth", Value::Bool(true)),
            ("least", Value::Integer(i64::MIN.into())),
            ("greatest", Value::Integer(u64::MAX.into())),
            ("text", Value::Text("\u{1b} grün".into())),
            ("raw", Value::Bytes(vec![0, 255])),
            (
                "list",
                Value::List(vec![
                    Value::Bytes(vec![254]),
                    Value::record([("key", Value::Bytes(vec![253]))]),
                    Value::List(Vec::new()),
                ]),
            ),
        ]);
        let json = to_json(&value);
        assert_eq!(json["raw_b64"], "AP8=");
        assert_eq!(json["list"][0], json!({ "b64": "/g==" }));
        assert_eq!(from_json(json), Ok(value));
    }

    #[test]
    fn json_that_is_not_a_value_is_refused() {
        for (json, said) in [
            (json!(1.5), "found 1.5"),
            (json!([{ "b64": "?" }]), "base64"),
            (json!({ "key_b64": "AA" }), "key_b64"),
        ] {
            let error = from_json(json).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        let twice = serde_json::json!({ "key": "x", "key_b64": "eQ==" });
        let refused = from_json(twice).unwrap_err();
        assert!(refused.contains("key is given twice"), "{refused}");
    }
}
