//! Bundles through pipes, bundles with code, and what failed commands leave.

mod code;
mod failures;
mod pipes;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{printed, program};

fn start(dir: &Path, words: &[&str], stdin: Stdio, stdout: Stdio) -> Child {
    program()
        .env("LATTICE_DATA_DIR", dir)
        .args(words)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program with these bytes piped to its standard input.
fn fed(dir: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = start(dir, words, Stdio::piped(), Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    // A program that rejects its input early closes the pipe, which is not an error here.
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

/// A data directory with a key-value store `kv` of three ops, and the path of a second one that
/// does not exist yet.
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
