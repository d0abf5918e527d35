//! Sides that are killed or interrupted in the middle of an exchange.

use std::fs;

use super::{World, error, errors, text};
use crate::lattice;
use crate::signals::handles;

/// Ops of the large store, each of its own.
const OPS: usize = 2000;

/// A store `big` of alice, and where bob gets it.
fn large() -> (World, String) {
    let world = World::new();
    let alice = world.dir("alice");
    world.done("alice", &["create", "core:kvstore", "--alias", "big"]);
    let lines: String = (0..OPS).map(|row| format!("key {row}\tvalue\n")).collect();
    let file = world.dir("rows.txt");
    fs::write(&file, lines).unwrap();
    let made = lattice(
        &alice,
        &[
            "import",
            "big",
            text(&file),
            "--format",
            "lines",
            "--batch",
            "1",
        ],
    );
    assert!(made.status.success(), "{}", errors(&made));
    let place = format!("{}/big", text(&alice));
    (world, place)
}

fn hash(world: &World, name: &str) -> String {
    let info = super::json(&world.done(name, &["--json", "info", "big"]));
    info["state_hash"].as_str().unwrap().to_owned()
}

#[test]
fn a_side_that_is_killed_loses_nothing_and_the_next_exchange_continues() {
    let (world, place) = large();
    for delay in [0, 20, 60, 150, 400] {
        let mut cloning = world.start("bob", &["clone", &place, "--alias", "big"]);
        let begun = std::time::Instant::now();
        while cloning.is_running() && begun.elapsed().as_millis() < delay {
            std::thread::yield_now();
        }
        if cloning.is_running() {
            cloning.end("-KILL");
        }
        let is_there = world.run("bob", &["peek", "big"]).status.success();
        if is_there {
            world.done("bob", &["verify", "big"]);
        }
    }
    world.done("bob", &["clone", &place, "--alias", "big"]);
    assert_eq!(hash(&world, "alice"), hash(&world, "bob"));
}

#[test]
fn ctrl_c_says_what_is_durable() {
    let (world, place) = large();
    for delay in [30, 100, 250] {
        let mut cloning = world.start("bob", &["--json", "clone", &place, "--alias", "big"]);
        handles(cloning.child());
        let begun = std::time::Instant::now();
        while cloning.is_running() && begun.elapsed().as_millis() < delay {
            std::thread::yield_now();
        }
        if !cloning.is_running() {
            continue;
        }
        let ended = cloning.end("-INT");
        if ended.status.code() == Some(130) {
            let error = error(&ended);
            assert_eq!(error["kind"], "interrupted");
            assert!(error["next"].is_string(), "{error}");
            assert!(error["stands"].is_string(), "{error}");
        } else {
            assert_eq!(ended.status.code(), Some(0), "{}", errors(&ended));
        }
    }
    world.done("bob", &["clone", &place, "--alias", "big"]);
    assert_eq!(hash(&world, "alice"), hash(&world, "bob"));
}
