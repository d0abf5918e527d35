//! Compares the commands in the sources with those that the cases have met.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Commands that no error names, and what tests them instead. Notes and lists name them.
const ELSEWHERE: [(&str, &str); 9] = [
    (
        "alias set {alias} NAME",
        "the other order: inconsistencies.rs",
    ),
    (
        "bundle apply -",
        "`bundle create -` on a terminal: terminal_tests.rs",
    ),
    ("compact", "a line of `stats`: look.rs"),
    (
        "export STORE | zstd > FILE",
        "an export to .zst, which needs another program: exports.rs",
    ),
    ("help", "the help itself: terminal.md, topics/tests.rs"),
    ("import", "a note of `export`: exports.rs"),
    (
        "migrate",
        "a clock that was wrong: no command sets the clock",
    ),
    (
        "serve",
        "a note of `status`, and of `sync`: exchange/status.rs",
    ),
    ("sync", "notes of `status` and `peers`: exchange/status.rs"),
];

/// Asserts that each command in a message of the sources was met by a case, or stands above.
pub(super) fn check(named: &BTreeSet<String>) {
    let (mut found, mut missing) = (0, Vec::new());
    let mut unused: BTreeSet<&str> = ELSEWHERE.iter().map(|(known, _)| *known).collect();
    for (file, command) in commands() {
        found += 1;
        // Values and placeholders vary.
        let words = command.split(' ').take_while(|word| !word.contains('{'));
        let fixed: Vec<_> = words.take_while(|word| !is_placeholder(word)).collect();
        let fixed = fixed.join(" ");
        let is_met = named.iter().any(|named| named.starts_with(&fixed));
        let elsewhere = ELSEWHERE
            .iter()
            .find(|(known, _)| command.starts_with(known));
        if let Some((known, _)) = elsewhere {
            unused.remove(known);
        }
        let is_elsewhere = elsewhere.is_some();
        if !is_met && !is_elsewhere {
            missing.push(format!("{}: `lattice {command}`", file.display()));
        }
    }
    assert!(unused.is_empty(), "no source names {unused:?}");
    assert!(missing.is_empty(), "no case meets {missing:#?}");
    assert!(found > 40, "only {found} commands in the sources");
}

fn is_placeholder(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The commands in the messages of the sources, with their files.
fn commands() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap();
        if name.starts_with("lattice-") {
            sources(&dir.join("src"), &mut files);
        }
    }
    let mut commands = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.starts_with("//"));
        // A backslash at the end of a line continues a text.
        let text: String = lines
            .map(|line| line.strip_suffix('\\').unwrap_or(line))
            .collect();
        let mut rest = &*text;
        while let Some((_, after)) = rest.split_once("`lattice ") {
            if let Some((command, _)) = after.split_once('`') {
                commands.push((file.clone(), command.to_owned()));
            }
            rest = after;
        }
    }
    commands
}

/// The files with messages: no tests, and not the tour and the help.
fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_source = path.is_dir() || name.ends_with(".rs");
        if !is_source
            || name.contains("tests")
            || ["tour", "args", "conformance", "hints.rs"].contains(&name)
        {
            continue;
        }
        match path.is_dir() {
            true => sources(&path, files),
            false => files.push(path),
        }
    }
}
