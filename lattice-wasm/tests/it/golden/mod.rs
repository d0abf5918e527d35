//! The committed bytes of the interface, made by an independent implementation
//! (`tests/golden/generate.py`).

mod calls;
mod histories;
mod manifests;
mod values;

use std::path::Path;

/// The lines of a golden file of this crate: a name and its byte strings.
fn lines(file: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    lines_of(&dir.join(file))
}

/// The lines of any golden file.
fn lines_of(path: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bytes = |word: &str| match word {
        "empty" => Vec::new(),
        digits => data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap(),
    };
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            (name, words.map(bytes).collect())
        })
        .collect()
}

/// The lines of a golden file that has one byte string under each name.
fn fields(file: &str) -> Vec<(String, Vec<u8>)> {
    let lines = lines(file).into_iter();
    lines
        .map(|(name, words)| match <[Vec<u8>; 1]>::try_from(words) {
            Ok([bytes]) => (name, bytes),
            Err(words) => panic!("{file}: {name} has {} byte strings", words.len()),
        })
        .collect()
}

/// The byte string with this name.
fn field(file: &str, name: &str) -> Vec<u8> {
    let mut fields = fields(file).into_iter();
    let found = fields.find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("{file} has no {name}")).1
}
