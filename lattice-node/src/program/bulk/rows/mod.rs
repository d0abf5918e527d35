//! Converts rows of a file to commands of a store type.

use lattice_backend::clock::Time;
use lattice_backend::op::MAX_PAYLOAD_BYTES;
use lattice_kvstore::Command;
use lattice_kvstore::MAX_KEY_BYTES;
use lattice_logstore::Append;
use lattice_registry::TypedStore;

use super::instant;
use super::json::{self, Fields};
use super::source::Layout;
use super::table::{Columns, Picked};
use crate::program::failure::Failure;
use crate::program::output::echo;
use crate::{KvStore, LogStore};

/// The columns or fields that the user selected.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    /// Of a log: the time of the source.
    pub(super) time: Option<String>,
}

/// The command type of a store type.
type CommandOf<S> = <<S as TypedStore>::Machine as lattice_backend::machine::StateMachine>::Command;

/// A row for stores of one type. A `String` error says what was expected and what was found.
pub(super) trait Row: Sized + 'static {
    /// The type's handle.
    type Store: TypedStore<Machine: lattice_backend::machine::StateMachine<Refusal: Sized>>;
    /// The nouns for one row and for several.
    const NOUNS: (&'static str, &'static str);

    /// Rejects options that have no meaning for this type.
    fn check(layout: Layout, shape: &Shape) -> Result<(), Failure>;

    /// Parses a line of JSON, given with its fields.
    fn from_object(line: &[u8], fields: Fields<'_>, shape: &Shape) -> Result<Self, String>;

    /// Parses a plain line.
    fn from_line(line: Vec<u8>) -> Result<Self, String>;

    /// Selects the columns of a table.
    fn pick(columns: &Columns, shape: &Shape) -> Result<Picked, String>;

    /// Builds a row from the selected columns.
    fn from_cells(key: Option<Vec<u8>>, value: Vec<u8>) -> Result<Self, String>;

    /// The length in an op, in bytes.
    fn len_bytes(&self) -> usize;

    /// The command that writes these rows.
    fn command(rows: Vec<Self>) -> CommandOf<Self::Store>;
}

/// Refuses a row that no op has room for. The last few bytes of the limit are for the op's own
/// encoding, so the store can still refuse a row.
fn check_length(found: usize) -> Result<(), String> {
    match found <= MAX_PAYLOAD_BYTES {
        true => Ok(()),
        false => Err(format!(
            "expected at most {MAX_PAYLOAD_BYTES} bytes, found {found}"
        )),
    }
}

/// A key and its value.
pub(super) struct KvRow {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl KvRow {
    fn new(key: Vec<u8>, value: Vec<u8>) -> Result<Self, String> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            let found = key.len();
            return Err(format!(
                "expected a key of 1 to {MAX_KEY_BYTES} bytes, found {found}"
            ));
        }
        check_length(key.len() + value.len())?;
        Ok(Self { key, value })
    }
}

impl Row for KvRow {
    type Store = KvStore;
    const NOUNS: (&'static str, &'static str) = ("row", "rows");

    fn check(layout: Layout, shape: &Shape) -> Result<(), Failure> {
        if shape.time.is_some() {
            return Err(Failure::usage("keys have no times; --time is for logs"));
        }
        if layout == Layout::Lines && (shape.key.is_some() || shape.value.is_some()) {
            return Err(Failure::usage(
                "plain lines are a key, a tab and a value; omit --key and --value",
            ));
        }
        if shape.value.is_some() && shape.key.is_none() {
            return Err(Failure::usage(
                "--value needs --key, which names the column or field with the key",
            ));
        }
        Ok(())
    }

    fn from_object(line: &[u8], mut fields: Fields<'_>, shape: &Shape) -> Result<Self, String> {
        let Some(name) = &shape.key else {
            let names = fields.names();
            let key = fields.take_bytes("key")?;
            let value = fields.take_bytes("value")?;
            fields.take(DOUBT);
            return match (key, value, fields.left()) {
                (Some(key), Some(value), None) => Self::new(key, value),
                _ => Err(format!(
                    "expected the fields `key` and `value`, or either with _b64, found {names}; --key \
                     selects another field"
                )),
            };
        };
        let names = fields.names();
        let missing = |name: &str| format!("expected a field `{name}`, found {names}");
        let key = fields.take(name).ok_or_else(|| missing(name))?;
        let key = json::key_bytes(name, key)?;
        match &shape.value {
            None => Self::new(key, line.trim_ascii().to_vec()),
            Some(name) => {
                let value = fields.take(name).ok_or_else(|| missing(name))?;
                Self::new(key, json::bytes(name, value)?)
            }
        }
    }

    fn from_line(line: Vec<u8>) -> Result<Self, String> {
        match line.iter().position(|byte| *byte == b'\t') {
            Some(tab) => Self::new(line[..tab].to_vec(), line[tab + 1..].to_vec()),
            None => {
                let shown = echo(&line);
                Err(format!(
                    "expected a key, a tab and a value, found no tab in \"{shown}\""
                ))
            }
        }
    }

    fn pick(columns: &Columns, shape: &Shape) -> Result<Picked, String> {
        let value = shape.value.as_deref();
        match &shape.key {
            Some(key) => Ok(Picked {
                key: Some(columns.cell(key)?),
                value: value.map(|value| columns.cell(value)).transpose()?,
            }),
            None => match (columns.exported("key"), columns.exported("value")) {
                (Some(key), Some(value)) => Ok(Picked {
                    key: Some(key),
                    value: Some(value),
                }),
                _ => Err(format!(
                    "expected the columns `key` and `value`, or either with _b64, found {}; --key \
                     selects another column{}",
                    columns.names(),
                    columns.delimiter_hint()
                )),
            },
        }
    }

    fn from_cells(key: Option<Vec<u8>>, value: Vec<u8>) -> Result<Self, String> {
        Self::new(key.ok_or("expected a key, found none")?, value)
    }

    fn len_bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    fn command(rows: Vec<Self>) -> Command {
        let mut command = Command::new();
        for row in rows {
            command.put(row.key, row.value);
        }
        command
    }
}

/// An entry of a log.
pub(super) struct LogRow(Vec<u8>);

impl LogRow {
    /// An entry that begins with the time of its source, if that is given.
    fn at(time: Option<Vec<u8>>, content: Vec<u8>) -> Result<Self, String> {
        let Some(time) = time else {
            return Self::new(content);
        };
        let ms = std::str::from_utf8(&time).ok().and_then(|text| {
            let text = text.trim_ascii();
            instant::parse(text)
        });
        let ms = ms.ok_or_else(|| {
            format!(
                "expected a time in milliseconds since 1970 or as 2026-01-31T23:59:59Z, found {}",
                echo(&time)
            )
        })?;
        let mut entry = format!("{} ", Time::from_ms(ms)).into_bytes();
        entry.extend_from_slice(&content);
        Self::new(entry)
    }

    fn new(content: Vec<u8>) -> Result<Self, String> {
        check_length(content.len())?;
        Ok(Self(content))
    }
}

/// The field that `salvage` adds to rows, which is not imported.
const DOUBT: &str = "doubt";

/// Fields of an exported entry that an import ignores, because it assigns new ones.
/// Before version 0.1, `entry` was called `index`.
const NOT_IMPORTED: [&str; 4] = ["entry", "index", "time", "author"];

impl Row for LogRow {
    type Store = LogStore;
    const NOUNS: (&'static str, &'static str) = ("entry", "entries");

    fn check(layout: Layout, shape: &Shape) -> Result<(), Failure> {
        if shape.key.is_some() {
            return Err(Failure::usage("log entries have no keys; omit --key"));
        }
        if layout == Layout::Lines && (shape.value.is_some() || shape.time.is_some()) {
            return Err(Failure::usage(
                "plain lines are one entry each; omit --value and --time",
            ));
        }
        Ok(())
    }

    fn from_object(_: &[u8], mut fields: Fields<'_>, shape: &Shape) -> Result<Self, String> {
        let names = fields.names();
        let mut named = |name: &str| match fields.take(name) {
            Some(value) => json::bytes(name, value),
            None => Err(format!("expected a field `{name}`, found {names}")),
        };
        let time = shape.time.as_deref().map(&mut named).transpose()?;
        if let Some(name) = &shape.value {
            return Self::at(time, named(name)?);
        }
        let content = fields.take_bytes("content")?;
        fields.take(DOUBT);
        for name in NOT_IMPORTED {
            fields.take(name);
        }
        match (content, fields.left()) {
            (Some(content), None) => Self::at(time, content),
            _ => Err(format!(
                "expected the field `content` or `content_b64`, found {names}; --value selects another \
                 field, and --format lines imports every line unchanged"
            )),
        }
    }

    fn from_line(line: Vec<u8>) -> Result<Self, String> {
        Self::new(line)
    }

    fn pick(columns: &Columns, shape: &Shape) -> Result<Picked, String> {
        let value = shape.value.as_deref();
        let value = match value {
            Some(value) => Some(columns.cell(value)?),
            // What `export` writes is read as entries again; any other record becomes an object.
            None => columns.exported("content").filter(|content| {
                columns
                    .are_all(|name, place| place == content.place() || NOT_IMPORTED.contains(&name))
            }),
        };
        // An entry has no key; its time takes the place.
        let time = shape.time.as_deref();
        let key = time.map(|time| columns.cell(time)).transpose()?;
        Ok(Picked { key, value })
    }

    fn from_cells(time: Option<Vec<u8>>, value: Vec<u8>) -> Result<Self, String> {
        Self::at(time, value)
    }

    fn len_bytes(&self) -> usize {
        self.0.len()
    }

    fn command(rows: Vec<Self>) -> Append {
        Append {
            entries: rows.into_iter().map(|row| row.0).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
