//! Recorded sessions of the program, in `tests/cli/*.md`: the output of every command, as text and
//! as JSON. `PAGES` are pages of the manual whose commands are run as well. A session runs in its
//! own directory. If a directory of the session's name is next to it, the session starts with
//! copies of its files.
//!
//! After an intended change, `UPDATE_SESSIONS=1 cargo test -p lattice-node sessions` rewrites the
//! files.

mod shell;
mod stores;
mod width;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use shell::Shell;

const CLI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli");
/// Pages of `docs/` that are recorded sessions.
const PAGES: [&str; 2] = ["backups.md", "my-disk-failed.md"];
const UPDATE: &str = "UPDATE_SESSIONS";

#[test]
fn every_session_prints_what_was_recorded() {
    let fixtures = tempfile::tempdir().unwrap();
    stores::make(fixtures.path());
    let mut changed = Vec::new();
    for session in sessions() {
        let recorded = fs::read_to_string(&session).unwrap();
        let played = play(&session, &recorded, fixtures.path());
        if played == recorded {
            continue;
        }
        if env::var_os(UPDATE).is_some() {
            fs::write(&session, played).unwrap();
            continue;
        }
        let first = recorded
            .lines()
            .zip(played.lines())
            .position(|(a, b)| a != b);
        let shown = |text: &str| {
            let from = first.unwrap_or(0).saturating_sub(3);
            let lines: Vec<_> = text.lines().skip(from).take(12).collect();
            lines.join("\n")
        };
        changed.push(format!(
            "{}, line {}\n--- recorded\n{}\n--- now\n{}\n",
            session.display(),
            first.map_or(0, |line| line + 1),
            shown(&recorded),
            shown(&played)
        ));
    }
    assert!(
        changed.is_empty(),
        "\n{}\n{UPDATE}=1 records them again",
        changed.join("\n")
    );
}

/// Runs the commands of a session; returns its text with their output.
fn play(session: &Path, text: &str, fixtures: &Path) -> String {
    let sandbox = sandbox(session);
    let mut shell = Shell::new(sandbox.path(), fixtures);
    let mut played = String::new();
    let mut in_console = false;
    for line in text.lines() {
        match line {
            "```console" => in_console = true,
            "```" => in_console = false,
            line if in_console && !line.starts_with("$ ") => continue,
            _ => {}
        }
        played.push_str(line);
        played.push('\n');
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            played.push_str(&shell.run(command));
        }
    }
    played
}

/// The directory of a session, with copies of its files.
fn sandbox(session: &Path) -> tempfile::TempDir {
    let sandbox = tempfile::tempdir().unwrap();
    let files = session.with_extension("");
    if files.is_dir() {
        for entry in fs::read_dir(files).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), sandbox.path().join(entry.file_name())).unwrap();
        }
    }
    sandbox
}

/// All sessions.
fn sessions() -> Vec<PathBuf> {
    let mut sessions: Vec<PathBuf> = fs::read_dir(CLI)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    sessions.extend(PAGES.iter().map(|page| docs.join(page)));
    sessions.sort();
    assert!(sessions.len() >= 6, "sessions are missing: {sessions:?}");
    sessions
}
