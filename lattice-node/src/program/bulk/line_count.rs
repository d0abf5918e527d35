//! Maps byte offsets of a CSV file to line numbers, and checks its quotes.
//!
//! The `csv` reader reports the position of a record before it skips line ends. After a carriage
//! return or an empty line its line numbers are therefore too small. It also accepts an unclosed
//! quote at the end of the file, and characters after a closing quote.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// A reader that remembers the offsets of line ends until the caller has asked for a later line.
pub(super) struct LineCount<R> {
    reader: R,
    ends: LineEnds,
}

/// The remembered offsets. Clones share them.
#[derive(Clone)]
pub(super) struct LineEnds(Rc<RefCell<Ends>>);

struct Ends {
    /// Bytes read so far.
    offset: u64,
    /// Offsets of line end bytes; true for a byte that completes a line.
    ends: VecDeque<(u64, bool)>,
    /// The last line number returned, from 1.
    line: u64,
    quoting: Quoting,
    /// The offset of the last opening quote.
    opened: u64,
    /// Offsets of characters after a closing quote.
    strays: VecDeque<u64>,
    at_end: bool,
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
        self.quoting = match (self.quoting, byte) {
            (Quoting::Before, b'"') => {
                self.opened = self.offset;
                Quoting::Quoted
            }
            (Quoting::Quoted, b'"') => Quoting::Closed,
            (Quoting::Closed, b'"') | (Quoting::Quoted, _) => Quoting::Quoted,
            (_, b',' | b'\r' | b'\n') => Quoting::Before,
            (Quoting::Closed, _) => {
                self.strays.push_back(self.offset);
                Quoting::Plain
            }
            (Quoting::Before | Quoting::Plain, _) => Quoting::Plain,
        };
        if matches!(byte, b'\r' | b'\n') {
            self.ends.push_back((self.offset, byte == b'\n'));
        }
        self.offset += 1;
    }
}

impl<R: Read> LineCount<R> {
    pub(super) fn new(reader: R) -> (Self, LineEnds) {
        let ends = LineEnds(Rc::new(RefCell::new(Ends {
            offset: 0,
            ends: VecDeque::new(),
            line: 1,
            quoting: Quoting::Before,
            opened: 0,
            strays: VecDeque::new(),
            at_end: false,
        })));
        let remembered = ends.clone();
        (Self { reader, ends }, remembered)
    }
}

impl<R: Read> Read for LineCount<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
    /// The first quoting error of a record that ends before `record_end`: its offset and a
    /// description.
    pub(super) fn bad_quote(&self, record_end: u64) -> Option<(u64, &'static str)> {
        let ends = self.0.borrow();
        if let Some(stray) = ends.strays.front().filter(|stray| **stray < record_end) {
            return Some((
                *stray,
                "expected a comma or a line end after a closing quote",
            ));
        }
        let is_open = ends.at_end && ends.quoting == Quoting::Quoted;
        is_open.then_some((
            ends.opened,
            "expected a closing quote, found the end of the file",
        ))
    }

    /// The line, from 1, of the first byte at or after `byte` that is not part of a line end. Calls
    /// must not go backwards.
    pub(super) fn line_from(&self, byte: u64) -> u64 {
        let ends = &mut *self.0.borrow_mut();
        let mut byte = byte;
        while let Some(&(offset, is_end)) = ends.ends.front() {
            if offset > byte {
                break;
            }
            if offset == byte {
                byte += 1;
            }
            ends.ends.pop_front();
            ends.line += u64::from(is_end);
        }
        ends.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_line_ends_are_skipped() {
        let text = b"a\r\nb\n\n\r\nc\nd";
        let (mut count, ends) = LineCount::new(&text[..]);
        io::copy(&mut count, &mut io::sink()).unwrap();
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
}
