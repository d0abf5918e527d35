//! Bundles through pipes, and through readers and writers that do the minimum of their contract.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lattice_backend::bundle::{BundleError, BundleReader, write_bundle};

use super::golden::{golden, golden_code};
use super::{ops, verify, written};
use crate::support::{chain, genesis, op, owner};

/// A test that takes longer hangs.
const STUCK: Duration = Duration::from_secs(60);

#[test]
fn a_bundle_without_ops_is_intact() {
    let bytes = written(&[]);
    let summary = verify(&bytes).unwrap();
    assert_eq!((summary.counts.ops, summary.counts.op_bytes), (0, 0));
    assert_eq!(summary.genesis, genesis());
    assert!(summary.authors.is_empty());
}

#[test]
fn a_bundle_passes_through_a_pipe() {
    let (pipe_reader, pipe_writer) = io::pipe().unwrap();
    let mut made = chain(&owner(), 300);
    // Longer than a pipe holds.
    let long = op(&owner(), made.last(), &[], 1000, &vec![7; 1 << 20]);
    made.push(long);
    let given: Vec<_> = made.iter().map(|op| op.bytes().to_vec()).collect();
    let sent = given.clone();
    let writing = thread::spawn(move || {
        let mut out = BufWriter::new(pipe_writer);
        write_bundle(&mut out, &genesis(), &mut sent.into_iter().map(Ok)).unwrap()
    });
    let mut reader = BundleReader::new(BufReader::new(pipe_reader)).unwrap();
    let mut received = Vec::new();
    while let Some(op) = reader.next_op().unwrap() {
        // Collected ops have no spare capacity.
        assert_eq!(op.capacity(), op.len());
        received.push(op);
    }
    let counts = writing.join().unwrap();
    assert!(received == given);
    assert_eq!(counts.ops, 301);
}

/// A reader can read each op before the writer makes the next: neither side waits for the end.
#[test]
fn ops_arrive_while_the_writer_waits_for_the_next() {
    let (pipe_reader, mut pipe_writer) = io::pipe().unwrap();
    let (go, went) = mpsc::channel();
    let writing = thread::spawn(move || {
        let made = chain(&owner(), 3);
        let mut given = made.iter().map(|op| {
            went.recv_timeout(STUCK)
                .expect("the op before it was not read");
            Ok(op.bytes().to_vec())
        });
        write_bundle(&mut pipe_writer, &genesis(), &mut given).unwrap()
    });
    let mut reader = BundleReader::new(pipe_reader).unwrap();
    for expected in chain(&owner(), 3) {
        go.send(()).unwrap();
        assert_eq!(reader.next_op().unwrap().unwrap(), expected.bytes());
    }
    writing.join().unwrap();
    assert!(reader.next_op().unwrap().is_none());
}

/// A writer without vectored writes that blocks in every call until its bytes are taken.
struct Stalling(mpsc::SyncSender<Vec<u8>>);

impl Write for Stalling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A write may take only part of its buffer.
        let taken = &bytes[..bytes.len().min(7)];
        let sent = self.0.send(taken.to_vec());
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_writer_without_seek_gets_the_same_bytes() {
    let made = chain(&owner(), 5);
    let expected = written(&made);
    let (sender, receiver) = mpsc::sync_channel(0);
    let writing = thread::spawn(move || {
        let mut given = made.iter().map(|op| Ok(op.bytes().to_vec()));
        write_bundle(&mut Stalling(sender), &genesis(), &mut given)
    });
    let mut received = Vec::new();
    while received.len() < expected.len() {
        received.extend(receiver.recv_timeout(STUCK).unwrap());
    }
    assert!(received == expected);
    assert!(receiver.recv().is_err(), "nothing follows");
    assert_eq!(writing.join().unwrap().unwrap().ops, 5);
}

#[test]
fn a_closed_reader_is_an_output_error() {
    let (sender, receiver) = mpsc::sync_channel(0);
    drop(receiver);
    let refused = write_bundle(&mut Stalling(sender), &genesis(), &mut std::iter::empty());
    assert!(
        matches!(&refused, Err(BundleError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe),
        "{refused:?}"
    );
}

/// Returns one byte at a time, interrupted before each, and records the longest buffer.
#[derive(Debug)]
struct Dripping<'a> {
    bytes: &'a [u8],
    interrupted: bool,
    longest: usize,
}

impl<'a> Dripping<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            interrupted: false,
            longest: 0,
        }
    }
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.longest = self.longest.max(buffer.len());
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(1);
        self.bytes.read(&mut buffer[..count])
    }
}

#[test]
fn a_bundle_is_read_one_byte_at_a_time() {
    for bytes in [golden(), golden_code()] {
        let mut dripping = Dripping::new(&bytes);
        let summary = BundleReader::new(&mut dripping).unwrap().verify().unwrap();
        assert_eq!(summary, verify(&bytes).unwrap());
    }
}

/// A length of 16 MiB followed by few bytes must not allocate 16 MiB.
#[test]
fn a_claimed_op_length_allocates_nothing() {
    let bytes = golden();
    let first_op = 20 + usize::from(bytes[16]);
    let mut lying = bytes[..first_op].to_vec();
    lying.extend((16_u32 << 20).to_le_bytes());
    lying.extend(b"few bytes");
    let mut dripping = Dripping::new(&lying);
    let mut reader = BundleReader::new(&mut dripping).unwrap();
    let refused = reader.next_op().unwrap_err();
    assert!(matches!(refused, BundleError::Cut { .. }), "{refused:?}");
    assert!(dripping.longest <= 4096, "{} bytes", dripping.longest);
    assert!(ops(&lying).is_err());
}

/// Nor does a length of a module.
#[test]
fn a_claimed_module_length_allocates_nothing() {
    let bytes = golden_code();
    let first_length = 16 + 4 + usize::from(bytes[16]) + 1 + 36;
    let mut lying = bytes[..first_length].to_vec();
    lying.extend((4_u32 << 20).to_le_bytes());
    lying.extend(b"few bytes");
    let mut dripping = Dripping::new(&lying);
    let refused = BundleReader::new(&mut dripping).unwrap_err();
    assert!(matches!(refused, BundleError::Cut { .. }), "{refused:?}");
    assert!(dripping.longest <= 4096, "{} bytes", dripping.longest);
}
