//! Standard input and output, pipes and FIFOs in place of files.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Site, assert_done, fed, json, start, text, text_of};
use crate::borders::contents;
use crate::{lattice, printed};

#[test]
fn a_pipe_carries_a_store_to_another_directory() {
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
    assert!(text(&created.stderr).ends_with(" to standard output\n"));
    assert_eq!(
        text(&applied.stderr),
        "3 ops applied to a new replica, 0 ops already known\n"
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
fn tips_are_read_from_a_pipe() {
    let site = Site::new();
    assert_done(&fed(&site.bob(), &["bundle", "apply", "-"], &site.bundle()));
    printed(&site.alice(), &["put", "kv", "4", "value"]);
    let id = printed(&site.alice(), &["--json", "peek", "kv"]);
    let id = json(&id)["store_id"].as_str().unwrap().to_owned();
    let tips = printed(&site.bob(), &["bundle", "tips", &id]);
    let words = ["bundle", "create", "kv", "-", "--since", "-"];
    let news = fed(&site.alice(), &words, tips.as_bytes());
    assert_done(&news);
    let applied = fed(&site.bob(), &["bundle", "apply", "-"], &news.stdout);
    assert_done(&applied);
    assert_eq!(text(&applied.stderr), "1 op applied, 0 ops already known\n");
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
    // Into a directory with stores, and into a directory that does not exist.
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
fn a_bundle_is_read_from_a_pipe_by_any_name() {
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
        // Opening the FIFO blocks until the program opens it, too.
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
        // The same names, for a regular file.
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
fn a_file_named_dash_is_given_with_a_slash() {
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
