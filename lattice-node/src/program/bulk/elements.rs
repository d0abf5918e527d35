//! Splits JSON text into its values: the elements of an array, or values one after another.

use std::io::{BufRead, BufReader, Read};

use super::{BYTE_ORDER_MARK, MAX_LINE_BYTES, Stop};

/// The values of a JSON text, each with the number of its first line, from 1. Keeps one value in
/// memory. Only strings and brackets are understood: whether a value is valid is seen when it is
/// parsed. Ends after an error.
pub(super) struct Elements<R> {
    reader: BufReader<R>,
    line: u64,
    place: Place,
    max_bytes: usize,
    has_failed: bool,
}

/// What can come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// A value or the end: this is no array.
    Value,
    /// The first element of an array, or its end.
    First,
    /// An element.
    Element,
    /// A comma or the end of the array.
    Comma,
    /// The end of the text.
    End,
}

impl<R: Read> Elements<R> {
    pub(super) fn new(reader: R) -> Self {
        Self::limited(reader, MAX_LINE_BYTES)
    }

    fn limited(reader: R, max_bytes: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: 1,
            place: Place::Start,
            max_bytes,
            has_failed: false,
        }
    }

    fn lost<T>(line: u64, reason: impl Into<String>) -> Result<T, Stop> {
        let reason = reason.into();
        Err(Stop::Lost { line, reason })
    }

    /// The next byte, which stays.
    fn peek(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Read(error)),
            }
        }
    }

    fn take(&mut self, byte: u8) {
        self.reader.consume(1);
        self.line += u64::from(byte == b'\n');
    }

    /// The next byte that is no white space.
    fn peek_word(&mut self) -> Result<Option<u8>, Stop> {
        let (begun, mut blank) = (self.line, 0_usize);
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.take(byte);
            blank += 1;
            if blank > self.max_bytes {
                let most = self.max_bytes;
                return Self::lost(
                    begun,
                    format!("found more than {most} bytes of white space"),
                );
            }
        }
        Ok(None)
    }

    fn next_value(&mut self) -> Result<Option<(u64, Vec<u8>)>, Stop> {
        if self.place == Place::Start {
            for mark in BYTE_ORDER_MARK {
                match self.peek()? {
                    Some(byte) if byte == *mark => self.take(byte),
                    _ => break,
                }
            }
        }
        loop {
            let found = self.peek_word()?;
            let line = self.line;
            let next = match (self.place, found) {
                (Place::Start, Some(b'[')) => Place::First,
                (Place::First | Place::Comma, Some(b']')) => Place::End,
                (Place::Comma, Some(b',')) => Place::Element,
                (Place::Start | Place::Value | Place::End, None) => return Ok(None),
                (Place::First | Place::Element | Place::Comma, None) => {
                    return Self::lost(
                        line,
                        "expected the end of the array, found the end of the file",
                    );
                }
                (Place::Start | Place::Value, Some(_)) => {
                    self.place = Place::Value;
                    return self.value(line).map(|value| Some((line, value)));
                }
                (Place::First | Place::Element, Some(byte)) if !matches!(byte, b',' | b']') => {
                    self.place = Place::Comma;
                    return self.value(line).map(|value| Some((line, value)));
                }
                (Place::End, Some(_)) => {
                    return Self::lost(line, "expected the end of the file after the array");
                }
                (Place::Comma, Some(_)) => {
                    return Self::lost(line, "expected a comma or the end of the array");
                }
                (_, Some(_)) => return Self::lost(line, "expected an element of the array"),
            };
            self.place = next;
            self.reader.consume(1);
        }
    }

    /// Reads one value.
    fn value(&mut self, begun: u64) -> Result<Vec<u8>, Stop> {
        let mut value = Vec::new();
        let (mut depth, mut string, mut escaped) = (0_usize, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                return match depth > 0 || string {
                    true => Self::lost(
                        begun,
                        "expected the end of this value, found the end of the file",
                    ),
                    false => Ok(value),
                };
            };
            let is_end = matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
            if depth == 0 && !string && !value.is_empty() && is_end {
                return Ok(value);
            }
            if value.len() >= self.max_bytes {
                let most = self.max_bytes;
                return Self::lost(
                    begun,
                    format!("expected a value of at most {most} bytes, found a longer one"),
                );
            }
            if string && byte == b'\n' {
                return Self::lost(
                    self.line,
                    "expected a closing quote, found the end of the line",
                );
            }
            self.take(byte);
            value.push(byte);
            match (string, byte) {
                (true, _) if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (_, b'"') => string = !string,
                (false, b'{' | b'[') => depth += 1,
                (false, b'}' | b']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && !string && matches!(byte, b'}' | b']' | b'"') {
                return Ok(value);
            }
        }
    }
}

impl<R: Read> Iterator for Elements<R> {
    type Item = Result<(u64, Vec<u8>), Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.next_value();
        self.has_failed = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<(u64, String)>, String> {
        let values = Elements::limited(text.as_bytes(), 40);
        values
            .map(|value| match value {
                Ok((line, value)) => Ok((line, String::from_utf8(value).unwrap())),
                Err(stop) => Err(stop.to_string()),
            })
            .collect()
    }

    fn values(values: &[(u64, &str)]) -> Result<Vec<(u64, String)>, String> {
        let owned = values
            .iter()
            .map(|(line, value)| (*line, (*value).to_owned()));
        Ok(owned.collect())
    }

    #[test]
    fn arrays_and_values_one_after_another_are_split() {
        for text in ["", " \n", "[]", "\u{feff}[ ]\n"] {
            assert_eq!(split(text), values(&[]), "{text:?}");
        }
        let found = values(&[(2, "{\"a\": [1, \"]}\\\"\"]}"), (3, "7"), (3, "[2]")]);
        assert_eq!(split("[\n{\"a\": [1, \"]}\\\"\"]},\n7 ,[2]]"), found);
        let found = values(&[(1, "{}"), (1, "{\n}"), (3, "\"x\""), (3, "1"), (3, "2")]);
        assert_eq!(split("{}{\n}\n\"x\"1 2"), found);
    }

    #[test]
    fn text_that_cannot_be_split_is_reported_with_its_line() {
        for (text, said) in [
            ("[", "line 1: expected the end of the array, found the end"),
            (
                "[1\n",
                "line 2: expected the end of the array, found the end",
            ),
            ("[1,\n]", "line 2: expected an element"),
            ("[,1]", "line 1: expected an element"),
            ("[1 2]", "line 1: expected a comma"),
            ("[1]\n2", "line 2: expected the end of the file"),
            ("\n{\n{}", "line 2: expected the end of this value"),
            ("[\n\"a\nb\"]", "line 2: expected a closing quote"),
            (
                "[\n{\"a\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}]",
                "line 2: expected a value of at most 40",
            ),
        ] {
            let error = split(text).unwrap_err();
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn memory_does_not_grow_with_a_value() {
        for start in ["", "[", "{", "\"", "[{\"a\":\""] {
            for byte in [b' ', b'\n', b'{', b'[', b'x', b'\\', 0] {
                let endless = start.as_bytes().chain(std::io::repeat(byte));
                let mut values = Elements::limited(endless, 200_000);
                assert!(
                    matches!(values.next(), Some(Err(Stop::Lost { .. }))),
                    "{start} {byte}"
                );
                assert!(values.next().is_none());
            }
        }
    }
}
