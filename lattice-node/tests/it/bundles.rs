//! Bundles through pipes, and what is left of those that fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::borders::contents;
use crate::{lattice, printed};

fn start(dir: &Path, words: &[&str], stdin: Stdio, stdout: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(words)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program with these bytes behind a pipe to its standard input.
fn fed(dir: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = start(dir, words, Stdio::piped(), Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    // One that refuses its input early closes the pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A data directory with a key-value store `kv` of three ops; a second one beside it is not there
/// yet.
struct Site {
    home: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            home: tempfile::tempdir().unwrap(),
        };
        printed(&site.alice(), &["create", "core:kvstore", "--alias", "kv"]);
        for place in ["1", "2", "3"] {
            printed(&site.alice(), &["put", "kv", place, "value"]);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn alice(&self) -> PathBuf {
        self.path("alice")
    }

    fn bob(&self) -> PathBuf {
        self.path("bob")
    }

    /// The bundle of all ops, made as a file.
    fn bundle(&self) -> Vec<u8> {
        let file = self.path("made.bundle");
        if !file.exists() {
            printed(&self.alice(), &["bundle", "create", "kv", text_of(&file)]);
        }
        fs::read(file).unwrap()
    }

    fn state_hash(&self, dir: &Path) -> String {
        let id = json(&printed(&self.alice(), &["--json", "peek", "kv"]))["store_id"].clone();
        let info = printed(dir, &["--json", "info", id.as_str().unwrap()]);
        json(&info)["state_hash"].as_str().unwrap().to_owned()
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_store_goes_from_one_directory_to_another_through_a_pipe() {
    let site = Site::new();
    let mut creating = start(
        &site.alice(),
        &["bundle", "create", "kv", "-"],
        Stdio::null(),
        Stdio::piped(),
    );
    let pipe = Stdio::from(creating.stdout.take().unwrap());
    let applying = start(&site.bob(), &["bundle", "apply", "-"], pipe, Stdio::piped());
    let (created, applied) = (
        creating.wait_with_output().unwrap(),
        applying.wait_with_output().unwrap(),
    );
    assert_done(&created);
    assert_done(&applied);
    assert!(text(&created.stderr).ends_with(" in standard output\n"));
    assert_eq!(
        text(&applied.stderr),
        "3 ops applied into a new replica, 0 ops known before\n"
    );
    assert_eq!(site.state_hash(&site.alice()), site.state_hash(&site.bob()));
}

#[test]
fn standard_output_has_the_bytes_of_the_file_and_nothing_else() {
    let site = Site::new();
    let words = ["bundle", "create", "kv", "-"];
    let plain = lattice(&site.alice(), &words);
    assert_done(&plain);
    assert!(plain.stdout == site.bundle());
    let as_json = lattice(&site.alice(), &[&["--json"], &words[..]].concat());
    assert!(as_json.stdout == site.bundle());
    let value = json(&text(&as_json.stderr));
    assert_eq!(value["ops"], 3);
    assert_eq!(value["bytes"], site.bundle().len());
    let quiet = lattice(&site.alice(), &[&["-q"], &words[..]].concat());
    assert!(quiet.stdout == site.bundle() && quiet.stderr.is_empty());
    let verified = fed(&site.bob(), &["bundle", "verify", "-"], &plain.stdout);
    assert_done(&verified);
    assert!(text(&verified.stdout).starts_with("ok: 3 ops of 1 author"));
    assert!(!site.bob().exists());
}

#[test]
fn leaves_come_through_a_pipe_too() {
    let site = Site::new();
    assert_done(&fed(&site.bob(), &["bundle", "apply", "-"], &site.bundle()));
    printed(&site.alice(), &["put", "kv", "4", "value"]);
    let id = printed(&site.alice(), &["--json", "peek", "kv"]);
    let id = json(&id)["store_id"].as_str().unwrap().to_owned();
    let leaves = printed(&site.bob(), &["bundle", "leaves", &id]);
    let words = ["bundle", "create", "kv", "-", "--since", "-"];
    let news = fed(&site.alice(), &words, leaves.as_bytes());
    assert_done(&news);
    let applied = fed(&site.bob(), &["bundle", "apply", "-"], &news.stdout);
    assert_done(&applied);
    assert_eq!(text(&applied.stderr), "1 op applied, 0 ops known before\n");
}

#[test]
fn a_damaged_bundle_from_a_pipe_changes_nothing() {
    let site = Site::new();
    let bytes = site.bundle();
    let mut damaged = vec![Vec::new(), [&bytes[..], b"x"].concat()];
    damaged.extend(
        [7, 16, 60, 200, 500, bytes.len() - 53, bytes.len() - 1].map(|cut| {
            let cut = &bytes[..cut];
            cut.to_vec()
        }),
    );
    damaged.extend([20, 110, 400, bytes.len() - 50, bytes.len() - 1].map(|at| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        flipped
    }));
    // Into a directory that has one op, and into one that is not there.
    printed(
        &site.alice(),
        &["create", "core:kvstore", "--alias", "other"],
    );
    let (hash, before) = (site.state_hash(&site.alice()), contents(&site.alice()));
    for bundle in &damaged {
        for dir in [site.alice(), site.bob()] {
            let refused = fed(&dir, &["--json", "bundle", "apply", "-"], bundle);
            assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
            let error = json(&text(&refused.stderr))["error"].clone();
            assert_eq!(error["kind"], "damaged");
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("standard input: "), "{message}");
            assert!(refused.stdout.is_empty());
        }
    }
    assert_eq!(contents(&site.alice()), before);
    assert_eq!(site.state_hash(&site.alice()), hash);
    assert!(!site.bob().exists());
}

#[test]
fn what_is_no_regular_file_is_taken_by_any_of_its_names() {
    let site = Site::new();
    let bytes = site.bundle();
    let fifo = site.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    for (place, verb) in ["apply", "verify", "apply"].iter().enumerate() {
        let dir = site.path(&format!("fifo-{place}"));
        let child = start(
            &dir,
            &["bundle", verb, text_of(&fifo)],
            Stdio::null(),
            Stdio::piped(),
        );
        // Opening it waits for the program to do the same.
        File::options()
            .write(true)
            .open(&fifo)
            .unwrap()
            .write_all(&bytes)
            .unwrap();
        assert_done(&child.wait_with_output().unwrap());
        if *verb == "apply" {
            assert_eq!(site.state_hash(&dir), site.state_hash(&site.alice()));
        }
    }
    for (place, name) in ["/dev/stdin", "/dev/fd/0", "-"].iter().enumerate() {
        let dir = site.path(&format!("name-{place}"));
        assert_done(&fed(&dir, &["bundle", "apply", name], &bytes));
        assert_eq!(site.state_hash(&dir), site.state_hash(&site.alice()));
        // Behind the name there is a regular file.
        let file = File::open(site.path("made.bundle")).unwrap();
        let child = start(
            &dir,
            &["bundle", "apply", name],
            file.into(),
            Stdio::piped(),
        );
        assert_done(&child.wait_with_output().unwrap());
    }
}

#[test]
fn a_file_called_by_a_dash_has_a_slash() {
    let site = Site::new();
    fs::write(site.path("-"), site.bundle()).unwrap();
    let run = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_lattice"))
            .env("LATTICE_DATA_DIR", site.bob())
            .current_dir(site.home.path())
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    assert_done(&run(&["bundle", "verify", "./-"]));
    let refused = run(&["bundle", "verify", "-"]);
    assert_eq!(
        text(&refused.stderr),
        "lattice: standard input: expected a bundle, found no bytes\n"
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_writer_quietly() {
    let site = Site::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = start(
        &site.alice(),
        &["bundle", "create", "kv", "-"],
        Stdio::null(),
        writer.into(),
    );
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(text(&ended.stderr), "");
    // As of every command whose output nobody reads.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = start(
        &site.alice(),
        &["export", "kv"],
        Stdio::null(),
        writer.into(),
    );
    let exported = child.wait_with_output().unwrap();
    assert_eq!(
        (exported.status.code(), exported.stderr),
        (ended.status.code(), ended.stderr)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_full_is_an_error() {
    let site = Site::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let words = ["bundle", "create", "kv", "-"];
    let child = start(&site.alice(), &words, Stdio::null(), full.into());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).starts_with("lattice: cannot print: "));
}

/// Files of a directory whose names have to do with bundles.
fn left_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("bundle")).collect()
}

#[test]
fn a_create_that_fails_or_is_killed_leaves_no_file() {
    let site = Site::new();
    let value = site.path("value");
    fs::write(&value, vec![b'x'; 1 << 20]).unwrap();
    let stdin = File::open(&value).unwrap();
    let put = start(
        &site.alice(),
        &["put", "kv", "long"],
        stdin.into(),
        Stdio::null(),
    );
    assert_done(&put.wait_with_output().unwrap());
    let target = site.path("target");
    fs::create_dir(&target).unwrap();
    let file = target.join("x.bundle");
    // Files may have 64 KiB; beyond that a write fails, or the signal kills.
    let limited = |trap: &str| {
        Command::new("sh")
            .args([
                "-c",
                &format!("{trap}ulimit -c 0; ulimit -f 128; exec \"$@\""),
            ])
            .args([
                "sh",
                env!("CARGO_BIN_EXE_lattice"),
                "bundle",
                "create",
                "kv",
            ])
            .arg(&file)
            .env("LATTICE_DATA_DIR", site.alice())
            .output()
            .unwrap()
    };
    let failed = limited("trap '' XFSZ; ");
    assert_eq!(failed.status.code(), Some(1));
    let message = text(&failed.stderr);
    assert!(
        message.starts_with(&format!("lattice: cannot make {}: ", file.display())),
        "{message}"
    );
    assert_eq!(left_in(&target), [""; 0]);
    let killed = limited("");
    assert_eq!(killed.status.code(), None);
    assert!(!file.exists());
}

#[test]
fn an_interrupted_create_leaves_nothing() {
    let site = Site::new();
    let value = site.path("value");
    fs::write(&value, vec![b'x'; 12 << 20]).unwrap();
    for key in ["a", "b", "c", "d"] {
        let stdin = File::open(&value).unwrap();
        let put = start(
            &site.alice(),
            &["put", "kv", key],
            stdin.into(),
            Stdio::null(),
        );
        assert_done(&put.wait_with_output().unwrap());
    }
    let target = site.path("target");
    fs::create_dir(&target).unwrap();
    let mut interruptions = 0;
    for round in 0..40 {
        let file = target.join(format!("{round}.bundle"));
        let words = ["bundle", "create", "kv", text_of(&file)];
        let mut child = start(&site.alice(), &words, Stdio::null(), Stdio::null());
        while left_in(&target).is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        let _ = Command::new("kill")
            .args(["-INT", &pid])
            .stderr(Stdio::null())
            .status();
        let ended = child.wait_with_output().unwrap();
        match ended.status.code() {
            Some(130) => {
                interruptions += 1;
                assert_eq!(text(&ended.stderr), "lattice: interrupted\n");
            }
            // It was done before the signal came.
            Some(0) => assert!(file.exists()),
            code => panic!("ended with {code:?}: {}", text(&ended.stderr)),
        }
        // Nothing hidden is left, and what has its name is intact.
        for name in left_in(&target) {
            printed(
                &site.alice(),
                &["bundle", "verify", text_of(&target.join(&name))],
            );
            fs::remove_file(target.join(name)).unwrap();
        }
        if interruptions == 3 {
            return;
        }
    }
    panic!("{interruptions} interruptions came in time");
}
