//! Reads lines of bytes.

use std::io::{BufRead, BufReader, Read};

use super::Stop;

/// The longest line, and the longest value of a JSON text, in bytes: the longest possible value,
/// with every byte escaped in JSON.
pub(super) const MAX_LINE_BYTES: usize = 6 * lattice_backend::op::MAX_OP_BYTES + 1024;
const BUFFER_BYTES: usize = 256 << 10;

/// The byte order mark that some editors write at the start of a text file.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a reader, numbered from 1, without their line ends (LF or CR LF) and without a
/// leading byte order mark. Keeps one line in memory.
pub(in crate::program) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(in crate::program) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            number: 0,
        }
    }

    /// True if the next line is already buffered, so that reading it does not block.
    pub(in crate::program) fn is_ready(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<(u64, Vec<u8>), Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE_BYTES + 1).expect("less than 100 MiB");
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        self.number += 1;
        match read {
            Ok(0) => None,
            Ok(_) if line.len() > MAX_LINE_BYTES => Some(Err(Stop::Lost {
                line: self.number,
                reason: format!("expected at most {MAX_LINE_BYTES} bytes, found a longer line"),
            })),
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                    if line.ends_with(b"\r") {
                        line.pop();
                    }
                }
                if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                    line.drain(..BYTE_ORDER_MARK.len());
                }
                Some(Ok((self.number, line)))
            }
            Err(error) => Some(Err(Stop::Read(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        Lines::new(text).map(|line| line.unwrap()).collect()
    }

    #[test]
    fn lines_are_the_text_between_line_ends() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n"), [(1, vec![])]);
        assert_eq!(
            read(b"\xef\xbb\xbfa\r\n\nb"),
            [(1, b"a".to_vec()), (2, vec![]), (3, b"b".to_vec())]
        );
    }

    #[test]
    fn the_longest_line_is_accepted_and_a_longer_one_is_reported() {
        let longest = vec![b'x'; MAX_LINE_BYTES - 1];
        let text = [&b"1\n"[..], &longest, b"\n", b"x", &longest, b"y\n"].concat();
        let lines: Vec<_> = Lines::new(&text[..]).take(3).collect();
        assert!(matches!(&lines[1], Ok((2, line)) if *line == longest));
        assert!(matches!(&lines[2], Err(Stop::Lost { line: 3, .. })));
    }
}
