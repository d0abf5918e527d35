//! Comma-separated values (RFC 4180) with a header line.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::Stop;
use super::json::duplicate;
use super::line_count::{LineCount, LineEnds};
use super::rows::{Row, Shape};
use crate::program::output::{echo, echo_all};

/// The column names, without duplicates.
pub(super) struct Columns(Vec<String>);

/// The selected columns. Without a value column, the value is the whole record as a JSON object.
pub(super) struct Picked {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
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

    /// The index of a column.
    pub(super) fn place(&self, name: &str) -> Result<usize, String> {
        let place = self.0.iter().position(|known| known == name);
        place.ok_or_else(|| {
            let name = echo(name.as_bytes());
            format!("expected a column `{name}`, found {}", self.names())
        })
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
    shape: Shape,
) -> Result<impl Iterator<Item = Result<(u64, R), Stop>>, Stop> {
    let (reader, ends) = LineCount::new(reader);
    let mut reader = ReaderBuilder::new().from_reader(reader);
    let header = reader
        .byte_headers()
        .map_err(|error| stop(&ends, error))?
        .clone();
    let first = |reason| Stop::Broken { line: 1, reason };
    if let Some((_, reason)) = ends.bad_quote(reader.position().byte()) {
        return Err(first(reason.into()));
    }
    ends.begin(reader.position().byte());
    if header.is_empty() {
        return Err(first("expected column names, found nothing".into()));
    }
    let columns = Columns::new(&header).map_err(first)?;
    let picked = R::pick(&columns, &shape).map_err(first)?;
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
        if let Some((line, reason)) = self.ends.bad_quote(end) {
            return Err(Stop::Broken {
                line,
                reason: reason.into(),
            });
        }
        self.ends.begin(end);
        let line = line_of(&self.ends, record.position());
        let cell = |place: usize| record[place].to_vec();
        let value = match self.picked.value {
            Some(place) => Ok(cell(place)),
            None => self.columns.object(&record),
        };
        value
            .and_then(|value| T::from_cells(self.picked.key.map(cell), value))
            .map(|row| Some((line, row)))
            .map_err(|reason| Stop::Broken { line, reason })
    }
}

fn line_of(ends: &LineEnds, position: Option<&Position>) -> u64 {
    ends.line_from(position.map_or(0, Position::byte))
}

fn stop(ends: &LineEnds, error: csv::Error) -> Stop {
    if let Some((line, reason)) = ends.too_long() {
        return Stop::Broken { line, reason };
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
