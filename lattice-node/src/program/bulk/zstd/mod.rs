//! Decompresses zstd (RFC 8878), for imports: the frames of `ruzstd`, one after another.
//!
//! Memory: of a frame the decoder keeps its window, at most 128 MiB, in a buffer that doubles as it
//! grows. Blocks are decoded one by one, and what the window does not need is read in between. A
//! block ends with an error after 128 KiB of copies, but can have 1 MiB of literals: hostile blocks
//! take a few MiB more. `zstd -dc FILE | lattice import STORE -` is the way for files of strangers.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ruzstd::decoding::errors::{FrameDecoderError as Decoding, ReadFrameHeaderError as Header};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const CUT: &str = "it ends within a frame";

fn damaged(what: &str) -> ZstdError {
    ZstdError::Damaged(what.into())
}

/// Why data cannot be decompressed.
#[derive(Debug, thiserror::Error)]
enum ZstdError {
    #[error(transparent)]
    Input(#[from] io::Error),
    #[error("damaged zstd data: {0}")]
    Damaged(String),
    #[error(
        "its zstd window has {0} bytes, more than {1}; `zstd -dc --long=31 FILE | lattice \
         import STORE -` imports it"
    )]
    Window(u64, u64),
    #[error(
        "it needs the zstd dictionary {0}; `zstd -dc -D DICTIONARY FILE | lattice import STORE -` \
         imports it"
    )]
    Dictionary(u32),
}

impl From<Decoding> for ZstdError {
    fn from(error: Decoding) -> Self {
        let mut cause: &(dyn Error + 'static) = &error;
        while let (false, Some(next)) = (cause.is::<io::Error>(), cause.source()) {
            cause = next;
        }
        match (&error, cause.downcast_ref::<io::Error>()) {
            (_, Some(read)) if read.kind() == io::ErrorKind::UnexpectedEof => damaged(CUT),
            (_, Some(read)) => Self::Input(io::Error::new(read.kind(), read.to_string())),
            (Decoding::WindowSizeTooBig { requested, max }, _) => Self::Window(*requested, *max),
            (Decoding::DictNotProvided { dict_id }, _) => Self::Dictionary(*dict_id),
            (Decoding::ReadFrameHeaderError(Header::BadMagicNumber(_)), _) => {
                damaged("bytes that are no frame follow it")
            }
            _ => Self::Damaged(cause.to_string()),
        }
    }
}

impl From<ZstdError> for io::Error {
    fn from(error: ZstdError) -> Self {
        let kind = match error {
            ZstdError::Input(error) => return error,
            ZstdError::Window(..) | ZstdError::Dictionary(_) => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Whether bytes can be the start of zstd data: a frame, or one of 16 kinds without data.
pub(super) fn is_start(head: &[u8]) -> bool {
    head.starts_with(b"\x28\xb5\x2f\xfd") || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Reads the data of all frames, one after another.
pub(super) struct Decoder<R> {
    input: BufReader<R>,
    /// The frame that is being read, and how many bytes of its data the caller has.
    frame: Option<(FrameDecoder, u64)>,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(128 << 10, input),
            frame: None,
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, ZstdError> {
        loop {
            let Some((decoder, length)) = &mut self.frame else {
                if self.input.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            };
            while decoder.can_collect() == 0 && !decoder.is_finished() {
                decoder.decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))?;
            }
            let count = decoder.read(buffer)?;
            *length += u64::try_from(count).unwrap_or(u64::MAX);
            if count > 0 {
                return Ok(count);
            }
            // The decoder compares neither. It says 0 for a header without a length.
            if ![0, *length].contains(&decoder.content_size()) {
                return Err(damaged("its length is not the one in its header"));
            }
            let checksum = decoder.get_checksum_from_data();
            if checksum.is_some() && checksum != decoder.get_calculated_checksum() {
                return Err(damaged("its checksum differs"));
            }
            self.frame = None;
        }
    }

    /// Begins the next frame, or skips one without data.
    fn begin(&mut self) -> Result<(), ZstdError> {
        let mut decoder = FrameDecoder::new();
        match decoder.init(&mut self.input) {
            Ok(()) => self.frame = Some((decoder, 0)),
            Err(Decoding::ReadFrameHeaderError(Header::SkipFrame { length, .. })) => {
                let mut skipped = (&mut self.input).take(length.into());
                if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                    return Err(damaged(CUT));
                }
            }
            Err(error) => Err(error)?,
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // `ruzstd` asserts, so damage can make it panic: an error of the file, not of the program.
        let read = catch_unwind(AssertUnwindSafe(|| self.next(buffer)));
        let read = read.unwrap_or_else(|_| Err(damaged("the decoder panicked")));
        Ok(read.inspect_err(|_| self.frame = None)?)
    }
}

#[cfg(test)]
mod tests;
