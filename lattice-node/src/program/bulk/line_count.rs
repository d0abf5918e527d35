//! Maps records of a CSV file to line numbers, checks its quotes, and bounds its records.
//!
//! The `csv` reader reports the position of a record before it skips line ends. After a carriage
//! return or an empty line its line numbers are therefore too small. It also accepts an unclosed
//! quote at the end of the file, and characters after a closing quote, and it keeps a record of any
//! length in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

use super::Stop;

/// The longest record, in bytes: the longest possible value, with every byte a quote, which takes
/// two. Also the most empty lines before a record.
pub(super) const MAX_RECORD_BYTES: u64 = 2 * 16_777_216 + 1024;
/// The most cells of a record.
pub(super) const MAX_CELLS: u64 = 65_536;

/// A reader that remembers the lines of records until the caller has asked for a later one, and
/// fails within a record that is too long.
pub(super) struct LineCount<R> {
    reader: R,
    ends: LineEnds,
}

/// The remembered lines. Clones share them.
#[derive(Clone)]
pub(super) struct LineEnds(Rc<RefCell<Ends>>);

struct Ends {
    delimiter: u8,
    /// The most bytes of a record.
    max_bytes: u64,
    /// Bytes read so far.
    offset: u64,
    /// The line of the next byte, from 1.
    line: u64,
    /// Records whose line was not asked for: offset of the first byte, and line.
    starts: VecDeque<(u64, u64)>,
    /// The offset after the last record that the caller took.
    taken: u64,
    is_within: bool,
    /// Line and cells of the last record that began.
    record_line: u64,
    cells: u64,
    quoting: Quoting,
    /// The line of the last opening quote.
    opened: u64,
    /// Offset and line of the first character after a closing quote.
    stray: Option<(u64, u64)>,
    too_long: Option<(u64, TooLong)>,
    at_end: bool,
}

/// A quoting error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadQuote {
    pub(super) line: u64,
    pub(super) reason: &'static str,
    /// The quote was not closed to the end of the file, so records can be missing.
    is_open: bool,
}

impl BadQuote {
    pub(super) fn into_stop(self) -> Stop {
        let (line, reason) = (self.line, self.reason.into());
        match self.is_open {
            true => Stop::Lost { line, reason },
            false => Stop::Broken { line, reason },
        }
    }
}

/// What a record has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooLong {
    Bytes,
    Cells,
}

/// Position of the last byte within a cell (RFC 4180).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// Before a cell.
    Before,
    /// In a cell without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// After a quote that closes the cell, or that is the first of an escaped pair.
    Closed,
}

impl Ends {
    fn see(&mut self, byte: u8) {
        let is_end = matches!(byte, b'\r' | b'\n');
        if !self.is_within && !is_end {
            self.is_within = true;
            self.record_line = self.line;
            self.cells = 1;
            self.starts.push_back((self.offset, self.line));
        }
        self.quoting = match (self.quoting, byte) {
            (Quoting::Before, b'"') => {
                self.opened = self.line;
                Quoting::Quoted
            }
            (Quoting::Quoted, b'"') => Quoting::Closed,
            (Quoting::Closed, b'"') | (Quoting::Quoted, _) => Quoting::Quoted,
            (_, byte) if is_end || byte == self.delimiter => Quoting::Before,
            (Quoting::Closed, _) => {
                self.stray.get_or_insert((self.offset, self.line));
                Quoting::Plain
            }
            (Quoting::Before | Quoting::Plain, _) => Quoting::Plain,
        };
        if self.quoting == Quoting::Before {
            self.is_within &= !is_end;
            self.cells += 1;
            if self.is_within && self.cells > MAX_CELLS {
                let place = (self.record_line, TooLong::Cells);
                self.too_long.get_or_insert(place);
            }
        }
        self.line += u64::from(byte == b'\n');
        self.offset += 1;
    }

    /// Whether the record that is being read, with the line ends before it, is too long.
    fn check_length(&mut self) {
        if self.offset - self.taken > self.max_bytes {
            let line = match self.is_within {
                true => self.record_line,
                false => self.line,
            };
            self.too_long.get_or_insert((line, TooLong::Bytes));
        }
    }
}

impl<R: Read> LineCount<R> {
    pub(super) fn new(reader: R, delimiter: u8) -> (Self, LineEnds) {
        Self::limited(reader, delimiter, MAX_RECORD_BYTES)
    }

    fn limited(reader: R, delimiter: u8, max_bytes: u64) -> (Self, LineEnds) {
        let ends = LineEnds(Rc::new(RefCell::new(Ends {
            delimiter,
            max_bytes,
            offset: 0,
            line: 1,
            starts: VecDeque::new(),
            taken: 0,
            is_within: false,
            record_line: 1,
            cells: 0,
            quoting: Quoting::Before,
            opened: 1,
            stray: None,
            too_long: None,
            at_end: false,
        })));
        let remembered = ends.clone();
        (Self { reader, ends }, remembered)
    }
}

impl<R: Read> Read for LineCount<R> {
    /// Fails if the bytes read before have made a record too long: the caller has taken all records
    /// before that one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ends.0.borrow_mut().check_length();
        if self.ends.too_long().is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let count = self.reader.read(buffer)?;
        let mut ends = self.ends.0.borrow_mut();
        ends.at_end = count == 0 && !buffer.is_empty();
        for byte in &buffer[..count] {
            ends.see(*byte);
        }
        Ok(count)
    }
}

impl LineEnds {
    /// Notes that the caller has taken a record that ends at `end`.
    pub(super) fn begin(&self, end: u64) {
        self.0.borrow_mut().taken = end;
    }

    /// The record that is too long: its line and a description.
    pub(super) fn too_long(&self) -> Option<(u64, String)> {
        let ends = self.0.borrow();
        let (line, what) = ends.too_long?;
        let most = match what {
            TooLong::Bytes => format!("{} bytes", ends.max_bytes),
            TooLong::Cells => format!("{MAX_CELLS} columns"),
        };
        Some((
            line,
            format!("expected a record of at most {most}, found more; is a quote not closed?"),
        ))
    }

    /// The first quoting error of a record that ends before `record_end`. Forgets it: the record
    /// after it can be read.
    pub(super) fn bad_quote(&self, record_end: u64) -> Option<BadQuote> {
        let mut ends = self.0.borrow_mut();
        if let Some((_, line)) = ends.stray.take_if(|(offset, _)| *offset < record_end) {
            return Some(BadQuote {
                line,
                reason: "expected a delimiter or a line end after a closing quote",
                is_open: false,
            });
        }
        let is_open = ends.at_end && ends.quoting == Quoting::Quoted;
        is_open.then_some(BadQuote {
            line: ends.opened,
            reason: "expected a closing quote, found the end of the file",
            is_open,
        })
    }

    /// The line, from 1, of the first record that begins at or after `byte`; without such a record,
    /// the line of the end. Calls must not go backwards.
    pub(super) fn line_from(&self, byte: u64) -> u64 {
        let ends = &mut *self.0.borrow_mut();
        while let Some(&(offset, line)) = ends.starts.front() {
            if offset >= byte {
                return line;
            }
            ends.starts.pop_front();
        }
        ends.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> LineEnds {
        let (mut count, ends) = LineCount::new(text, b',');
        io::copy(&mut count, &mut io::sink()).unwrap();
        ends
    }

    #[test]
    fn leading_line_ends_are_skipped() {
        let ends = all(b"a\r\nb\n\n\r\nc\nd");
        // The `a`; then each offset from a line end to the letter after it.
        for (byte, line) in [
            (0, 1),
            (1, 2),
            (2, 2),
            (3, 2),
            (4, 5),
            (5, 5),
            (8, 5),
            (9, 6),
            (10, 6),
        ] {
            assert_eq!(ends.line_from(byte), line, "byte {byte}");
        }
    }

    #[test]
    fn line_ends_within_quotes_begin_no_record() {
        let ends = all(b"a,\"1\n2\n\"\"3\"\nb");
        assert_eq!(ends.line_from(0), 1);
        assert_eq!(ends.line_from(1), 4);
        assert_eq!(ends.bad_quote(100), None);
        assert_eq!(all(b"a\n\"b\"c\n").bad_quote(100).unwrap().line, 2);
        assert_eq!(all(b"a\nb,\"c\n\n").bad_quote(100).unwrap().line, 2);
    }

    #[test]
    fn memory_does_not_grow_with_a_record() {
        // The real limit takes long in a build without optimisation.
        const MAX: u64 = 200_000;
        for start in [&b"a,\""[..], b"", b"\n", b","] {
            for byte in [b'\n', b'"', 0, b'x', b','] {
                let endless = start.chain(io::repeat(byte));
                let (mut count, ends) = LineCount::limited(endless, b',', MAX);
                let mut buffer = [0; 8192];
                let mut bytes = 0;
                while let Ok(count) = count.read(&mut buffer) {
                    bytes += u64::try_from(count).unwrap();
                    assert!(bytes <= MAX + 8192);
                    assert!(ends.0.borrow().starts.len() < 3);
                }
                assert!(ends.too_long().is_some());
            }
        }
    }
}
