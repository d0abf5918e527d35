//! Streams of bytes, and the two threads of each.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use lattice_sync::host::{ConnId, Input};

use crate::sync::driver::Message;

/// The most bytes that a thread reads from a stream at a time.
const READ_BYTES: usize = 64 << 10;

/// A stream of bytes to a peer, in both directions.
pub struct Stream {
    /// What the peer writes.
    pub read: Box<dyn Read + Send>,
    /// What the peer reads.
    pub write: Box<dyn Write + Send>,
    /// Ends the stream: calls of `read` and `write` that wait return.
    pub end: Box<dyn FnMut() + Send>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// The two ends of a stream within the process.
    pub fn pair() -> (Self, Self) {
        let ((near, to_far), (far, to_near)) = (pipe(), pipe());
        let end = |near: &Pipe, far: &Pipe| -> Box<dyn FnMut() + Send> {
            let both = [near.clone(), far.clone()];
            Box::new(move || both.iter().for_each(Pipe::end))
        };
        let ends = (end(&near, &far), end(&near, &far));
        let stream = |read: Pipe, write: Pipe, end| Self {
            read: Box::new(read),
            write: Box::new(write),
            end,
        };
        (stream(near, to_near, ends.0), stream(far, to_far, ends.1))
    }
}

/// Both ends of one direction of a stream within the process.
fn pipe() -> (Pipe, Pipe) {
    let pipe = Pipe(Arc::new((Mutex::default(), std::sync::Condvar::new())));
    (pipe.clone(), pipe)
}

/// One direction of a stream within the process. Holds at most [`READ_BYTES`].
#[derive(Clone)]
struct Pipe(Arc<(Mutex<Held>, std::sync::Condvar)>);

#[derive(Default)]
struct Held {
    bytes: std::collections::VecDeque<u8>,
    is_over: bool,
}

impl Pipe {
    fn end(&self) {
        let mut held = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_over = true;
        drop(held);
        self.0.1.notify_all();
    }

    /// Waits until `is_ready`, or until the stream is over.
    fn when(&self, is_ready: impl Fn(&Held) -> bool) -> std::sync::MutexGuard<'_, Held> {
        let (held, changed) = &*self.0;
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |held: &mut Held| !held.is_over && !is_ready(held);
        let held = changed.wait_while(held, wait);
        held.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut held = self.when(|held| !held.bytes.is_empty());
        let read = held.bytes.read(buffer)?;
        drop(held);
        self.0.1.notify_all();
        Ok(read)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.when(|held| held.bytes.len() < READ_BYTES);
        if held.is_over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = (READ_BYTES - held.bytes.len()).min(bytes.len());
        held.bytes.extend(&bytes[..room]);
        drop(held);
        self.0.1.notify_all();
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the thread that writes a stream does next.
enum Order {
    Write(Vec<u8>),
    End,
}

type End = Arc<Mutex<Box<dyn FnMut() + Send>>>;

/// A stream with its threads.
pub(super) struct Wire {
    orders: Sender<Order>,
    end: End,
    writer: JoinHandle<()>,
}

impl Wire {
    /// Starts the threads. They end when the stream ends, or the driver.
    pub(super) fn start(
        conn: ConnId,
        stream: Stream,
        inbox: &SyncSender<Message>,
    ) -> io::Result<Self> {
        let Stream { read, write, end } = stream;
        let end: End = Arc::new(Mutex::new(end));
        let (orders, ordered) = channel();
        let to_driver = inbox.clone();
        Builder::new()
            .name("lattice-sync-read".into())
            .spawn(move || read_all(conn, read, &to_driver))?;
        let (to_driver, ends) = (inbox.clone(), Arc::clone(&end));
        let writer = Builder::new()
            .name("lattice-sync-write".into())
            .spawn(move || {
                write_all(conn, write, &ordered, &to_driver);
                finish(&ends);
            })?;
        Ok(Self {
            orders,
            end,
            writer,
        })
    }

    /// Whether all was written, or the stream is over.
    pub(super) fn is_written(&self) -> bool {
        self.writer.is_finished()
    }

    /// A thread that has ended has said so.
    pub(super) fn write(&self, bytes: Vec<u8>) {
        drop(self.orders.send(Order::Write(bytes)));
    }

    /// Ends the stream after what was written.
    pub(super) fn end(&self) {
        drop(self.orders.send(Order::End));
    }

    /// Ends the stream at once.
    pub(super) fn cut(&self) {
        finish(&self.end);
    }
}

fn finish(end: &End) {
    (end.lock().unwrap_or_else(PoisonError::into_inner))();
}

/// Passes on what comes, until the driver has ended.
fn read_all(conn: ConnId, mut read: Box<dyn Read + Send>, inbox: &SyncSender<Message>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let message = match read.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => Message::Input(Input::Received {
                conn,
                bytes: buffer[..count].to_vec(),
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                drop(inbox.send(Message::Broken { conn, error }));
                break;
            }
        };
        if inbox.send(message).is_err() {
            return;
        }
    }
    drop(inbox.send(Message::Input(Input::Closed { conn })));
}

fn write_all(
    conn: ConnId,
    mut write: Box<dyn Write + Send>,
    orders: &Receiver<Order>,
    inbox: &SyncSender<Message>,
) {
    let mut written = 0;
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if let Err(error) = write.flush() {
                    drop(inbox.send(Message::Broken { conn, error }));
                    return;
                }
                let bytes = std::mem::take(&mut written);
                if bytes > 0
                    && inbox
                        .send(Message::Input(Input::Sent { conn, bytes }))
                        .is_err()
                {
                    return;
                }
                match orders.recv() {
                    Ok(order) => order,
                    Err(_) => break,
                }
            }
        };
        let Order::Write(bytes) = order else {
            break;
        };
        if let Err(error) = write.write_all(&bytes) {
            drop(inbox.send(Message::Broken { conn, error }));
            return;
        }
        written += bytes.len();
    }
    // The farewell is a courtesy to a peer that may be gone.
    drop(write.flush());
}
