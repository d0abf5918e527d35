//! Sides that are killed or interrupted in the middle of an exchange.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{World, error, errors, text};
use crate::signals::handles;
use crate::{eventually, lattice};

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

/// The ops of the store `big` that a directory has durably.
fn durable(world: &World, name: &str) -> u64 {
    let info = world.run(name, &["--json", "info", "big"]);
    match info.status.success() {
        true => super::json(&String::from_utf8(info.stdout).unwrap())["ops"]
            .as_u64()
            .unwrap(),
        false => 0,
    }
}

/// Ends both sides or one of them at many places of the exchange. What was durable is not sent
/// again, and nothing is lost. `LATTICE_SYNC_KILLS` sets the number of places.
#[test]
fn a_side_that_is_killed_loses_nothing_and_the_next_exchange_continues() {
    let places: u32 = std::env::var("LATTICE_SYNC_KILLS").map_or(6, |text| text.parse().unwrap());
    let (world, place) = large();
    let begun = Instant::now();
    world.done("whole", &["clone", &place, "--alias", "big"]);
    let whole = begun.elapsed();
    let ops = u64::try_from(OPS).unwrap();
    let (mut began, mut between) = (0, 0);
    for nth in 0..places {
        let name = format!("bob {nth}");
        let delay = whole * nth / places;
        // The side that takes, or the side that gives.
        let takes = nth % 2 == 0;
        let via = world.dir("serving");
        let serving = format!(
            "echo $$ > {0}; exec {1}",
            text(&via),
            world.serving("alice", "")
        );
        fs::write(&via, "").unwrap();
        let words = ["clone", "big", "--via", &serving, "--alias", "big"];
        let mut cloning = world.start(&name, &words);
        let begun = Instant::now();
        while cloning.is_running() && begun.elapsed() < delay {
            std::thread::yield_now();
        }
        if !takes {
            let process = fs::read_to_string(&via).unwrap();
            if !process.trim().is_empty() {
                let mut kill = Command::new("kill");
                kill.args(["-KILL", process.trim()]);
                // It may have ended.
                kill.stderr(Stdio::null()).status().unwrap();
            }
            eventually("the end of the clone", || !cloning.is_running());
        }
        // Kills it.
        drop(cloning);
        let is_there = world.run(&name, &["peek", "big"]).status.success();
        began += u32::from(is_there);
        if is_there {
            world.done(&name, &["verify", "big"]);
        }
        let before = durable(&world, &name);
        between += u32::from(before > 0 && before < ops);
        let state = world.done(&name, &["--json", "clone", &place, "--alias", "big"]);
        let state = super::json(&state);
        assert_eq!(state["received"], ops - before, "place {nth}: {state}");
        assert_eq!(hash(&world, "alice"), hash(&world, &name), "place {nth}");
        fs::remove_dir_all(world.dir(&name)).unwrap();
    }
    eprintln!("{places} kills: {began} after the store was made, {between} between its ops");
}

#[test]
fn ctrl_c_says_what_is_durable() {
    let (world, place) = large();
    for delay in [30, 100, 250] {
        let mut cloning = world.start("bob", &["--json", "clone", &place, "--alias", "big"]);
        handles(cloning.child());
        let begun = Instant::now();
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
