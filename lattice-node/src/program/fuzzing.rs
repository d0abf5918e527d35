//! Entry points for fuzz targets to the parsers of files and arguments. Not part of the library's
//! API.

use std::io::Cursor;

use super::{bulk, commands};

/// Parses rows of a file. `choice` selects the format, the store type and the columns. Returns how
/// many rows come before the end or the first invalid one.
pub fn import(choice: u8, file: &[u8]) -> usize {
    // The two highest bits add the form that the first ones could not name.
    let layout = match choice & 0xc0 {
        0xc0 => 3,
        _ => choice % 3,
    };
    let key = (choice & 4 != 0).then(|| "key".to_owned());
    let value = (choice & 8 != 0).then(|| "value".to_owned());
    bulk::count_rows(
        layout,
        choice & 16 != 0,
        key,
        value,
        Cursor::new(file.to_vec()),
    )
}

/// Parses JSON as a value of a call by name, and checks that its output parses as the same value.
pub fn value(json: &[u8]) {
    commands::check_value(json);
}
