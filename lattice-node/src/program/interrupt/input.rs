//! Standard input or a pipe, whose reading ends when the command is interrupted.

use std::cell::Cell;
use std::io::{self, Read};
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Interruption;

const CHUNK_BYTES: usize = 64 << 10;

/// A reader that another thread reads ahead, so that waiting for input can be interrupted. After a
/// signal it returns what was read, and then ends.
pub(in crate::program) struct Input {
    origin: Origin,
    interruption: Arc<Interruption>,
    /// What was read and not returned yet.
    chunk: Vec<u8>,
    start: usize,
    is_ended: bool,
    is_cut: Rc<Cell<bool>>,
}

enum Origin {
    Thread(Arc<Slot>),
    /// No thread can be had: reading cannot be interrupted.
    Here(Box<dyn Read + Send>),
}

/// What the thread has read; empty at the end.
type Slot = Mutex<Option<io::Result<Vec<u8>>>>;

impl Input {
    pub(in crate::program) fn new(
        interruption: &Arc<Interruption>,
        reader: impl Read + Send + 'static,
    ) -> Self {
        let slot = Arc::new(Slot::default());
        let origin = match spawn(interruption, &slot, Box::new(reader)) {
            Ok(()) => Origin::Thread(slot),
            Err(reader) => Origin::Here(reader),
        };
        Self {
            origin,
            interruption: Arc::clone(interruption),
            chunk: Vec::new(),
            start: 0,
            is_ended: false,
            is_cut: Rc::default(),
        }
    }

    /// Set once the end was reached after a signal: what was read last may be incomplete.
    pub(in crate::program) fn is_cut(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.is_cut)
    }

    /// What was read next; empty at the end, and once there is a signal and all that was read is
    /// returned.
    fn next_chunk(&mut self) -> io::Result<Vec<u8>> {
        let slot = match &mut self.origin {
            Origin::Here(reader) => return read_chunk(&mut **reader),
            Origin::Thread(slot) => slot,
        };
        let take = || slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let chunk = self.interruption.wait_for(take);
        self.interruption.wake();
        chunk.unwrap_or_else(|| Ok(Vec::new()))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.is_ended {
            return Ok(0);
        }
        if self.start == self.chunk.len() {
            self.chunk = self.next_chunk()?;
            self.start = 0;
            if self.chunk.is_empty() {
                self.is_ended = true;
                self.is_cut.set(self.interruption.signal().is_some());
                return Ok(0);
            }
        }
        let rest = &self.chunk[self.start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.start += count;
        Ok(count)
    }
}

/// Reads on a thread of its own, which ends with the process. Gives the reader back if there is no
/// thread.
fn spawn(
    interruption: &Arc<Interruption>,
    slot: &Arc<Slot>,
    reader: Box<dyn Read + Send>,
) -> Result<(), Box<dyn Read + Send>> {
    let (interruption, slot) = (Arc::clone(interruption), Arc::clone(slot));
    let shared = Arc::new(Mutex::new(Some(reader)));
    let taken = Arc::clone(&shared);
    let take = |shared: &Mutex<Option<Box<dyn Read + Send>>>| {
        mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let spawned = thread::Builder::new().name("input".into()).spawn(move || {
        if let Some(mut reader) = take(&taken) {
            read_ahead(&mut *reader, &interruption, &slot);
        }
    });
    match spawned {
        Ok(_) => Ok(()),
        Err(_) => take(&shared).map_or(Ok(()), Err),
    }
}

fn read_ahead(reader: &mut dyn Read, interruption: &Interruption, slot: &Slot) {
    let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let chunk = read_chunk(reader);
        let is_last = !matches!(&chunk, Ok(chunk) if !chunk.is_empty());
        *lock() = Some(chunk);
        interruption.wake();
        // The next chunk is read once this one is taken.
        let taken = interruption.wait_for(|| lock().is_none().then_some(()));
        if is_last || taken.is_none() || interruption.signal().is_some() {
            return;
        }
    }
}

fn read_chunk(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => {
                chunk.truncate(count);
                return Ok(chunk);
            }
        }
    }
}
