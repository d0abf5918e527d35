//! Completion in the shells themselves, on a pseudo-terminal that `script` makes. A shell that is
//! not installed is skipped.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::stores;
use crate::printed;

/// How long a shell may take to print something.
const MOST: Duration = Duration::from_secs(60);

/// A shell on a pseudo-terminal.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    printed: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// Starts a shell. `None` if this system lacks it, or `script`.
    pub(crate) fn start(shell: &str, arguments: &str, home: &Path, data: &Path) -> Option<Self> {
        let lacks = |name: &str| {
            let found = Command::new(name).arg("--version").output();
            let is_missing = !found.is_ok_and(|found| found.status.success());
            if is_missing {
                eprintln!("skipped: {name} is not installed");
            }
            is_missing
        };
        if lacks("script") || lacks(shell) {
            return None;
        }
        let program = Path::new(env!("CARGO_BIN_EXE_lattice"));
        let mut path = OsString::from(program.parent().unwrap());
        path.push(":");
        path.push(env::var_os("PATH").unwrap());
        let mut child = Command::new("script")
            .args(["-qec", &format!("{shell} {arguments}"), "/dev/null"])
            .current_dir(home)
            .env("PATH", path)
            .env("HOME", home)
            .env("ZDOTDIR", home)
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_DATA_HOME", home)
            .env("LATTICE_DATA_DIR", data)
            .env("TERM", "xterm")
            .env("LATTICE_PAGER", "cat")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("BASH_ENV")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, printed) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self {
            keys: child.stdin.take().unwrap(),
            child,
            printed,
            seen: Vec::new(),
        })
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a text is printed after what was waited for before.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + MOST;
        loop {
            let found = self
                .seen
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(place) = found {
                self.seen.drain(..place + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.printed.recv_timeout(left) {
                Ok(more) => self.seen.extend(more),
                Err(_) => panic!("no {text:?} in {:?}", String::from_utf8_lossy(&self.seen)),
            }
        }
    }

    /// Types a line with tabs, and waits for what the completed command prints.
    fn run(&mut self, line: &str, prints: &str) {
        self.press(line);
        self.press("\n");
        self.wait_for(prints);
        self.wait_for("ready>");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Completes lines, which then print what nothing else does.
fn check(terminal: &mut Terminal, home: &Path) {
    let rows = "{\"key\":\"zebra\",\"value\":\"striped\"}\n";
    fs::write(home.join("rows with space.jsonl"), rows).unwrap();
    terminal.wait_for("ready>");
    // A command, a store and a key with a space.
    terminal.run("lattice ge\tfr\tappl\t", "baked");
    // A quote in a key; a key that a shell would expand; a key with separators.
    terminal.run("lattice get fruit it\t", "quoted");
    terminal.run("lattice get fruit pea\t", "starred");
    terminal.run("lattice get fruit a:\t", "parted");
    // A key in open quotes.
    terminal.run("lattice get fruit 'appl\t", "baked");
    // A type, whose name has a separator.
    terminal.run("lattice describe core:kvs\t", "has these methods:");
    // A method, a parameter and its value.
    terminal.run("lattice call fruit ge\tke\tappl\t", "baked");
    // A file and an option.
    terminal.run("lattice import fruit row\t--form\tjsonl", "imported 1 row");
    terminal.run("lattice get fruit zeb\t", "striped");
    // A file behind the name of a parameter.
    let call = "lattice call fruit put key=whole value=@row\t; lattice get fruit whole";
    terminal.run(call, "\"value\":\"striped\"");
}

fn data() -> tempfile::TempDir {
    let dir = stores();
    let values = [
        ("apple pie", "baked"),
        ("it's", "quoted"),
        ("pear*", "starred"),
        ("a:b=c", "parted"),
    ];
    for (key, value) in values {
        printed(dir.path(), &["put", "fruit", key, value]);
    }
    dir
}

#[test]
fn bash_completes() {
    let (data, home) = (data(), tempfile::tempdir().unwrap());
    let rc = "source <(lattice completions bash)\nPS1='ready>'\n";
    fs::write(home.path().join("rc"), rc).unwrap();
    let arguments = "--noprofile --rcfile rc -i";
    if let Some(mut bash) = Terminal::start("bash", arguments, home.path(), data.path()) {
        check(&mut bash, home.path());
    }
}

#[test]
fn zsh_completes() {
    let (data, home) = (data(), tempfile::tempdir().unwrap());
    let rc = "autoload -Uz compinit && compinit -u\nsource <(lattice completions zsh)\n\
              PS1='ready>'\n";
    fs::write(home.path().join(".zshrc"), rc).unwrap();
    if let Some(mut zsh) = Terminal::start("zsh", "-d -i", home.path(), data.path()) {
        check(&mut zsh, home.path());
    }
}

#[test]
fn fish_completes() {
    let (data, home) = (data(), tempfile::tempdir().unwrap());
    let completions = home.path().join("fish/completions");
    fs::create_dir_all(&completions).unwrap();
    let script = printed(data.path(), &["completions", "fish"]);
    fs::write(completions.join("lattice.fish"), script).unwrap();
    let rc = "function fish_prompt\n echo -n 'ready>'\nend\nset -g fish_greeting\n";
    fs::write(home.path().join("fish/config.fish"), rc).unwrap();
    if let Some(mut fish) = Terminal::start("fish", "-i", home.path(), data.path()) {
        check(&mut fish, home.path());
    }
}
