//! On which line a byte of a file stands.
//!
//! The reader of comma-separated values says where a record begins, but in front of the line ends
//! that it has yet to pass over: behind a carriage return, or on empty lines, its line numbers are
//! too small.

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
}

impl<R: Read> LineCount<R> {
    pub(super) fn new(reader: R) -> (Self, LineEnds) {
        let ends = LineEnds(Rc::new(RefCell::new(Ends {
            offset: 0,
            ends: VecDeque::new(),
            line: 1,
        })));
        let remembered = ends.clone();
        (Self { reader, ends }, remembered)
    }
}

impl<R: Read> Read for LineCount<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let mut ends = self.ends.0.borrow_mut();
        for byte in &buffer[..count] {
            if matches!(byte, b'\r' | b'\n') {
                let end = (ends.offset, *byte == b'\n');
                ends.ends.push_back(end);
            }
            ends.offset += 1;
        }
        Ok(count)
    }
}

impl LineEnds {
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
