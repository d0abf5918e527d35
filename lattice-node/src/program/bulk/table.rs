//! Comma-separated values (RFC 4180) with a header line.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::Stop;
use super::json::duplicate;
use super::line_count::{LineCount, LineEnds};
use super::rows::{Row, Shape};
use crate::program::context::from_base64;
use crate::program::output::{echo, echo_all};

/// The column names, without duplicates.
pub(super) struct Columns(Vec<String>);

/// A selected column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    place: usize,
    is_base64: bool,
}

/// The selected columns. Without a value column, the value is the whole record as a JSON object.
pub(super) struct Picked {
    pub(super) key: Option<Cell>,
    pub(super) value: Option<Cell>,
}

impl Cell {
    /// The index of the column.
    pub(super) const fn place(&self) -> usize {
        self.place
    }

    fn bytes(self, columns: &Columns, record: &ByteRecord) -> Result<Vec<u8>, String> {
        let cell = &record[self.place];
        match self.is_base64 {
            false => Ok(cell.to_vec()),
            true => {
                from_base64(cell).map_err(|reason| format!("`{}`: {reason}", columns.0[self.place]))
            }
        }
    }
}

impl Columns {
    fn new(record: &ByteRecord) -> Result<Self, String> {
        let mut names = Vec::<String>::with_capacity(record.len());
        for name in record {
            let name = std::str::from_utf8(name)
                .map_err(|_| format!("expected column names in UTF-8, found {}", echo(name)))?;
            names.push(name.to_owned());
        }
        match duplicate(names.iter().map(String::as_str)) {
            Some(name) => Err(format!(
                "expected different column names, found `{}` twice",
                echo(name.as_bytes())
            )),
            None => Ok(Self(names)),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// A column that the user named. Its cells are taken unchanged.
    pub(super) fn cell(&self, name: &str) -> Result<Cell, String> {
        let place = self.place(name).ok_or_else(|| {
            let (name, hint) = (echo(name.as_bytes()), self.delimiter_hint());
            format!("expected a column `{name}`, found {}{hint}", self.names())
        })?;
        Ok(Cell {
            place,
            is_base64: false,
        })
    }

    /// A column as `export` names it: `name`, or `name_b64` with base64. Not both.
    pub(super) fn exported(&self, name: &str) -> Option<Cell> {
        let plain = self.place(name).map(|place| (place, false));
        let encoded = self
            .place(&format!("{name}_b64"))
            .map(|place| (place, true));
        let (place, is_base64) = plain.xor(encoded)?;
        Some(Cell { place, is_base64 })
    }

    /// Whether a condition holds for the name and the index of every column.
    pub(super) fn are_all(&self, condition: impl Fn(&str, usize) -> bool) -> bool {
        let mut columns = self.0.iter().enumerate();
        columns.all(|(place, name)| condition(name, place))
    }

    /// If there is one column, asks whether a character in its name is the delimiter.
    pub(super) fn delimiter_hint(&self) -> String {
        let [only] = &self.0[..] else {
            return String::new();
        };
        match [(';', ";"), ('\t', "\\t"), ('|', "|"), (',', ",")]
            .into_iter()
            .find(|(delimiter, _)| only.contains(*delimiter))
        {
            Some((_, shown)) => format!("; is it --delimiter '{shown}'?"),
            None => String::new(),
        }
    }

    /// The column names, for messages.
    pub(super) fn names(&self) -> String {
        echo_all(self.0.iter().map(String::as_bytes))
    }

    fn object(&self, record: &ByteRecord) -> Result<Vec<u8>, String> {
        let mut object = Map::new();
        for (name, cell) in self.0.iter().zip(record) {
            let text = std::str::from_utf8(cell).map_err(|_| {
                let (name, found) = (echo(name.as_bytes()), echo(cell));
                format!("expected UTF-8 in column `{name}`, found {found}; --value imports one column unchanged")
            })?;
            object.insert(name.clone(), Value::from(text));
        }
        Ok(Value::Object(object).to_string().into_bytes())
    }
}

/// A table being read.
struct Table<R: Read> {
    reader: Reader<LineCount<R>>,
    ends: LineEnds,
    columns: Columns,
    picked: Picked,
}

/// The rows of a table. Reads the header line and selects the columns before it returns.
pub(super) fn rows<R: Row>(
    reader: impl Read + 'static,
    delimiter: u8,
    shape: Shape,
) -> Result<impl Iterator<Item = Result<(u64, R), Stop>>, Stop> {
    let (reader, ends) = LineCount::new(reader, delimiter);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(reader);
    let header = reader
        .byte_headers()
        .map_err(|error| stop(&ends, error))?
        .clone();
    let first = |reason| Stop::Lost { line: 1, reason };
    if let Some(bad) = ends.bad_quote(reader.position().byte()) {
        return Err(first(bad.reason.into()));
    }
    ends.begin(reader.position().byte());
    if header.is_empty() {
        return Err(first("expected column names, found nothing".into()));
    }
    let columns = Columns::new(&header).map_err(first)?;
    let picked = R::pick(&columns, &shape).map_err(|reason| {
        first(match delimiter {
            b'\t' => format!("{reason}; --format lines reads lines without column names"),
            _ => reason,
        })
    })?;
    let mut table = Table {
        reader,
        ends,
        columns,
        picked,
    };
    Ok(std::iter::from_fn(move || table.next().transpose()))
}

impl<R: Read> Table<R> {
    fn next<T: Row>(&mut self) -> Result<Option<(u64, T)>, Stop> {
        let mut record = ByteRecord::new();
        let read = self.reader.read_byte_record(&mut record);
        if !read.map_err(|error| stop(&self.ends, error))? {
            return Ok(None);
        }
        let end = self.reader.position().byte();
        if let Some(bad) = self.ends.bad_quote(end) {
            self.ends.begin(end);
            return Err(bad.into_stop());
        }
        self.ends.begin(end);
        let line = line_of(&self.ends, record.position());
        let cell = |cell: Cell| cell.bytes(&self.columns, &record);
        let row = || {
            let key = self.picked.key.map(cell).transpose()?;
            let value = match self.picked.value {
                Some(value) => cell(value)?,
                None => self.columns.object(&record)?,
            };
            T::from_cells(key, value)
        };
        row()
            .map(|row| Some((line, row)))
            .map_err(|reason| Stop::Broken { line, reason })
    }
}

fn line_of(ends: &LineEnds, position: Option<&Position>) -> u64 {
    ends.line_from(position.map_or(0, Position::byte))
}

fn stop(ends: &LineEnds, error: csv::Error) -> Stop {
    if let Some((line, reason)) = ends.too_long() {
        return Stop::Lost { line, reason };
    }
    let line = line_of(ends, error.position());
    let reason = match error.into_kind() {
        ErrorKind::Io(error) => return Stop::Read(error),
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("expected {expected_len} columns, found {len}"),
        other => format!("expected a record, found {other:?}"),
    };
    Stop::Broken { line, reason }
}
