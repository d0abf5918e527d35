//! The line editor: history, and completion of what a line can say.

use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, Helper};

use super::statement::{MODES, OWN};
use super::{Ended, Session, Store};
use crate::Registry;
use crate::program::complete::{Line, files, offered};
use crate::program::failure::Failure;

/// The file of the history, in the data directory.
const HISTORY: &str = "shell_history";
const MAX_LINES: usize = 10_000;

/// Reads lines from the terminal until the user leaves. A line that fails does not end the shell.
pub(super) fn run(session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let failed = |error: ReadlineError| Failure::failed(format!("the terminal: {error}"));
    let config = Config::builder()
        .max_history_size(MAX_LINES)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(failed)?
        .auto_add_history(true)
        .build();
    let store = Rc::new(RefCell::new(session.store.clone()));
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Words {
        native: session.context.native.clone(),
        options: session.options.clone(),
        store: Rc::clone(&store),
    }));
    let history = session.context.data_dir.join(HISTORY);
    // Without a history there are only the lines of now.
    let _ = editor.load_history(&history);
    session
        .context
        .out
        .note("`.help` lists what can be typed; Ctrl-D leaves");
    loop {
        let name = session
            .store
            .as_ref()
            .map_or("lattice", |store| &store.name);
        let prompt = format!("{}> ", crate::program::output::escape_text(name));
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        match session.typed(&line) {
            Ok(Ended::Next) => {}
            Ok(Ended::Quit) => break,
            Err(failure) => failure.print(false),
        }
        store.replace(session.store.clone());
    }
    // A directory that does not exist has no stores yet, and gets no history.
    if session.context.data_dir.is_dir() {
        let _ = editor.save_history(&history);
    }
    Ok(())
}

/// Completes words.
struct Words {
    native: Registry,
    options: Vec<OsString>,
    store: Rc<RefCell<Option<Store>>>,
}

impl Words {
    /// The words that can stand after others.
    fn after(&self, words: &[String], current: &str) -> Vec<String> {
        let store = self.store.borrow();
        let used = store.as_ref().map(|store| &*store.name);
        let command = |words: &[&str]| {
            let words = words.iter().map(OsString::from);
            let line: Vec<_> = self.options.iter().cloned().chain(words).collect();
            offered(&self.native, &line, current, used)
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let begun = |names: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            let found = names.filter(|name| name.starts_with(current));
            found.map(str::to_owned).collect()
        };
        match (&words[..], &*store) {
            ([], store) => {
                let methods = store.iter().flat_map(|store| &store.methods);
                let mut all = begun(&mut methods.map(|method| &*method.name));
                all.extend(begun(&mut OWN.into_iter().chain(["use"])));
                let more = command(&[]).into_iter().filter(|name| !all.contains(name));
                let more: Vec<_> = more.collect();
                all.extend(more);
                all
            }
            (["use"], _) => command(&["info"]),
            ([".mode"], _) => begun(&mut MODES.iter().map(|(name, _)| *name)),
            ([".read"], _) => files(current),
            ([".timing"], _) => begun(&mut ["on", "off"].into_iter()),
            ([name, rest @ ..], Some(store))
                if store.methods.iter().any(|method| method.name == *name) =>
            {
                let line = [&["call", &store.name, *name][..], rest].concat();
                let mut all = command(&line);
                if rest.is_empty() && !current.is_empty() {
                    // The first value of most methods of a key-value store is a key.
                    all.extend(command(&["get", &store.name]));
                }
                all
            }
            (words, _) => command(words),
        }
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let split = Line::split(&line[..pos], "");
        let found = self.after(&split.words, &split.current);
        let pairs = found.into_iter().map(|word| Pair {
            replacement: split.insert(&word),
            display: word,
        });
        Ok((split.start, pairs.collect()))
    }
}

impl Helper for Words {}

impl Highlighter for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Validator for Words {}
