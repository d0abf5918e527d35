use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// Returns what the test sends, and waits for more.
struct Sent(Receiver<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Ok(bytes) = self.0.recv() else {
            return Ok(0);
        };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

#[test]
fn a_signal_ends_the_input_after_what_was_read() {
    let interruption = Arc::new(Interruption::default());
    let (sender, receiver) = channel();
    let mut input = Input::new(&interruption, Sent(receiver));
    let is_cut = input.is_cut();
    sender.send(b"line\nli".to_vec()).expect("the input reads");
    let mut first = [0; 5];
    input.read_exact(&mut first).expect("a line was sent");
    assert_eq!(&first, b"line\n");
    interruption.raise(Signal::Term);
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).expect("the input ends");
    assert_eq!(rest, b"li");
    assert!(is_cut.get());
}

#[test]
fn an_input_that_ends_by_itself_is_not_cut() {
    let interruption = Arc::new(Interruption::default());
    let bytes = vec![7; 200_000];
    let mut input = Input::new(&interruption, io::Cursor::new(bytes.clone()));
    let is_cut = input.is_cut();
    let mut read = Vec::new();
    input.read_to_end(&mut read).expect("all is read");
    assert!(read == bytes && !is_cut.get());
}

#[test]
fn the_first_signal_counts_and_ends_a_pause() {
    let interruption = Interruption::default();
    assert!(interruption.check().is_ok());
    interruption.raise(Signal::Term);
    interruption.raise(Signal::Int);
    let paused = interruption.pause(Duration::from_secs(600));
    assert_eq!(paused.map_err(|failure| failure.code()), Err(143));
}

#[test]
fn a_story_is_told_once_and_in_full() {
    let interruption = Interruption::default();
    interruption.tell(Story {
        stands: "no copy was made".into(),
        next: Some("lattice backup kv copy.db".into()),
        does: "starts again",
        ..Story::default()
    });
    interruption.raise(Signal::Int);
    let outcome = interruption.over(interruption.check());
    let message = outcome.map_err(|failure| failure.message().to_owned());
    let expected = "interrupted; no copy was made; `lattice backup kv copy.db` starts again";
    assert_eq!(message, Err(expected.to_owned()));
    let done = interruption.over(Ok(())).map_err(|failure| failure.code());
    assert_eq!(done, Err(130));
}

#[test]
fn a_command_that_ends_by_itself_is_not_ended_by_one_signal() {
    let interruption = Interruption::default();
    interruption.end_by_itself();
    interruption.raise(Signal::Int);
    assert!(interruption.take(Duration::from_secs(3600)).is_none());
    assert!(is_twice(true, Duration::from_secs(1)));
    // `timeout` sends the signal to the process and to its group.
    assert!(!is_twice(true, Duration::from_millis(1)));
    assert!(!is_twice(false, Duration::from_secs(1)));
}
