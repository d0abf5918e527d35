//! Questions for stores, and answers, that break the rules.

use lattice_sync::host::{Input, Side};
use lattice_sync::wire::{Find, Found, Frame};

use crate::desk::{CONN, Desk, hello};
use crate::finds::old_hello;

fn find(number: u32) -> Frame {
    let name = "name".to_owned();
    Frame::Find(Find { number, name })
}

fn found(number: u32) -> Frame {
    let record = Some(b"record".to_vec());
    Frame::Found(Found { number, record })
}

#[test]
fn a_peer_has_at_most_16_open_questions() {
    let mut desk = Desk::greeted(|_| ());
    for number in 0..16 {
        desk.feed(find(number));
        assert_eq!(desk.finds.len(), usize::try_from(number).unwrap() + 1);
    }
    let record = None;
    let (conn, number) = (CONN, 7);
    desk.input(Input::Known {
        conn,
        number,
        record,
    });
    // The number of a question that was answered is free.
    desk.feed(find(7));
    assert!(!desk.is_closed);
    desk.feed(find(16));
    let rule = Some("more questions for stores are open than are allowed");
    assert_eq!((desk.is_closed, desk.rule()), (true, rule));
}

#[test]
fn the_number_of_an_open_question_is_not_used_again() {
    let mut desk = Desk::greeted(|_| ());
    desk.feed(find(1));
    desk.feed(find(1));
    let rule = Some("a question for a store has the number of an open one");
    assert_eq!((desk.is_closed, desk.rule()), (true, rule));
}

#[test]
fn an_answer_is_asked_for_and_comes_once() {
    let rule = Some("an answer about a store was not asked for");
    let mut desk = Desk::greeted(|_| ());
    desk.feed(found(0));
    assert_eq!((desk.is_closed, desk.rule()), (true, rule));
    let mut desk = Desk::greeted(|_| ());
    let (conn, name) = (CONN, "name".to_owned());
    desk.input(Input::Find { conn, name });
    desk.feed(found(0));
    assert!(!desk.is_closed);
    desk.feed(found(0));
    assert_eq!((desk.is_closed, desk.rule()), (true, rule));
}

#[test]
fn a_peer_asks_after_a_greeting_that_announces_it() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    desk.feed(find(0));
    assert_eq!(desk.rule(), Some("the first frame is no greeting"));
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    desk.feed(old_hello());
    desk.feed(find(0));
    let rule = Some("a peer asks for a store and did not announce that");
    assert_eq!((desk.is_closed, desk.rule()), (true, rule));
    assert!(desk.finds.is_empty());
    // Nor after the end of the connection.
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Accepted);
    desk.feed(hello());
    desk.input(Input::Close { conn: CONN });
    desk.feed(find(0));
    assert!(desk.finds.is_empty());
}
