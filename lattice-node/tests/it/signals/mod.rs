//! Commands that signals interrupt.

mod commands;
mod streams;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::{eventually, program};

/// Starts the program with pipes.
fn start(dir: &Path, words: &[impl AsRef<std::ffi::OsStr>]) -> Child {
    spawn(program(), dir, words)
}

fn spawn(mut program: Command, dir: &Path, words: &[impl AsRef<std::ffi::OsStr>]) -> Child {
    program
        .env("LATTICE_DATA_DIR", dir)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends a signal, unless the process has ended.
fn send(child: &mut Child, signal: &str) {
    if child.try_wait().unwrap().is_none() {
        let pid = child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// Waits until the process handles signals, or has ended.
pub(crate) fn handles(child: &mut Child) {
    let status = format!("/proc/{}/status", child.id());
    eventually("a handler", || {
        let is_set = |line: &str| {
            let mask = line.strip_prefix("SigCgt:")?;
            let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
            // Terminate, the last of the signals that are handled.
            Some(mask & (1 << 14) != 0)
        };
        let lines = fs::read_to_string(&status);
        let lines = lines.as_deref().unwrap_or("");
        child.try_wait().unwrap().is_some() || lines.lines().find_map(is_set) == Some(true)
    });
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line on standard error as JSON.
fn error(output: &Output) -> Value {
    let errors = errors(output);
    let last = errors.lines().last().unwrap_or("");
    let value: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{errors}"));
    value["error"].clone()
}
