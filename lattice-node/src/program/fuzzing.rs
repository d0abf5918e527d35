//! Ways for fuzz targets to reach what reads files and arguments. Not part of the library.

use std::io::Cursor;

use super::args::ImportFormat;
use super::{bulk, commands};

/// Reads rows of a file; the choice says how it is written, for which store, and with which columns.
/// Gives how many there are before the end or the first one that is none.
pub fn import(choice: u8, file: &[u8]) -> usize {
    let format = match choice % 3 {
        0 => ImportFormat::Jsonl,
        1 => ImportFormat::Csv,
        _ => ImportFormat::Lines,
    };
    let key = (choice & 4 != 0).then(|| "key".to_owned());
    let value = (choice & 8 != 0).then(|| "value".to_owned());
    bulk::count_rows(
        format,
        choice & 16 != 0,
        key,
        value,
        Cursor::new(file.to_vec()),
    )
}

/// Reads JSON as a value of a call by name; what it is printed as is read as the same value.
pub fn value(json: &[u8]) {
    commands::check_value(json);
}
