//! Writes exported rows as JSON Lines or as a table, compressed or not.

use std::io::{self, Write};

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use lattice_backend::backend::BackendError;
use serde_json::{Map, Value};

use crate::program::failure::Failure;
use crate::program::output::{json_base64, json_bytes, json_text};
use crate::program::pipes::Sink;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// The delimiter of a table; `None` for JSON Lines.
    pub(super) delimiter: Option<u8>,
    /// All bytes are in base64, and not only those that are not UTF-8.
    pub(super) is_base64: bool,
    pub(super) is_gzip: bool,
}

/// A value of a row, in the order of the columns.
pub(super) enum Field<'a> {
    /// Bytes of the store.
    Bytes(&'static str, &'a [u8]),
    /// What the program says about the row.
    Known(&'static str, Value),
}

/// Why no more rows are written.
pub(super) enum Ended {
    Write(io::Error),
    Read(BackendError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<BackendError> for Ended {
    fn from(error: BackendError) -> Self {
        Self::Read(error)
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) rows: u64,
    /// Rows of a table with bytes that are not UTF-8.
    pub(super) not_utf8: u64,
}

/// Writes all rows that `rows` passes to its argument.
pub(super) fn write_rows(
    sink: &mut Sink<'_>,
    form: Form,
    rows: impl FnOnce(&mut Rows<'_>) -> Result<(), Ended>,
) -> Result<Written, Failure> {
    let written = match form.is_gzip {
        false => to_end(&mut *sink, form, rows),
        true => {
            let mut packed = GzEncoder::new(&mut *sink, Compression::default());
            to_end(&mut packed, form, rows)
                .and_then(|written| packed.finish().map(|_| written).map_err(Ended::from))
        }
    };
    written.map_err(|ended| match ended {
        Ended::Write(error) => sink.failed(error),
        Ended::Read(error) => error.into(),
    })
}

fn to_end(
    out: &mut dyn Write,
    form: Form,
    rows: impl FnOnce(&mut Rows<'_>) -> Result<(), Ended>,
) -> Result<Written, Ended> {
    let out = match form.delimiter {
        None => Out::Lines(out),
        Some(delimiter) => {
            let table = csv::WriterBuilder::new()
                .delimiter(delimiter)
                .from_writer(out);
            Out::Table(Box::new(table))
        }
    };
    let mut to = Rows {
        out,
        form,
        written: Written::default(),
    };
    rows(&mut to)?;
    if let Out::Table(table) = &mut to.out {
        table.flush()?;
    }
    Ok(to.written)
}

enum Out<'a> {
    Lines(&'a mut dyn Write),
    Table(Box<csv::Writer<&'a mut dyn Write>>),
}

/// Takes rows.
pub(super) struct Rows<'a> {
    out: Out<'a>,
    form: Form,
    written: Written,
}

impl Rows<'_> {
    /// Writes the column names of a table, whose rows have these fields. A table without rows has
    /// them too.
    pub(super) fn columns(&mut self, names: &[&'static str]) -> Result<(), Ended> {
        let is_base64 = self.form.is_base64;
        let Out::Table(table) = &mut self.out else {
            return Ok(());
        };
        let name = |name: &&str| match is_base64 && BYTES.contains(name) {
            true => format!("{name}_b64"),
            false => (*name).to_owned(),
        };
        let written = table.write_record(names.iter().map(name));
        written.map_err(|error| Ended::Write(error.into()))
    }

    /// Writes one row.
    pub(super) fn row(&mut self, fields: &[Field<'_>]) -> Result<(), Ended> {
        self.written.rows += 1;
        let is_base64 = self.form.is_base64;
        match &mut self.out {
            Out::Lines(out) => {
                let mut object = Map::new();
                for field in fields {
                    match field {
                        Field::Bytes(name, bytes) if is_base64 => {
                            json_base64(&mut object, name, bytes);
                        }
                        Field::Bytes(name, bytes) => json_bytes(&mut object, name, bytes),
                        Field::Known(name, value) => {
                            object.insert((*name).to_owned(), value.clone());
                        }
                    }
                }
                writeln!(out, "{}", json_text(&object.into()))?;
            }
            Out::Table(table) => {
                let mut is_utf8 = true;
                for field in fields {
                    let written = match field {
                        Field::Bytes(_, bytes) if is_base64 => {
                            table.write_field(BASE64.encode(bytes))
                        }
                        Field::Bytes(_, bytes) => {
                            is_utf8 &= std::str::from_utf8(bytes).is_ok();
                            table.write_field(bytes)
                        }
                        Field::Known(_, Value::String(text)) => table.write_field(text),
                        Field::Known(_, value) => table.write_field(value.to_string()),
                    };
                    written.map_err(|error| Ended::Write(error.into()))?;
                }
                let ended = table.write_record(None::<&[u8]>);
                ended.map_err(|error| Ended::Write(error.into()))?;
                self.written.not_utf8 += u64::from(!is_utf8);
            }
        }
        Ok(())
    }
}

/// The columns with bytes of the store.
const BYTES: [&str; 3] = ["key", "value", "content"];
