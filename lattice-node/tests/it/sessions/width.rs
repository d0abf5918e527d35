//! The recorded commands on a terminal: their prose is broken between words.
//!
//! A terminal breaks a longer line where it ends. That is right for the user's data, which is
//! copied as it is, and for commands and hashes. It is wrong for a sentence.

use std::fs;
use std::process::Command;

use regex::Regex;

use super::shell::Shell;
use super::{sandbox, sessions, stores};

const COLUMNS: usize = 80;
/// Command lines that print the user's data, or text for programs.
const DATA: [&str; 7] = [
    "cat ",
    "lattice scan",
    "lattice call",
    "--format dot",
    "--format mermaid",
    "lattice metrics",
    "-vv ",
];

/// The word that the end of the terminal cuts, unless it is part of a command or begins the line.
fn cut(line: &str) -> Option<String> {
    let letters: Vec<char> = line.chars().collect();
    if letters.len() <= COLUMNS || line.starts_with('{') {
        return None;
    }
    let is_space = |place: usize| letters[place] == ' ' || letters[place] == '\t';
    if is_space(COLUMNS - 1) || is_space(COLUMNS) {
        return None;
    }
    let start = (0..COLUMNS).rev().find(|place| is_space(*place))? + 1;
    let is_first = (0..start).all(is_space);
    let ticks = letters[..COLUMNS].iter().filter(|letter| **letter == '`');
    let is_command = ticks.count() % 2 == 1 && letters[COLUMNS..].contains(&'`');
    let word: String = letters[start..]
        .iter()
        .take_while(|letter| **letter != ' ')
        .collect();
    (!is_first && !is_command).then_some(word)
}

#[test]
fn no_recorded_command_cuts_a_word_on_a_terminal() {
    let has_script = Command::new("script").arg("--version").output();
    if !has_script.is_ok_and(|found| found.status.success()) {
        eprintln!("skipped: script is not installed");
        return;
    }
    let escapes = Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]").unwrap();
    let fixtures = tempfile::tempdir().unwrap();
    stores::make(fixtures.path());
    let (mut count, mut found) = (0, Vec::new());
    for session in sessions() {
        let sandbox = sandbox(&session);
        let shell = Shell::new(sandbox.path(), fixtures.path());
        let recorded = fs::read_to_string(&session).unwrap();
        let commands = recorded.lines().filter_map(|line| line.strip_prefix("$ "));
        let commands: Vec<&str> = commands.collect();
        let printed = shell.run_on_terminal(&commands);
        assert_eq!(printed.len(), commands.len(), "{}", session.display());
        for (command, printed) in commands.iter().zip(printed) {
            // What another program prints is its own.
            let is_data = DATA.iter().any(|part| command.contains(part));
            if is_data || command.contains(" | ") {
                continue;
            }
            count += 1;
            let printed = escapes.replace_all(&printed, "");
            // A line of progress is drawn over itself.
            let left = |line: &'_ str| line.rsplit('\r').next().unwrap_or(line).to_owned();
            let lines = printed.lines().map(left);
            let lines = lines.filter_map(|line| Some((cut(&line)?, line)));
            found.extend(lines.map(|(word, line)| format!("$ {command}\n  {word}: {line}")));
        }
    }
    assert!(count > 200, "{count} commands");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_cut_word_is_found() {
    let line = |before: usize, text: &str| format!("{} {text}", "x".repeat(before));
    assert_eq!(cut(&line(75, "prose here")).as_deref(), Some("prose"));
    for whole in [
        &*line(74, "prose here"),
        &line(73, "prose here"),
        &line(75, "`lattice list` here"),
        &"x".repeat(100),
        "short",
    ] {
        assert_eq!(cut(whole), None, "{whole}");
    }
}
