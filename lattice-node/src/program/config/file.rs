//! The entries of the file, with their lines.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::program::output::echo;

/// A key and its value.
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: Written,
    /// The value as it is written.
    pub(super) shown: String,
}

/// A value of the file.
pub(super) enum Written {
    Number(String),
    /// A text without its quotes.
    Text(String),
    /// What no setting takes.
    Other,
}

/// What is in the file.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    pub(super) errors: Vec<ConfigError>,
}

/// A longer file is not one of settings.
const MAX_BYTES: u64 = 64 << 10;

/// Reads the file. A missing file has no entries; nor has one in a directory that cannot be
/// searched, of which the command itself says more.
pub(super) fn read(path: &Path) -> Entries {
    if fs::symlink_metadata(path).is_err() {
        return Entries::default();
    }
    match contents(path) {
        Ok(text) => parse(path, &text),
        Err(error) => Entries {
            entries: Vec::new(),
            errors: vec![ConfigError::Read {
                path: path.to_path_buf(),
                found: error.to_string(),
            }],
        },
    }
}

fn contents(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MAX_BYTES} bytes"
        )));
    }
    String::from_utf8(fs::read(path)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn parse(path: &Path, text: &str) -> Entries {
    let line = |span: Range<usize>| {
        let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: error.span().map_or(1, line),
        found: error.message().to_owned(),
    };
    let errors: Vec<_> = errors.into_iter().map(syntax).collect();
    if !errors.is_empty() {
        // What is left of the file may not be what the user means.
        return Entries {
            entries: Vec::new(),
            errors,
        };
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (key, value) in table.get_ref() {
        let written = text.get(value.span()).unwrap_or("");
        let kind = match value.get_ref() {
            DeValue::String(text) => Written::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => {
                Written::Number(number.as_str().to_owned())
            }
            _ => Written::Other,
        };
        entries.push(Entry {
            line: line(key.span()),
            key: echo(key.get_ref().as_bytes()),
            value: kind,
            shown: echo(written.as_bytes()),
        });
    }
    entries.sort_by_key(|entry| entry.line);
    Entries {
        entries,
        errors: Vec::new(),
    }
}
