//! Every command that a message names gets the user on: each case makes an error, runs the commands
//! that its message names as they are printed, in that very situation, and looks whether the error
//! is gone or another one. No command is named twice on the way.

mod cases;
mod notes;
mod sources;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use lattice_backend::backend::StateDb;
use serde_json::Value;

use crate::copy_dir;

/// The data directory of all cases. A shell splits this name unless it is quoted.
const DATA: &str = "da'ta dir";
/// The options of all commands.
const OPTIONS: &str = r#"--data-dir "da'ta dir""#;

/// Commands that show something, or do something else instead: they cure nothing, and do not fail
/// unless they find a difference.
const LOOKS: [&str; 19] = [
    "alias list",
    "backup",
    "bundle tips",
    "call s METHOD",
    "code list",
    "code pin core:kvstore",
    "code prove",
    "code why",
    "config",
    "conflicts",
    "describe",
    "doctor",
    "history",
    "info",
    "list",
    "peek",
    "salvage",
    "types",
    "verify",
];

/// A situation in which a command fails.
struct Scene {
    root: tempfile::TempDir,
    /// A handle that keeps others out of the store.
    held: Option<Arc<dyn StateDb>>,
    /// What stands for the placeholders in messages.
    fill: Vec<(&'static str, String)>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            root,
            held: None,
            fill: Vec::new(),
        }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join(DATA)
    }

    /// Runs commands, which must succeed, on the data directory.
    fn run(&self, commands: &[&str]) -> &Self {
        for command in commands {
            let ran = run(self.root.path(), &format!("lattice {OPTIONS} {command}"));
            assert_eq!(ran.code, 0, "{command}: {}", ran.message);
        }
        self
    }
}

/// What a command printed.
struct Ran {
    code: i32,
    kind: String,
    message: String,
}

/// Gives a command line to a shell in a directory.
fn shell(root: &Path, command: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_lattice"));
    let mut path = OsString::from(program.parent().unwrap());
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    Command::new("sh")
        .args(["-c", command])
        .current_dir(root)
        .env("PATH", path)
        .env("LATTICE_DATA_DIR", "elsewhere")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a command line in a directory.
fn run(root: &Path, command: &str) -> Ran {
    let output = shell(root, &command.replacen("lattice ", "lattice --json ", 1));
    let errors = String::from_utf8(output.stderr).unwrap();
    let error = errors
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|value| value.get("error").cloned());
    let part = |name: &str| {
        let part = error.as_ref().and_then(|error| error[name].as_str());
        part.unwrap_or("").to_owned()
    };
    let message = match error.is_some() {
        true => part("message"),
        false => errors.clone(),
    };
    Ran {
        code: output.status.code().unwrap(),
        kind: part("kind"),
        message,
    }
}

/// The commands in a message, and those that give an option to the failed command.
fn ways(message: &str, failed: &str, options: &[&str]) -> Vec<String> {
    let mut rest = message;
    let mut ways = Vec::new();
    while let Some((_, command)) = rest.split_once("`lattice ") {
        let (command, after) = command.split_once('`').unwrap();
        ways.push(format!("lattice {command}"));
        rest = after;
    }
    let named = options.iter().filter(|option| message.contains(**option));
    ways.extend(named.map(|option| format!("{failed} {option}")));
    ways
}

/// The command of a command line, without the program and its options.
fn command_of(way: &str) -> String {
    let own = way
        .replacen("lattice ", "", 1)
        .replace(r"'da'\''ta dir'", "D");
    let own = own
        .replace(r#""da'ta dir""#, "D")
        .replace("--data-dir D ", "");
    let mut words: Vec<&str> = own.split(' ').collect();
    while words[0] == "--code" {
        words.drain(..2);
    }
    words.join(" ")
}

/// A walk from an error to its end.
struct Walk<'a> {
    case: &'a cases::Case,
    scene: &'a Scene,
    /// Every command that some message has named.
    named: &'a mut BTreeSet<String>,
}

impl Walk<'_> {
    /// Follows each way on from a failure of `failed`. Returns whether one of them led to the
    /// success of the command.
    fn follow(&mut self, root: &Path, failed: &str, first: &Ran, path: &[String]) -> bool {
        let mut is_cured = false;
        for way in ways(&first.message, failed, self.case.options) {
            let mut way = way;
            let printed = command_of(&way);
            self.named.insert(printed.clone());
            for (placeholder, value) in &self.scene.fill {
                let words = way.split(' ').map(|word| match word == *placeholder {
                    true => value.as_str(),
                    false => word,
                });
                way = words.collect::<Vec<_>>().join(" ");
            }
            let what = format!("{}: {failed}: {}\n{way}", self.case.name, first.message);
            let is_data = way.contains(r"--data-dir 'da'\''ta dir'") || way.contains(OPTIONS);
            assert!(is_data, "{what}: the data directory is missing");
            assert!(!path.contains(&printed), "{what}: a circle: {path:?}");
            let copy = tempfile::tempdir().unwrap();
            copy_dir(root, copy.path());
            let ran = run(copy.path(), &way);
            if LOOKS.iter().any(|look| printed.starts_with(look)) {
                let shows_it = ran.kind == "config";
                assert!(
                    shows_it || [0, 4].contains(&ran.code),
                    "{what}: {}",
                    ran.message
                );
                continue;
            }
            let mut path = path.to_vec();
            path.push(printed);
            if ran.code != 0 {
                assert_ne!(ran.message, first.message, "{what}");
                if !self.follow(copy.path(), &way, &ran, &path) {
                    continue;
                }
                is_cured = true;
                continue;
            }
            let again = match way.starts_with(failed) {
                true => ran,
                false => run(copy.path(), failed),
            };
            if again.code == 0 {
                is_cured = true;
                continue;
            }
            assert_ne!(again.message, first.message, "{what}: nothing has changed");
            is_cured |= self.follow(copy.path(), failed, &again, &path);
        }
        is_cured
    }
}

/// Runs a case; returns the kind of its error.
fn check(case: &cases::Case, named: &mut BTreeSet<String>) -> String {
    let scene = (case.scene)();
    let failed = format!("lattice {}", case.command.replacen("D", OPTIONS, 1));
    let first = run(scene.root.path(), &failed);
    let (name, message) = (case.name, &first.message);
    assert_eq!(
        (&*first.kind, first.code),
        (case.kind, case.code),
        "{name}: {message}"
    );
    for said in case.says {
        assert!(message.contains(said), "{name}: {said:?} in {message}");
    }
    let root = scene.root.path();
    let mut walk = Walk {
        case,
        scene: &scene,
        named,
    };
    let is_cured = walk.follow(root, &failed, &first, &[command_of(&failed)]);
    assert_eq!(is_cured, case.is_cured, "{name}: {message}");
    first.kind
}

#[test]
fn every_command_that_a_message_names_gets_the_user_on() {
    let cases = cases::all();
    let mut named = BTreeSet::new();
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for case in &cases {
        kinds.insert(check(case, &mut named));
    }
    notes::check(&mut named);
    // A signal ends the command; the tests of signals send it.
    kinds.insert("interrupted".into());
    let all = lattice_node::program::error_kinds();
    let without: Vec<_> = all.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(
        without.is_empty(),
        "kinds of errors without a case: {without:?}"
    );
    sources::check(&named);
}
