//! Completion: what the script of a shell asks when the user presses Tab.
//!
//! The scripts are short and never change with the commands: the program itself finds the
//! candidates, from the description of its arguments and from the stores. It opens stores for
//! reading, writes nothing, and reports no errors; what it cannot find it does not offer.

#[cfg(feature = "shell")]
mod files;
mod line;
mod place;
mod values;

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::CommandFactory;
use serde_json::json;

pub(super) use self::line::Line;
use self::place::Place;
use super::args::{Args, Complete, Completions, Global, Shell};
use super::context::{Context, Host};
use super::failure::Failure;
use super::output::{Output, escape_text};
use crate::Registry;

/// Prints the script of a shell, for the name that the program was started by.
pub(super) fn completions(
    context: &mut Context<'_>,
    completions: &Completions,
) -> Result<(), Failure> {
    let (name, script) = match completions.shell {
        Shell::Bash => ("bash", include_str!("scripts/bash")),
        Shell::Zsh => ("zsh", include_str!("scripts/zsh")),
        Shell::Fish => ("fish", include_str!("scripts/fish")),
        Shell::Powershell => ("powershell", include_str!("scripts/powershell")),
    };
    let script = script.replace("PROGRAM", &program());
    let value = json!({ "shell": name, "script": script });
    context.out.either(value, |_| script.trim_end().to_owned())
}

/// The name that the program was started by, if it is a plain word.
fn program() -> String {
    let started = env::args_os().next().map(PathBuf::from);
    let name = started
        .as_deref()
        .and_then(|path| path.file_stem()?.to_str());
    let is_plain = |name: &&str| {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(is_word)
    };
    name.filter(is_plain).unwrap_or("lattice").to_owned()
}

/// Whether the shell adds the names of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Files {
    #[default]
    None,
    All,
    Dirs,
}

/// A word that can stand at the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    value: String,
    help: String,
    /// Whether the word goes on after it, so that no space follows.
    is_open: bool,
}

/// What can stand at the cursor.
#[derive(Debug, Default)]
struct Answer {
    files: Files,
    all: Vec<Candidate>,
    /// What stands before each value in the word, as `--color=`.
    before: String,
}

impl Answer {
    /// Adds a word if it begins with what the user has typed.
    fn add(&mut self, current: &str, value: &str, help: &str) {
        self.push(current, value, help, false);
    }

    /// The same for a word that goes on.
    fn add_open(&mut self, current: &str, value: &str, help: &str) {
        self.push(current, value, help, true);
    }

    fn push(&mut self, current: &str, value: &str, help: &str, is_open: bool) {
        // A word that a terminal could act on is not offered.
        if value.starts_with(current) && escape_text(value) == value {
            self.all.push(Candidate {
                value: format!("{}{value}", self.before),
                help: escape_text(help),
                is_open,
            });
        }
    }
}

/// Prints the candidates: a line that says whether the shell adds files, and after a tab what
/// stands before their names in the word; and a line for each.
pub(super) fn complete(context: &mut Context<'_>, complete: &Complete) -> Result<(), Failure> {
    let line = match &complete.line {
        Some(line) => Line::split(line, complete.breaks.as_deref().unwrap_or("")),
        None => Line::split(&complete.current, ""),
    };
    let words: Vec<OsString> = match &complete.line {
        Some(_) => line.words.iter().map(OsString::from).collect(),
        None => complete.words.clone(),
    };
    let current = match (&complete.line, complete.shell) {
        // Fish passes the word as it is typed; the others remove the quotes.
        (Some(_), _) | (None, Shell::Fish) => line.current.clone(),
        (None, _) => complete.current.clone(),
    };
    let mut root = Args::command();
    root.build();
    let place = Place::after(&root, words.get(1..).unwrap_or(&[]));
    let answer = answer(&context.native, &place, &current);
    let kind = match answer.files {
        Files::None => "words",
        Files::All => "files",
        Files::Dirs => "dirs",
    };
    // Bash has broken the word there.
    match answer.files == Files::None || complete.shell == Shell::Bash {
        true => context.out.line(kind)?,
        false => context.out.line(&format!("{kind}\t{}", answer.before))?,
    }
    for candidate in &answer.all {
        let Candidate {
            value,
            help,
            is_open,
        } = candidate;
        let text = match complete.shell {
            Shell::Bash => line.insert(value),
            Shell::Zsh => {
                let mark = if *is_open { '=' } else { '.' };
                let value = value.replace('\\', r"\\").replace(':', r"\:");
                format!("{mark}{value}:{help}")
            }
            Shell::Fish | Shell::Powershell if help.is_empty() => value.clone(),
            Shell::Fish | Shell::Powershell => format!("{value}\t{help}"),
        };
        context.out.line(&text)?;
    }
    Ok(())
}

/// The words that begin with `current` and can follow the words after the program's name, and files.
/// A command that has no STORE yet can be one on the store in use.
#[cfg(feature = "shell")]
pub(super) fn offered(
    native: &Registry,
    words: &[OsString],
    current: &str,
    store: Option<&str>,
) -> Vec<String> {
    let mut root = Args::command();
    root.build();
    let place = Place::after(&root, words);
    let of_store = store.and_then(|store| place.on_store(store.as_ref()));
    let mut all: Vec<String> = Vec::new();
    for place in [Some(place), of_store].into_iter().flatten() {
        let answer = answer(native, &place, current);
        let typed = current.strip_prefix(&answer.before).unwrap_or(current);
        let named = self::files::named(answer.files, typed);
        let named = named
            .into_iter()
            .map(|name| format!("{}{name}", answer.before));
        let found = answer.all.into_iter().map(|candidate| candidate.value);
        for word in found.chain(named) {
            if !all.contains(&word) {
                all.push(word);
            }
        }
    }
    all
}

/// The files whose names begin with `current`.
#[cfg(feature = "shell")]
pub(super) fn files(current: &str) -> Vec<String> {
    self::files::named(Files::All, current)
}

/// The words that can stand at the cursor.
fn answer(native: &Registry, place: &Place<'_>, current: &str) -> Answer {
    let mut answer = Answer::default();
    if let Some(option) = place.open() {
        add_values(native, place, option, current, &mut answer);
        return answer;
    }
    if !place.is_escaped && current.starts_with('-') {
        if let Some((name, value)) = current.split_once('=') {
            if let Some(option) = name.strip_prefix("--").and_then(|name| place.long(name)) {
                answer.before = format!("{name}=");
                add_values(native, place, option, value, &mut answer);
            }
            return answer;
        }
        for option in place.options() {
            if let Some(name) = option.get_long() {
                let help = values::first_line(option.get_help());
                answer.add(current, &format!("--{name}"), &help);
            }
        }
        if current != "-" {
            return answer;
        }
    }
    if place.takes_command() {
        for part in place
            .command
            .get_subcommands()
            .filter(|part| !part.is_hide_set())
        {
            answer.add(
                current,
                part.get_name(),
                &values::first_line(part.get_about()),
            );
        }
    }
    if let Some(arg) = place.position() {
        add_values(native, place, arg, current, &mut answer);
    }
    answer
}

/// Adds the values of an argument that are found in the data directory of the command line.
fn add_values(
    native: &Registry,
    place: &Place<'_>,
    arg: &clap::Arg,
    current: &str,
    answer: &mut Answer,
) {
    let global = Global {
        #[cfg(feature = "wasm")]
        code: place.values("code").map(PathBuf::from).collect(),
        quiet: true,
        no_wait: true,
        ..Global::in_dir(place.values("data_dir").next_back().map(PathBuf::from))
    };
    let out = Output::kept(io::sink(), io::sink(), &global);
    let inner = Context::new(Host::Completion, &global, native.clone(), out);
    let _ = inner.and_then(|inner| values::add(&inner, place, arg, current, answer));
}
