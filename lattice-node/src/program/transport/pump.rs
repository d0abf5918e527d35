//! Readers and writers whose waiting can be ended.
//!
//! A thread of its own reads or writes, and can stay blocked: in a pipe that another process keeps
//! open, for example. What waits for that thread returns once it is ended.

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

const CHUNK_BYTES: usize = 64 << 10;

/// Ends the waiting of the readers and writers that it was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Vec<Arc<Slot>>);

impl Ending {
    /// Waiting reads return the end, writes an error.
    pub(super) fn end(&self) {
        for slot in &self.0 {
            slot.change(|state| state.is_ended = true);
        }
    }

    /// A reader of what another reader has.
    ///
    /// # Errors
    /// If there is no thread.
    pub(super) fn reader(
        &mut self,
        name: &str,
        from: impl Read + Send + 'static,
    ) -> io::Result<Box<dyn Read + Send>> {
        let slot = self.slot();
        let shared = Arc::clone(&slot);
        spawn(name, move || read_ahead(from, &shared))?;
        Ok(Box::new(Reader {
            slot,
            chunk: Vec::new(),
            start: 0,
        }))
    }

    /// A writer to another writer. A write returns once the bytes have left it.
    ///
    /// # Errors
    /// If there is no thread.
    pub(super) fn writer(
        &mut self,
        name: &str,
        to: impl Write + Send + 'static,
    ) -> io::Result<Box<dyn Write + Send>> {
        let slot = self.slot();
        let shared = Arc::clone(&slot);
        spawn(name, move || write_behind(to, &shared))?;
        Ok(Box::new(Writer { slot }))
    }

    fn slot(&mut self) -> Arc<Slot> {
        let slot = Arc::<Slot>::default();
        self.0.push(Arc::clone(&slot));
        slot
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}

/// What one side has for the other.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A chunk that was read, or one that is being written.
    chunk: Option<Vec<u8>>,
    failed: Option<io::Error>,
    /// The side that has chunks has no more.
    is_over: bool,
    is_ended: bool,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until `ready` is true.
    fn wait(&self, ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| !ready(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    slot: Arc<Slot>,
    /// What was read and not returned yet.
    chunk: Vec<u8>,
    start: usize,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.chunk.len() {
            let is_ready = |state: &State| state.chunk.is_some() || state.is_over || state.is_ended;
            let mut state = self.slot.wait(is_ready);
            if state.is_ended {
                return Ok(0);
            }
            let Some(chunk) = state.chunk.take() else {
                return state.failed.take().map_or(Ok(0), Err);
            };
            drop(state);
            self.slot.changed.notify_all();
            (self.chunk, self.start) = (chunk, 0);
        }
        let rest = &self.chunk[self.start..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.start += count;
        Ok(count)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.slot.change(|state| state.is_ended = true);
    }
}

fn read_ahead(mut from: impl Read, slot: &Slot) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let mut state = slot.wait(|state| state.chunk.is_none() || state.is_ended);
        match read {
            _ if state.is_ended => return,
            Ok(count) if count > 0 => {
                chunk.truncate(count);
                state.chunk = Some(chunk);
            }
            read => {
                state.failed = read.err();
                state.is_over = true;
            }
        }
        let is_over = state.is_over;
        drop(state);
        slot.changed.notify_all();
        if is_over {
            return;
        }
    }
}

struct Writer {
    slot: Arc<Slot>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.slot.change(|state| state.chunk = Some(bytes.to_vec()));
        let is_ready = |state: &State| state.chunk.is_none() || state.is_over || state.is_ended;
        let mut state = self.slot.wait(is_ready);
        match state.failed.take() {
            Some(error) => Err(error),
            None if state.is_over || state.is_ended => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.slot.change(|state| state.is_over = true);
    }
}

fn write_behind(mut to: impl Write, slot: &Slot) {
    loop {
        let is_ready = |state: &State| state.chunk.is_some() || state.is_over || state.is_ended;
        let mut state = slot.wait(is_ready);
        let Some(chunk) = state.chunk.clone().filter(|_| !state.is_ended) else {
            return;
        };
        drop(state);
        let written = to.write_all(&chunk).and_then(|()| to.flush());
        let has_failed = written.is_err();
        state = slot.state();
        state.chunk = None;
        state.failed = written.err();
        state.is_over |= has_failed;
        drop(state);
        slot.changed.notify_all();
        if has_failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream whose other side is the test.
    struct Blocked(Receiver<Vec<u8>>);

    impl Read for Blocked {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.recv().unwrap_or_else(|_| Vec::new());
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    struct Full(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.1.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_pass_in_their_order_up_to_the_end() {
        let (send, blocked) = channel();
        let mut ending = Ending::default();
        let mut reader = ending.reader("test", Blocked(blocked)).unwrap();
        for chunk in [&b"one "[..], b"two ", b"three"] {
            send.send(chunk.to_vec()).unwrap();
        }
        drop(send);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn a_read_that_waits_returns_when_it_is_ended() {
        let (send, blocked) = channel();
        let mut ending = Ending::default();
        let mut reader = ending.reader("test", Blocked(blocked)).unwrap();
        let waiting = thread::spawn(move || reader.read(&mut [0; 8]).unwrap());
        ending.end();
        assert_eq!(waiting.join().unwrap(), 0);
        drop(send);
    }

    #[test]
    fn a_write_returns_once_its_bytes_have_left_or_it_is_ended() {
        let (send, written) = channel();
        let (free, blocked) = channel();
        let mut ending = Ending::default();
        let mut writer = ending.writer("test", Full(send, blocked)).unwrap();
        free.send(()).unwrap();
        writer.write_all(b"first").unwrap();
        assert_eq!(written.recv().unwrap(), b"first");
        let waiting = thread::spawn(move || writer.write_all(b"second").unwrap_err().kind());
        assert_eq!(written.recv().unwrap(), b"second");
        assert!(!waiting.is_finished());
        ending.end();
        assert_eq!(waiting.join().unwrap(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_error_of_a_writer_is_that_of_the_write() {
        let (send, written) = channel();
        drop(written);
        let (_free, blocked) = channel();
        let mut writer = Ending::default()
            .writer("test", Full(send, blocked))
            .unwrap();
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
