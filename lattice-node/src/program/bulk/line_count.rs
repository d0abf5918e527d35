//! On which line a byte of a file stands, and whether its quotes are closed.
//!
//! The reader of comma-separated values says where a record begins, but in front of the line ends
//! that it has yet to pass over: behind a carriage return, or on empty lines, its line numbers are
//! too small. It also takes an open quote at the end of the file, and letters behind a closing one,
//! for what they look like.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Passes bytes on, and remembers where lines end until it has been asked about what follows.
pub(super) struct LineCount<R> {
    reader: R,
    ends: LineEnds,
}

/// What it remembers. Clones are the same memory.
#[derive(Clone)]
pub(super) struct LineEnds(Rc<RefCell<Ends>>);

struct Ends {
    /// Bytes passed on.
    offset: u64,
    /// Bytes of line ends, and whether each is one that a line ends with.
    ends: VecDeque<(u64, bool)>,
    /// The line of the byte asked for last, from 1.
    line: u64,
    quoting: Quoting,
    /// Where the quote was opened that is open, or was open last.
    opened: u64,
    /// Where letters stand behind a closing quote.
    strays: VecDeque<u64>,
    at_end: bool,
}

/// Where in a cell the last byte stood (RFC 4180).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// In front of a cell.
    Before,
    /// In a cell without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes, or is the first of two that stand for one.
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
    /// What is wrong with the quotes of a record that ends in front of this byte: the offset of it,
    /// and what it is.
    pub(super) fn bad_quote(&self, record_end: u64) -> Option<(u64, &'static str)> {
        let ends = self.0.borrow();
        if let Some(stray) = ends.strays.front().filter(|stray| **stray < record_end) {
            return Some((
                *stray,
                "expected a comma or a line end behind a closing quote",
            ));
        }
        let is_open = ends.at_end && ends.quoting == Quoting::Quoted;
        is_open.then_some((
            ends.opened,
            "a quote is opened here, and not closed to the end",
        ))
    }

    /// The line, from 1, on which the first byte from here on stands that is no line end. What is
    /// asked for must not come before what was asked for last.
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
    fn line_ends_in_front_are_passed_over() {
        let text = b"a\r\nb\n\n\r\nc\nd";
        let (mut count, ends) = LineCount::new(&text[..]);
        io::copy(&mut count, &mut io::sink()).unwrap();
        // The `a`; then from in front of each line end to the letter behind it.
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
