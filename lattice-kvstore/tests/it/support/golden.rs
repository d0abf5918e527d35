//! The committed bytes, made by an independent implementation (`tests/golden/generate.py`).

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;
use std::{format, fs, panic};

/// The lines of a golden file: a name and its byte strings.
pub(crate) fn lines(file: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let bytes = |digits: &str| data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap();
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap().to_owned(), words.map(bytes).collect())
        })
        .collect()
}

/// The first byte string of a line, or an empty one.
pub(crate) fn first(words: &[Vec<u8>]) -> &[u8] {
    words.first().map_or(&[], Vec::as_slice)
}
