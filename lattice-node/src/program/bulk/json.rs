//! Parses one JSON object on a line and keeps its values as raw text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::program::context::from_base64;
use crate::program::output::escape;

/// The fields of an object, in order, without duplicates.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// True if a line is blank.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii().is_empty()
}

/// Parses a line as one object. The error says what was expected and what was found.
pub(super) fn fields(line: &[u8]) -> Result<Fields<'_>, String> {
    serde_json::from_slice(line).map_err(|error| {
        let first = line.trim_ascii_start().first();
        let hint = match first {
            Some(b'{') | None => "",
            _ => "; is it another --format?",
        };
        // serde_json reports the position within this line.
        let text = error.to_string();
        let text = text.replace(" at line 1 column ", " at column ");
        format!("expected a JSON object, found {text}{hint}")
    })
}

impl<'a> Fields<'a> {
    /// Removes and returns a field.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(place).1)
    }

    /// Removes and returns the bytes of field `name`, or of `name_b64` as base64.
    pub(super) fn take_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let encoded = format!("{name}_b64");
        match (self.take(name), self.take(&encoded)) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(format!(
                "expected one of `{name}` and `{encoded}`, found both"
            )),
            (Some(value), None) => bytes(name, value).map(Some),
            (None, Some(value)) => {
                let text: String = serde_json::from_str(value.get()).map_err(|_| {
                    format!(
                        "`{encoded}`: expected a string in base64, found {}",
                        shown(value)
                    )
                })?;
                from_base64(text.as_bytes())
                    .map(Some)
                    .map_err(|reason| format!("`{encoded}`: {reason}"))
            }
        }
    }

    /// The first remaining field.
    pub(super) fn left(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }

    /// The names of the fields, for messages.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .map(|(name, _)| escape(name.as_bytes()))
            .collect();
        names.join(", ")
    }
}

/// The bytes of a value: those of a string, else the JSON text. Null is an error.
pub(super) fn bytes(name: &str, value: &RawValue) -> Result<Vec<u8>, String> {
    match value.get() {
        "null" => Err(format!("`{name}`: expected a value, found null")),
        text if text.starts_with('"') => serde_json::from_str::<String>(text)
            .map(String::into_bytes)
            .map_err(|error| format!("`{name}`: {error}")),
        json => Ok(json.as_bytes().to_vec()),
    }
}

/// The bytes of a key, which is a string or a number.
pub(super) fn key_bytes(name: &str, value: &RawValue) -> Result<Vec<u8>, String> {
    match value.get().bytes().next() {
        Some(b'"' | b'-' | b'0'..=b'9') => bytes(name, value),
        _ => Err(format!(
            "`{name}`: expected a string or a number as the key, found {}",
            shown(value)
        )),
    }
}

/// The first 40 characters of a value, for messages.
fn shown(value: &RawValue) -> String {
    let text: String = value.get().chars().take(40).collect();
    escape(text.as_bytes())
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.iter().any(|(found, _)| *found == name) {
                        let twice = format!("the field `{name}` twice");
                        return Err(serde::de::Error::custom(twice));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
