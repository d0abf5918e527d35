//! Streams that end, fail or carry something else.

use std::io::{self, Read, Write};

use lattice_sync::Lost;
use lattice_sync::wire::Farewell;

use super::*;

fn lost(peer: &mut Peer) -> Lost {
    peer.until(|happened| match happened {
        Happened::Event(Event::Lost { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn bytes_of_something_else_end_the_connection() {
    let mut one = Peer::new(any());
    let (near, mut far) = Stream::pair();
    one.syncer.connect(near, Side::Accepted);
    far.write
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .unwrap();
    assert_eq!(lost(&mut one), Lost::Here(Farewell::Protocol));
    let mut rest = Vec::new();
    far.read.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_peer_that_goes_is_lost_and_farewell_is_said() {
    let (mut one, two) = (Peer::new(any()), Peer::new(any()));
    connect(&two, &one);
    let Peer { syncer, .. } = two;
    one.until(|happened| matches!(happened, Happened::Event(Event::Met { .. })).then_some(()));
    syncer.close();
    assert_eq!(lost(&mut one), Lost::There(Farewell::Closing));
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let mut one = Peer::new(any());
    connect(&one, &one);
    assert!(matches!(
        lost(&mut one),
        Lost::Here(Farewell::Oneself) | Lost::There(Farewell::Oneself)
    ));
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the cable is out"))
    }
}

impl Write for Fails {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the cable is out"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_that_fails_is_reported_and_lost() {
    let mut one = Peer::new(any());
    let stream = Stream {
        read: Box::new(Fails),
        write: Box::new(Fails),
        end: Box::new(|| ()),
    };
    one.syncer.connect(stream, Side::Dialled);
    let error = one.until(|happened| match happened {
        Happened::Stream { error, .. } => Some(error.to_string()),
        _ => None,
    });
    assert_eq!(error, "the cable is out");
    assert_eq!(lost(&mut one), Lost::Cut);
}

/// A peer that reads nothing.
struct Deaf;

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn closing_does_not_wait_for_a_peer_that_does_not_read() {
    let one = Peer::new(any());
    let (near, _far) = Stream::pair();
    let stream = Stream {
        write: Box::new(Deaf),
        ..near
    };
    one.syncer.connect(stream, Side::Dialled);
    let began = Instant::now();
    let Peer { syncer, .. } = one;
    syncer.close();
    assert!(began.elapsed() < PATIENCE);
}
