//! Stores that one side knows by a name only.

use lattice_sync::host::{ConnId, Input, Output, Side, Time};
use lattice_sync::wire::{Find, Found, Frame, Hello, MAX_FIND_BYTES, MAX_FOUND_BYTES};
use lattice_sync::{Config, Core, Event, FindFault};

use crate::desk::{CONN, Desk, hello, talk};
use crate::sim::world::key;

fn ask(desk: &mut Desk, name: &str) {
    let (conn, name) = (CONN, name.to_owned());
    desk.input(Input::Find { conn, name });
}

/// The answers, oldest first.
fn answers(desk: &Desk) -> Vec<(&str, Result<&[u8], FindFault>)> {
    let found = desk.events.iter().filter_map(|event| match event {
        Event::Found { name, record, .. } => Some((&**name, record.as_deref().map_err(|why| *why))),
        _ => None,
    });
    found.collect()
}

fn questions(frames: &[Frame]) -> usize {
    let is_question = |frame: &&Frame| matches!(frame, Frame::Find(_));
    frames.iter().filter(is_question).count()
}

/// The greeting of a peer of an older program.
pub(crate) fn old_hello() -> Frame {
    let Frame::Hello(found) = hello() else {
        panic!()
    };
    Frame::Hello(Hello {
        features: 0,
        ..found
    })
}

#[test]
fn a_store_is_found_by_its_name_also_before_the_greeting() {
    let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
    one.stores.insert("theirs", Some(b"other record".to_vec()));
    two.stores.insert("notes", Some(b"record".to_vec()));
    two.stores.insert("secret", None);
    one.connect(Side::Dialled);
    two.connect(Side::Accepted);
    ask(&mut one, "notes");
    assert_eq!(questions(&one.sent), 0, "the peer is not known yet");
    talk(&mut one, &mut two);
    ask(&mut one, "secret");
    ask(&mut two, "theirs");
    talk(&mut one, &mut two);
    let expected = [
        ("notes", Ok(&b"record"[..])),
        ("secret", Err(FindFault::NotThere)),
    ];
    assert_eq!(answers(&one), expected);
    assert_eq!(answers(&two), [("theirs", Ok(&b"other record"[..]))]);
    assert!(!one.is_closed && !two.is_closed);
}

#[test]
fn a_peer_that_does_not_announce_it_is_not_asked() {
    let mut desk = Desk::new(0, |_| ());
    desk.connect(Side::Dialled);
    ask(&mut desk, "before");
    desk.feed(old_hello());
    ask(&mut desk, "after");
    let why = Err(FindFault::Unsupported);
    assert_eq!(answers(&desk), [("before", why), ("after", why)]);
    assert_eq!(questions(&desk.sent), 0);
}

#[test]
fn each_question_has_one_answer_also_if_the_connection_ends() {
    let mut desk = Desk::new(0, |_| ());
    ask(&mut desk, "no connection");
    desk.connect(Side::Dialled);
    ask(&mut desk, &"n".repeat(MAX_FIND_BYTES + 1));
    ask(&mut desk, "early");
    desk.feed(hello());
    for number in 1..20 {
        ask(&mut desk, &format!("name {number}"));
    }
    assert_eq!(questions(&desk.sent), 16);
    // The answer to one makes room for the next one.
    let record = None;
    desk.feed(Frame::Found(Found { number: 3, record }));
    assert_eq!(questions(&desk.sent), 17);
    desk.input(Input::Closed { conn: CONN });
    let found = answers(&desk);
    assert_eq!(found.len(), 2 + 20);
    let is_there = |name: &str, why| found.contains(&(name, Err(why)));
    assert!(is_there("no connection", FindFault::Cut));
    assert!(is_there(
        &"n".repeat(MAX_FIND_BYTES + 1),
        FindFault::NotThere
    ));
    assert!(is_there("name 3", FindFault::NotThere));
    assert!(is_there("early", FindFault::Cut) && is_there("name 19", FindFault::Cut));
    assert!(matches!(desk.events.last(), Some(Event::Lost { .. })));
}

#[test]
fn a_host_that_answers_twice_or_too_long_sends_no_wrong_frame() {
    let mut desk = Desk::greeted(|_| ());
    desk.sent.clear();
    let known = |number, len| Input::Known {
        conn: CONN,
        number,
        record: Some(vec![7; len]),
    };
    desk.input(known(4, 3));
    assert!(desk.sent.is_empty(), "not asked: {:?}", desk.sent);
    for number in [4, 5] {
        let name = "name".to_owned();
        desk.feed(Frame::Find(Find { number, name }));
    }
    desk.input(known(4, MAX_FOUND_BYTES));
    desk.input(known(4, 3));
    desk.input(known(5, MAX_FOUND_BYTES + 1));
    let found = |number, record| Frame::Found(Found { number, record });
    let expected = [found(4, Some(vec![7; MAX_FOUND_BYTES])), found(5, None)];
    assert_eq!(desk.sent, expected);
}

/// A peer that asks and does not read makes this side hold no more answers than it has room for.
#[test]
fn questions_wait_until_there_is_room_for_answers() {
    let mut config = Config::new(key(0));
    config.unsent_bytes = 10;
    let mut core = Core::new(config, [1; 32]);
    let (now, conn, side) = (Time::from_ms(0), ConnId(1), Side::Accepted);
    let peer = None;
    core.on_input(now, Input::Connected { conn, side, peer });
    let (number, name) = (0, "name".to_owned());
    let find = Frame::Find(Find { number, name });
    let bytes = [hello().encode(), find.encode()].concat();
    let asks = |outputs: &[Output]| {
        let is_question = |output: &&Output| matches!(output, Output::Find { .. });
        outputs.iter().filter(is_question).count()
    };
    let outputs = core.on_input(now, Input::Received { conn, bytes });
    assert_eq!(asks(&outputs), 0, "the greeting is not sent yet");
    // Nothing waits for an answer yet.
    let record = None;
    let known = Input::Known {
        conn,
        number,
        record,
    };
    assert!(core.on_input(now, known).is_empty());
    let outputs = core.on_input(now, Input::Sent { conn, bytes: 1000 });
    assert_eq!(asks(&outputs), 1);
    assert!(matches!(&outputs[..], [Output::Find { peer, .. }] if *peer == key(7)));
}
