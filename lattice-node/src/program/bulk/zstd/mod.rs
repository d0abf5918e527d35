//! Decompresses Zstandard (RFC 8878), for imports.
//!
//! Files to import are not trusted. Memory is bounded by one and a half windows and a block,
//! whatever the data says: `ruzstd` 0.8 lets one block of 128 KiB grow to gigabytes, and has panics
//! in its decoder, and other decoders are larger than this program's import or not safe Rust.

mod bits;
mod block;
mod fse;
mod huffman;
mod literals;
mod sequences;

use std::hash::Hasher;
use std::io::{self, BufRead, BufReader, Read};

use twox_hash::XxHash64;

use block::Blocks;

/// The largest window, in bytes, that `zstd -d` accepts without options.
const MAX_WINDOW_BYTES: u64 = 128 << 20;
/// The most bytes of a block, compressed or not.
const MAX_BLOCK_BYTES: usize = 128 << 10;
const MAGIC: u32 = 0xfd2f_b528;
/// The lowest magic number of a frame that has no data; the last four bits are free.
const SKIPPABLE: u32 = 0x184d_2a50;

/// Why data cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZstdError {
    #[error("not zstd data: {0}")]
    Corrupt(&'static str),
    #[error("the checksum of the data differs")]
    Checksum,
    #[error(
        "its window has {found} bytes, more than {MAX_WINDOW_BYTES}; `zstd -dc --long=31 FILE | \
         lattice import STORE -` imports it"
    )]
    Window { found: u64 },
    #[error(
        "it was compressed with a dictionary; `zstd -dc -D DICTIONARY FILE | lattice import STORE -` \
         imports it"
    )]
    Dictionary,
}

impl From<ZstdError> for io::Error {
    fn from(error: ZstdError) -> Self {
        let kind = match error {
            ZstdError::Corrupt(_) | ZstdError::Checksum => io::ErrorKind::InvalidData,
            ZstdError::Window { .. } | ZstdError::Dictionary => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}

type Result<T> = std::result::Result<T, ZstdError>;

/// An error unless a condition holds.
fn ensure(holds: bool, what: &'static str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(ZstdError::Corrupt(what)),
    }
}

/// Whether bytes can be the start of zstd data.
pub(super) fn is_start(head: &[u8]) -> bool {
    let magic = head.first_chunk().map(|magic| u32::from_le_bytes(*magic));
    magic.is_some_and(|magic| magic == MAGIC || is_skippable(magic))
}

fn is_skippable(magic: u32) -> bool {
    magic & !0xf == SKIPPABLE
}

/// Reads the data of all frames, one after another.
pub(super) struct Decoder<R> {
    input: BufReader<R>,
    frame: Option<Frame>,
}

/// A frame that is being read.
struct Frame {
    blocks: Blocks,
    /// The data before what is still to be read, at least a window of it, and that.
    data: Vec<u8>,
    /// How much of `data` the caller has.
    read: usize,
    window: usize,
    /// How many bytes the header says that the data has.
    content: Option<u64>,
    length: u64,
    checksum: Option<XxHash64>,
    is_last: bool,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(MAX_BLOCK_BYTES, input),
            frame: None,
        }
    }

    /// Begins the next frame with data. Returns `None` at the end of the input.
    fn begin(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let magic = u32::from_le_bytes(take(&mut self.input)?);
            if magic == MAGIC {
                return Frame::begin(&mut self.input).map(Some);
            }
            ensure(
                is_skippable(magic),
                "a frame does not begin with its magic number",
            )?;
            let length = u64::from(u32::from_le_bytes(take(&mut self.input)?));
            let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
            ensure(skipped == length, "it ends within a frame")?;
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(frame) = &mut self.frame else {
                self.frame = self.begin()?;
                match self.frame {
                    Some(_) => continue,
                    None => return Ok(0),
                }
            };
            let ready = &frame.data[frame.read..];
            if !ready.is_empty() {
                let count = ready.len().min(buffer.len());
                buffer[..count].copy_from_slice(&ready[..count]);
                frame.read += count;
                return Ok(count);
            }
            match frame.is_last {
                false => frame.next_block(&mut self.input)?,
                true => {
                    frame.end(&mut self.input)?;
                    self.frame = None;
                }
            }
        }
    }
}

impl Frame {
    /// Reads the header after the magic number.
    fn begin(input: &mut impl Read) -> io::Result<Self> {
        let [descriptor] = take(input)?;
        ensure(descriptor & 0b1000 == 0, "a reserved bit is set")?;
        let is_single = descriptor & 0b10_0000 != 0;
        let window = match is_single {
            true => None,
            false => {
                let [byte] = take(input)?;
                let base = 1_u64 << (10 + (byte >> 3));
                Some(base + base / 8 * u64::from(byte & 0b111))
            }
        };
        let dictionary = match descriptor & 0b11 {
            0 => 0,
            1 => u32::from(u8::from_le_bytes(take(input)?)),
            2 => u32::from(u16::from_le_bytes(take(input)?)),
            _ => u32::from_le_bytes(take(input)?),
        };
        if dictionary != 0 {
            return Err(ZstdError::Dictionary.into());
        }
        let content = match descriptor >> 6 {
            0 if is_single => Some(u64::from(u8::from_le_bytes(take(input)?))),
            0 => None,
            1 => Some(u64::from(u16::from_le_bytes(take(input)?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(take(input)?))),
            _ => Some(u64::from_le_bytes(take(input)?)),
        };
        // A single segment has the window that its data has.
        let window = window.or(content).unwrap_or(0);
        let too_large = || ZstdError::Window { found: window };
        if window > MAX_WINDOW_BYTES {
            return Err(too_large().into());
        }
        let window = usize::try_from(window).map_err(|_| too_large())?;
        Ok(Self {
            blocks: Blocks::new(window.min(MAX_BLOCK_BYTES)),
            data: Vec::new(),
            read: 0,
            window,
            content,
            length: 0,
            checksum: (descriptor & 0b100 != 0).then(|| XxHash64::with_seed(0)),
            is_last: false,
        })
    }

    fn next_block(&mut self, input: &mut impl Read) -> io::Result<()> {
        self.forget();
        let before = self.data.len();
        self.is_last = self.blocks.next(input, &mut self.data, self.window)?;
        let new = &self.data[before..];
        if let Some(checksum) = &mut self.checksum {
            checksum.write(new);
        }
        self.length += u64::try_from(new.len()).unwrap_or(u64::MAX);
        let fits = self.content.is_none_or(|content| self.length <= content);
        Ok(ensure(fits, "a frame has more data than its header says")?)
    }

    /// Drops data before the window, seldom enough to cost little.
    fn forget(&mut self) {
        let slack = (self.window / 2).max(4 * MAX_BLOCK_BYTES);
        if self.data.len() >= self.window + slack {
            self.data.drain(..self.data.len() - self.window);
        }
        self.read = self.data.len();
        // A vector that grows by itself would double.
        let room = (self.window + slack + MAX_BLOCK_BYTES).saturating_sub(self.data.len());
        if self.data.capacity() - self.data.len() < MAX_BLOCK_BYTES {
            self.data
                .reserve_exact(self.data.len().clamp(MAX_BLOCK_BYTES, room));
        }
    }

    fn end(&mut self, input: &mut impl Read) -> io::Result<()> {
        let is_whole = self.content.is_none_or(|content| self.length == content);
        ensure(is_whole, "a frame has less data than its header says")?;
        if let Some(checksum) = &self.checksum {
            let expected = u32::from_le_bytes(take(input)?);
            // The low half of the hash.
            if checksum.finish() & u64::from(u32::MAX) != u64::from(expected) {
                return Err(ZstdError::Checksum.into());
            }
        }
        Ok(())
    }
}

/// The next bytes.
fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
