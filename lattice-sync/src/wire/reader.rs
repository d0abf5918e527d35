//! Cuts a stream of bytes into frames.

use lattice_backend::op::MAX_OP_BYTES;

use crate::convert::to_usize;
use crate::wire::{FIRST_SKIPPED, Frame, FrameKind, HEAD_BYTES, WireError};

/// The longest body of a frame that is skipped.
const MAX_SKIPPED: usize = MAX_OP_BYTES + 128;

/// Collects the bytes of a stream and returns its frames. It holds at most one frame that is not
/// complete, and no memory for bytes that have not arrived. After an error it always returns that
/// error.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// The bytes at the start of the buffer that were returned as frames.
    consumed: usize,
    /// The bytes that are still to be skipped.
    skip: usize,
    failed: Option<WireError>,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes further bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // Bytes of a skipped frame are dropped as they come.
        if self.consumed == self.buffer.len() {
            let skipped = self.skip.min(bytes.len());
            bytes = bytes.split_at(skipped).1;
            self.skip -= skipped;
        }
        if self.consumed > 0 && self.consumed >= self.buffer.len() / 2 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes arrive. Frames of unknown types from 128 on are
    /// skipped.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.read().inspect_err(|error| {
                self.buffer = Vec::new();
                self.consumed = 0;
                self.failed = Some(error.clone());
            }),
        }
    }

    fn read(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let skipped = self.skip.min(self.buffer.len() - self.consumed);
            self.consumed += skipped;
            self.skip -= skipped;
            let rest = &self.buffer[self.consumed..];
            let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else {
                return Ok(None);
            };
            let [a, b, c, d, kind] = *head;
            let found = to_usize(u32::from_le_bytes([a, b, c, d]).into());
            let Some(kind) = FrameKind::from_number(kind) else {
                if kind < FIRST_SKIPPED {
                    return Err(WireError::UnknownType { found: kind });
                }
                if found > MAX_SKIPPED {
                    return Err(WireError::SkipTooLong { kind, found });
                }
                self.consumed += HEAD_BYTES;
                self.skip = found;
                continue;
            };
            let limit = kind.limit();
            if found > limit {
                return Err(WireError::TooLong { kind, limit, found });
            }
            let Some(body) = rest.get(..found) else {
                return Ok(None);
            };
            let frame = Frame::decode(kind, body)?;
            self.consumed += HEAD_BYTES + found;
            return Ok(Some(frame));
        }
    }

    /// Bytes that have arrived and are not part of a returned frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Whether the stream ended, or stands, within a frame.
    pub fn is_within_frame(&self) -> bool {
        self.skip > 0 || self.buffered() > 0
    }
}
