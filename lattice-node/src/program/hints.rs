//! Completes the commands that messages name, so that they run as they are printed.
//!
//! Messages name commands in backticks, with the placeholder STORE for the store that the user has
//! named. Libraries do not know how the user names stores, nor the options of the program.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use lattice_meta::shell_word;

use super::args::Global;
use super::context::default_data_dir;

/// How a command in a message begins.
const START: &str = "`lattice ";
/// The placeholder for the store.
const STORE: &str = "STORE";

/// What the commands in messages repeat of the command line.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints {
    /// The options that say where stores and code are.
    options: Vec<String>,
    /// Where the stores are.
    data_dir: Option<PathBuf>,
    /// The store, as the user has named it.
    store: RefCell<Option<String>>,
}

impl Hints {
    /// Repeats the options of this command line.
    pub(super) fn of(global: &Global) -> Self {
        let mut options = Vec::new();
        let mut push = |name: &str, value: &OsStr| {
            options.push(name.to_owned());
            options.push(word(value));
        };
        if let Some(dir) = &global.data_dir {
            push("--data-dir", dir.as_os_str());
        }
        #[cfg(feature = "wasm")]
        for file in &global.code {
            push("--code", file.as_os_str());
        }
        Self {
            options,
            data_dir: global.data_dir.clone().or_else(default_data_dir),
            store: RefCell::default(),
        }
    }

    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// Notes the store that the command works on.
    pub(super) fn set_store(&self, store: &OsStr) {
        self.store.replace(Some(word(store)));
    }

    /// The same for another store.
    pub(super) fn of_store(&self, store: &OsStr) -> Self {
        let hints = self.clone();
        hints.set_store(store);
        hints
    }

    /// Completes the commands in a message.
    pub(super) fn complete(&self, message: &str) -> String {
        let mut done = String::with_capacity(message.len());
        let mut rest = message;
        while let Some((before, command, after)) = next_command(rest) {
            done.push_str(before);
            done.push('`');
            done.push_str(&self.completed(command));
            done.push('`');
            rest = after;
        }
        done.push_str(rest);
        done
    }

    /// Completes a command that is not in a message.
    pub(super) fn completed(&self, command: &str) -> String {
        let store = self.store.borrow();
        let mut words: Vec<&str> = command.split(' ').collect();
        for word in &mut words {
            if *word == STORE
                && let Some(store) = store.as_deref()
            {
                *word = store;
            }
        }
        // A command line that repeats the user's own has them already.
        let has_options = words
            .iter()
            .any(|word| word.starts_with("--data-dir") || word.starts_with("--code"));
        if !has_options {
            words.splice(1..1, self.options.iter().map(String::as_str));
        }
        words.join(" ")
    }
}

/// The text before the next command, the command without its backticks, and the text after it.
fn next_command(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(START)?;
    let (before, command) = (&text[..start], &text[start + 1..]);
    let end = command.find('`')?;
    Some((before, &command[..end], &command[end + 1..]))
}

fn word(word: &OsStr) -> String {
    let text = OsString::from(word).display().to_string();
    shell_word(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(options: &[&str], store: Option<&str>) -> Hints {
        let hints = Hints {
            options: options.iter().map(|word| (*word).to_owned()).collect(),
            data_dir: None,
            store: RefCell::default(),
        };
        if let Some(store) = store {
            hints.set_store(OsStr::new(store));
        }
        hints
    }

    #[test]
    fn commands_get_the_options_and_the_store() {
        let message = "no rows; `lattice verify STORE` or `lattice restore FILE`, not `STORE`";
        let of = |options: &[&str], store| hints(options, store).complete(message);
        assert_eq!(of(&[], None), message);
        assert_eq!(
            of(&["--data-dir", "d"], Some("it's a b")),
            "no rows; `lattice --data-dir d verify 'it'\\''s a b'` or \
             `lattice --data-dir d restore FILE`, not `STORE`"
        );
        for own in ["`lattice --data-dir e list`", "`lattice --data-dir=e list`"] {
            assert_eq!(hints(&["--data-dir", "d"], None).complete(own), own);
        }
        let cut = "`lattice verify STORE";
        assert_eq!(hints(&["--data-dir", "d"], Some("s")).complete(cut), cut);
    }
}
