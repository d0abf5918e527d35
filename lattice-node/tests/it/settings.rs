//! Settings of `config.toml` and of the environment, by what they do.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{copy_dir, lattice, printed, state_db};

fn configure(dir: &Path, text: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
}

fn noted(dir: &Path, words: &[&str]) -> String {
    let output = lattice(dir, words);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

#[test]
fn colours_come_from_the_file_unless_an_option_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    printed(dir.path(), &["create", "core:kvstore"]);
    assert!(!printed(dir.path(), &["types"]).contains('\u{1b}'));
    configure(dir.path(), "color = \"always\"\n");
    assert!(printed(dir.path(), &["types"]).contains('\u{1b}'));
    assert!(!printed(dir.path(), &["--color", "never", "types"]).contains('\u{1b}'));
    let help = |color: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lattice"));
        let output = command.arg("--help").env("LATTICE_COLOR", color).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(help("always").contains('\u{1b}'));
    assert!(!help("auto").contains('\u{1b}'));
}

#[test]
fn a_store_of_another_directory_is_trusted_if_the_file_says_so() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = printed(theirs.path(), &["create", "core:kvstore"]);
    let id = id.trim();
    let (of, to) = (state_db(theirs.path(), id), state_db(ours.path(), id));
    printed(ours.path(), &["create", "core:kvstore"]);
    copy_dir(of.parent().unwrap(), to.parent().unwrap());
    let there = tempfile::tempdir().unwrap();
    copy_dir(ours.path(), there.path());
    let put = ["put", id, "a", "b"];
    assert!(noted(ours.path(), &put).contains("verifying it first"));
    configure(there.path(), "verify = \"trust\"\n");
    assert!(noted(there.path(), &put).contains("was not verified"));
}

#[cfg(feature = "wasm")]
#[test]
fn a_publisher_gets_the_policy_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let key = printed(dir.path(), &["identity", "--create"]);
    let trust = ["code", "trust", "org.example.chat", key.trim()];
    assert!(printed(dir.path(), &trust).contains("policy ask"));
    configure(dir.path(), "code_policy = \"follow\"\n");
    assert!(printed(dir.path(), &trust).contains("policy follow"));
    let asks = [&trust[..], &["--policy", "ask"]].concat();
    assert!(printed(dir.path(), &asks).contains("policy ask"));
}

#[test]
fn the_wait_of_the_file_holds() {
    let dir = tempfile::tempdir().unwrap();
    let id = printed(dir.path(), &["create", "core:kvstore"]);
    let held = lattice_backend::redb::RedbBackend::on_files();
    use lattice_backend::backend::{OpenOptions, StateBackend};
    let work = OpenOptions::long_work("a test", std::time::Duration::ZERO);
    let _turn = held.open(&state_db(dir.path(), id.trim()), &work).unwrap();
    let failed = |words: &[&str]| {
        let output = lattice(dir.path(), words);
        assert_eq!(output.status.code(), Some(5));
        String::from_utf8(output.stderr).unwrap()
    };
    configure(dir.path(), "wait = 0\n");
    let at_once = std::time::Instant::now();
    failed(&["put", id.trim(), "a", "b"]);
    // The default is ten seconds.
    assert!(at_once.elapsed().as_secs() < 8);
}

/// `script` makes the terminal.
#[test]
fn the_pager_shows_what_is_longer_than_the_terminal() {
    let help = |rows: usize, pager: &str| {
        let program = env!("CARGO_BIN_EXE_lattice");
        let line = format!("stty rows {rows} cols 80; {program} --color never help json");
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]);
        let output = script
            .env("LATTICE_PAGER", pager)
            .env("TERM", "xterm")
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let paged = "sed s/^/paged:/";
    let Some(long) = help(10, paged) else {
        eprintln!("skipped: script is not installed");
        return;
    };
    let shows =
        |text: &str, start: &str| text.contains(&format!("{start}JSON: what --json prints"));
    assert!(shows(&long, "paged:"), "{long}");
    let short = help(200, paged).unwrap();
    assert!(shows(&short, "") && !short.contains("paged:"), "{short}");
    // A pager that is not there hides nothing.
    assert!(shows(&help(10, "no-such-pager").unwrap(), ""));
}
