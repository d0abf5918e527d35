//! Tests of the node and the program from outside.
#![allow(clippy::unwrap_used)]

mod aliases;
#[cfg(unix)]
mod borders;
mod bulk;
#[cfg(unix)]
mod bundles;
mod carved;
mod chain;
mod chat;
#[cfg(feature = "wasm")]
mod code;
#[cfg(unix)]
mod completions;
mod copies;
mod crowd;
mod damage;
#[cfg(unix)]
mod disk;
mod doctor;
mod edges;
mod escapes;
#[cfg(all(unix, feature = "sync"))]
mod exchange;
mod exports;
#[cfg(unix)]
mod files;
mod garbage;
#[cfg(all(unix, feature = "wasm"))]
mod hints;
mod identity;
#[cfg(unix)]
mod imports;
mod journals;
#[cfg(feature = "wasm")]
mod json_page;
mod limits;
mod look;
mod meta_bytes;
mod names;
mod older;
mod one_word;
mod pager;
#[cfg(feature = "sync")]
mod peers;
mod program;
mod retention;
mod salvage;
mod sessions;
#[cfg(unix)]
mod settings;
mod sharing;
#[cfg(all(unix, feature = "shell"))]
mod shell;
#[cfg(unix)]
mod signals;
mod stdio;
#[cfg(unix)]
mod trust;
mod turns;
#[cfg(feature = "wasm")]
mod upgrade;
mod values;
mod votes;
mod waiting;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lattice_backend::backend::{OpenOptions, StateBackend, WriteTx};
use lattice_backend::redb::RedbBackend;

/// The program, with the signals of a program that a user starts. A process inherits which signals
/// are ignored, and these tests can themselves run under `nohup`, or in the background of a script.
pub(crate) fn program() -> Command {
    static RESETS: OnceLock<bool> = OnceLock::new();
    const RESET: &str = "--default-signal=INT,TERM,HUP";
    let resets = RESETS.get_or_init(|| {
        let tried = Command::new("env").args([RESET, "true"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    });
    let program = env!("CARGO_BIN_EXE_lattice");
    if !resets {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args([RESET, program]);
    command
}

/// Polls until the condition holds; it is expected to become true soon.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what} does not come"
        );
        std::thread::yield_now();
    }
}

/// Runs the program on a data directory.
pub(crate) fn lattice(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(arguments)
        .output()
        .unwrap()
}

/// The standard output of a successful run.
pub(crate) fn printed(dir: &Path, arguments: &[&str]) -> String {
    let output = lattice(dir, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lattice {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The file of a store of a data directory.
pub(crate) fn state_db(dir: &Path, id: &str) -> PathBuf {
    dir.join("stores").join(id).join("state.db")
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Changes rows of a store's file, under right checksums of the backend.
pub(crate) fn edit(file: &Path, change: impl FnOnce(&mut dyn WriteTx)) {
    let options = OpenOptions::read_write();
    let db = RedbBackend::on_files().open(file, &options).unwrap();
    let mut tx = db.begin_write().unwrap();
    change(&mut *tx);
    tx.commit().unwrap().wait().unwrap();
    db.close().unwrap();
}
