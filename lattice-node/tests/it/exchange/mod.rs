//! `sync`, `clone` and `serve`: programs on several data directories.

mod beside;
mod clones;
mod ends;
mod live;
mod once;
mod serve;
mod status;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{eventually, lattice, printed, program};

/// Data directories, and the store `kv` of `alice` with three keys.
struct World {
    home: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            home: tempfile::tempdir().unwrap(),
        };
        let alice = world.dir("alice");
        printed(&alice, &["create", "core:kvstore", "--alias", "kv"]);
        for key in ["1", "2", "3"] {
            printed(&alice, &["put", "kv", key, "alice"]);
        }
        world
    }

    /// The same, with replicas of the store in other directories.
    fn with(names: &[&str]) -> Self {
        let world = Self::new();
        let bundle = world.dir("kv.bundle");
        printed(
            &world.dir("alice"),
            &["bundle", "create", "kv", text(&bundle)],
        );
        for name in names {
            let words = ["bundle", "apply", text(&bundle), "--alias", "kv"];
            printed(&world.dir(name), &words);
        }
        world
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs the program on a directory.
    fn run(&self, name: &str, words: &[&str]) -> Output {
        lattice(&self.dir(name), words)
    }

    /// The standard output of a command that succeeds.
    fn done(&self, name: &str, words: &[&str]) -> String {
        printed(&self.dir(name), words)
    }

    fn put(&self, name: &str, key: &str) {
        self.done(name, &["put", "kv", key, name]);
    }

    /// Synchronises a directory with another one, which the program serves itself.
    fn sync(&self, name: &str, peer: &str) -> String {
        self.done(name, &["sync", "kv", text(&self.dir(peer))])
    }

    /// A command line that serves a directory.
    fn serving(&self, name: &str, options: &str) -> String {
        let (program, dir) = (env!("CARGO_BIN_EXE_lattice"), self.dir(name));
        format!(
            "{program} --data-dir {} serve --stdio {options}",
            text(&dir)
        )
    }

    fn has(&self, name: &str, key: &str) -> bool {
        self.run(name, &["get", "kv", key]).status.success()
    }

    fn hash(&self, name: &str) -> String {
        let info = json(&self.done(name, &["--json", "info", "kv"]));
        info["state_hash"].as_str().unwrap().to_owned()
    }

    fn key(&self, name: &str) -> String {
        let identity = json(&self.done(name, &["--json", "identity"]));
        identity["author"].as_str().unwrap().to_owned()
    }

    /// Starts the program on a directory.
    fn start(&self, name: &str, words: &[&str]) -> Running {
        let mut program = program();
        program.env("LATTICE_DATA_DIR", self.dir(name)).args(words);
        Running::start(program)
    }

    /// Serves a directory on a socket, which exists from then on.
    fn serve(&self, name: &str, options: &[&str]) -> (Running, PathBuf) {
        let socket = self.dir(&format!("{name}.sock"));
        let words = [&["serve", "--unix", text(&socket)], options].concat();
        let serving = self.start(name, &words);
        eventually("the socket", || socket.exists());
        (serving, socket)
    }

    /// A program called as `ssh` is, that runs the command here and records its arguments.
    fn ssh(&self) -> PathBuf {
        let (program, ssh) = (env!("CARGO_BIN_EXE_lattice"), self.dir("ssh"));
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > {log}\nlattice() {{ {program} \"$@\"; }}\n\
             for last; do :; done\neval \"$last\"\n",
            log = text(&self.dir("ssh.log"))
        );
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).unwrap();
        ssh
    }
}

/// A program that runs. It is killed with this value.
struct Running(Option<Child>);

impl Running {
    fn start(mut program: Command) -> Self {
        let child = program
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(Some(child.unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    fn send(&mut self, signal: &str) {
        let pid = self.child().id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it with a signal.
    fn end(mut self, signal: &str) -> Output {
        self.send(signal);
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    fn is_running(&mut self) -> bool {
        self.child().try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line on standard error as JSON.
fn error(output: &Output) -> Value {
    let errors = errors(output);
    json(errors.lines().last().unwrap_or(""))["error"].clone()
}

/// What a command has printed as JSON, whether it succeeded or not.
fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let parsed = serde_json::from_str(text.trim());
    parsed.unwrap_or_else(|_| panic!("{text}{}", errors(output)))
}
