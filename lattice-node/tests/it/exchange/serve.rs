//! `serve`: on standard input and output, and on a socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use lattice_sync::wire::{Frame, FrameReader};

use super::{Running, World, error, errors, text};
use crate::{eventually, program};

#[test]
fn standard_output_has_frames_and_nothing_else() {
    let world = World::new();
    for options in [
        &[][..],
        &["--json"],
        &["-vvv"],
        &["--read-only", "--store", "kv"],
    ] {
        let mut child = program()
            .env("LATTICE_DATA_DIR", world.dir("alice"))
            .args(["serve", "--stdio"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut greeting = vec![0; 5];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut greeting).unwrap();
        // What comes is not the protocol: it says farewell.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stdout.read_to_end(&mut greeting).unwrap();
        let mut frames = FrameReader::new();
        frames.push(&greeting);
        assert!(matches!(frames.next_frame(), Ok(Some(Frame::Hello(_)))));
        assert!(matches!(frames.next_frame(), Ok(Some(Frame::Bye(_)))));
        assert!(matches!(frames.next_frame(), Ok(None)));
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        assert!(
            errors(&ended).contains("is not the protocol"),
            "{}",
            errors(&ended)
        );
    }
}

#[test]
fn it_ends_with_its_input_and_by_signals() {
    let world = World::new();
    let mut serving = world.start("alice", &["serve", "--stdio"]);
    eventually("the end", || !serving.is_running());
    assert_eq!(serving.child().wait().unwrap().code(), Some(0));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (serving, socket) = world.serve("alice", &["--json"]);
        let ended = serving.end(signal);
        assert_eq!(ended.status.code(), Some(code));
        let error = error(&ended);
        assert_eq!(error["kind"], "interrupted");
        assert!(
            error["next"].as_str().unwrap().contains("serve --unix"),
            "{error}"
        );
        assert!(ended.stdout.is_empty());
        assert!(!socket.exists());
    }
}

#[test]
fn several_peers_meet_at_a_socket() {
    let world = World::with(&["bob", "carol"]);
    let (serving, socket) = world.serve("alice", &["--any-author"]);
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let peer = format!("unix:{}", text(&socket));
    for name in ["bob", "carol"] {
        world.put(name, name);
        world.done(name, &["sync", "kv", &peer, "--any-author"]);
    }
    world.done("bob", &["sync", "kv", &peer, "--any-author"]);
    assert!(world.has("bob", "carol"));
    assert_eq!(world.hash("alice"), world.hash("bob"));
    drop(serving);
}

#[test]
fn a_socket_without_room_for_a_peer_serves_on() {
    let world = World::with(&["bob"]);
    let socket = world.dir("alice.sock");
    let mut shell = Command::new("sh");
    let line = "ulimit -n 32; exec \"$0\" serve --unix \"$1\"";
    shell
        .args(["-c", line, env!("CARGO_BIN_EXE_lattice"), text(&socket)])
        .env("LATTICE_DATA_DIR", world.dir("alice"));
    let mut serving = Running::start(shell);
    eventually("the socket", || socket.exists());
    let connect = || UnixStream::connect(&socket).unwrap();
    // Each connection takes more than one open file there.
    let peers: Vec<UnixStream> = (0..32).map(|_| connect()).collect();
    let said = BufReader::new(serving.child().stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("cannot accept a peer")));
    drop(peers);
    let peer = format!("unix:{}", text(&socket));
    eventually("room", || {
        world.run("bob", &["sync", "kv", &peer]).status.success()
    });
    assert!(serving.is_running());
}

#[test]
fn a_socket_is_refused_while_it_is_served_and_replaced_when_it_is_not() {
    let world = World::with(&["bob"]);
    let (serving, socket) = world.serve("alice", &[]);
    let second = world.run("bob", &["--json", "serve", "--unix", text(&socket)]);
    assert_eq!(second.status.code(), Some(5));
    assert_eq!(error(&second)["kind"], "in_use");
    let peer = format!("unix:{}", text(&socket));
    world.done("bob", &["sync", "kv", &peer]);
    serving.end("-KILL");
    assert!(socket.exists());
    let failed = world.run("bob", &["--json", "sync", "kv", &peer]);
    assert_eq!(failed.status.code(), Some(1));
    let again = world.start("alice", &["serve", "--unix", text(&socket)]);
    eventually("a new socket", || {
        world.run("bob", &["sync", "kv", &peer]).status.success()
    });
    drop(again);
    let file = world.dir("notes.txt");
    fs::write(&file, "text").unwrap();
    let refused = world.run("bob", &["serve", "--unix", text(&file)]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
}

#[test]
fn a_directory_that_is_not_there_is_not_made() {
    let world = World::new();
    let failed = world.run("dave", &["serve", "--stdio"]);
    assert_eq!(failed.status.code(), Some(3), "{}", errors(&failed));
    assert!(!world.dir("dave").exists());
}
