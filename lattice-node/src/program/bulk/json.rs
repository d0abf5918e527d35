//! Parses one JSON object on a line and keeps its values as raw text.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::program::context::from_base64;
use crate::program::output::{echo, echo_all};

/// The fields of an object, in order, without duplicates.
#[derive(Debug)]
pub(in crate::program) struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// A name that occurs more than once.
pub(in crate::program) fn duplicate<'a>(
    mut names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name))
}

/// True if a line is blank.
pub(in crate::program) fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii().is_empty()
}

/// Parses a line as one object. The error says what was expected and what was found.
pub(in crate::program) fn object(line: &[u8]) -> Result<Fields<'_>, String> {
    serde_json::from_slice(line).map_err(|error| {
        // serde_json reports the position within this line.
        let text = cut(&error);
        let text = match line.contains(&b'\n') {
            true => text.replace(" at line ", " at its line "),
            false => text.replace(" at line 1 column ", " at column "),
        };
        let is_cut = error.is_eof() && line.trim_ascii_start().first() == Some(&b'{');
        let hint = match is_cut {
            true => "; do objects have several lines? Give --format json",
            false => "",
        };
        format!("expected a JSON object, found {text}{hint}")
    })
}

/// The same for a line of an import, whose format can be wrong.
pub(super) fn fields(line: &[u8]) -> Result<Fields<'_>, String> {
    object(line).map_err(|reason| match line.trim_ascii_start().first() {
        Some(b'{') | None => reason,
        _ => format!("{reason}; is it another --format?"),
    })
}

impl<'a> Fields<'a> {
    /// Removes and returns a field.
    pub(in crate::program) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(place).1)
    }

    /// Removes and returns the first field.
    pub(in crate::program) fn take_first(&mut self) -> Option<(String, &'a RawValue)> {
        match self.0.is_empty() {
            true => None,
            false => Some(self.0.remove(0)),
        }
    }

    /// Removes and returns the field of an object with one field.
    pub(in crate::program) fn take_only(&mut self) -> Option<(String, &'a RawValue)> {
        match self.0.len() {
            1 => self.take_first(),
            _ => None,
        }
    }

    /// The number of fields.
    pub(in crate::program) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes and returns the bytes of field `name`, or of `name_b64` as base64.
    pub(in crate::program) fn take_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
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
    pub(in crate::program) fn left(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }

    /// The names of the fields, for messages.
    pub(in crate::program) fn names(&self) -> String {
        echo_all(self.0.iter().map(|(name, _)| name.as_bytes()))
    }
}

/// The bytes of a value: those of a string, else the JSON text. Null is an error.
pub(in crate::program) fn bytes(name: &str, value: &RawValue) -> Result<Vec<u8>, String> {
    match value.get() {
        "null" => Err(format!("`{name}`: expected a value, found null")),
        text if text.starts_with('"') => serde_json::from_str::<String>(text)
            .map(String::into_bytes)
            .map_err(|error| format!("`{name}`: {}", cut(&error))),
        json => Ok(json.as_bytes().to_vec()),
    }
}

/// The bytes of a key, which is a string or a number.
pub(in crate::program) fn key_bytes(name: &str, value: &RawValue) -> Result<Vec<u8>, String> {
    match value.get().bytes().next() {
        Some(b'"' | b'-' | b'0'..=b'9') => bytes(name, value),
        _ => Err(format!(
            "`{name}`: expected a string or a number as the key, found {}",
            shown(value)
        )),
    }
}

/// The start of a value, for messages.
fn shown(value: &RawValue) -> String {
    echo(value.get().as_bytes())
}

/// The most fields of an object.
const MAX_FIELDS: usize = 65_536;

/// The message of an error of serde_json, which can repeat the input.
fn cut(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.len() <= MAX_ERROR_BYTES {
        return text;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("{}{place}", echo(text.as_bytes()))
}

/// The most bytes of such a message that are shown whole.
const MAX_ERROR_BYTES: usize = 250;

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
                while let Some(field) = map.next_entry::<String, &RawValue>()? {
                    if fields.len() == MAX_FIELDS {
                        let more = format!("more than {MAX_FIELDS} fields");
                        return Err(serde::de::Error::custom(more));
                    }
                    fields.push(field);
                }
                if let Some(name) = duplicate(fields.iter().map(|(name, _)| name.as_str())) {
                    let twice = format!("the field `{}` twice", echo(name.as_bytes()));
                    return Err(serde::de::Error::custom(twice));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
