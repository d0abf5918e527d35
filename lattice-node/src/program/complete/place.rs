//! What the word at the cursor is: found with the same description of the commands that parses
//! command lines.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// The words before the cursor, as the program reads them.
#[derive(Debug, Clone)]
pub(super) struct Place<'c> {
    pub(super) root: &'c Command,
    /// The command of the words so far.
    pub(super) command: &'c Command,
    /// Its names, without the program's.
    pub(super) path: Vec<&'c str>,
    /// The arguments that were given, with their values; that of an option without one is empty.
    given: Vec<(&'c Arg, OsString)>,
    /// The option whose value comes next.
    open: Option<&'c Arg>,
    /// How many positional arguments were given.
    positions: usize,
    /// Whether `--` was given.
    pub(super) is_escaped: bool,
}

impl<'c> Place<'c> {
    /// Reads the words after the program's name.
    pub(super) fn after(root: &'c Command, words: &[OsString]) -> Self {
        let mut place = Self {
            root,
            command: root,
            path: Vec::new(),
            given: Vec::new(),
            open: None,
            positions: 0,
            is_escaped: false,
        };
        for word in words {
            place.read(word);
        }
        place
    }

    fn read(&mut self, word: &OsStr) {
        if let Some(option) = self.open.take() {
            self.given.push((option, word.to_owned()));
            return;
        }
        let text = word.to_str().unwrap_or("");
        if self.is_escaped || text == "-" || !text.starts_with('-') {
            return self.read_position(word, text);
        }
        if text == "--" {
            self.is_escaped = true;
        } else if let Some(name) = text.strip_prefix("--") {
            match name.split_once('=') {
                Some((name, value)) => {
                    self.given
                        .extend(self.long(name).map(|arg| (arg, value.into())));
                }
                None => self.read_option(self.long(name)),
            }
        } else {
            self.read_short(&text[1..]);
        }
    }

    /// Options of one letter, and the value of the last one.
    fn read_short(&mut self, letters: &str) {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let arg = self
                .command
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter));
            match arg {
                Some(arg) if takes_value(arg) && !rest.as_str().is_empty() => {
                    self.given.push((arg, rest.as_str().into()));
                    return;
                }
                arg => self.read_option(arg),
            }
        }
    }

    fn read_option(&mut self, arg: Option<&'c Arg>) {
        match arg {
            Some(arg) if takes_value(arg) && !arg.is_require_equals_set() => self.open = Some(arg),
            arg => self.given.extend(arg.map(|arg| (arg, OsString::new()))),
        }
    }

    fn read_position(&mut self, word: &OsStr, text: &str) {
        if self.positions == 0
            && !self.is_escaped
            && let Some(part) = self.command.find_subcommand(text)
        {
            self.command = part;
            self.path.push(part.get_name());
            return;
        }
        self.given
            .extend(self.position().map(|arg| (arg, word.to_owned())));
        self.positions += 1;
    }

    /// The option of a name.
    pub(super) fn long(&self, name: &str) -> Option<&'c Arg> {
        self.command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name))
    }

    /// The option whose value the word at the cursor is.
    pub(super) fn open(&self) -> Option<&'c Arg> {
        self.open
    }

    /// The positional argument that the word at the cursor is, unless it is an option.
    pub(super) fn position(&self) -> Option<&'c Arg> {
        let last = || {
            let last = self.command.get_positionals().last();
            last.filter(|arg| {
                arg.get_num_args()
                    .is_some_and(|range| range.max_values() > 1)
            })
        };
        self.command
            .get_positionals()
            .nth(self.positions)
            .or_else(last)
    }

    /// The place after a first STORE, which the user has not typed. `None` if the command takes none.
    #[cfg(feature = "shell")]
    pub(super) fn on_store(&self, store: &OsStr) -> Option<Self> {
        let first = self.position().filter(|_| self.positions == 0)?;
        let is_store = |name: &clap::builder::Str| name == "STORE";
        first
            .get_value_names()?
            .first()
            .filter(|name| is_store(name))?;
        let mut place = self.clone();
        place.given.push((first, store.to_owned()));
        place.positions = 1;
        Some(place)
    }

    /// Whether a command can stand at the cursor.
    pub(super) fn takes_command(&self) -> bool {
        self.positions == 0 && !self.is_escaped && self.command.has_subcommands()
    }

    /// The options that can still be given.
    pub(super) fn options(&self) -> impl Iterator<Item = &'c Arg> {
        let options = self
            .command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set());
        options.filter(|arg| {
            let is_again = matches!(
                arg.get_action(),
                clap::ArgAction::Append | clap::ArgAction::Count
            );
            is_again
                || !self
                    .given
                    .iter()
                    .any(|(given, _)| given.get_id() == arg.get_id())
        })
    }

    /// The values of an argument, by its name in the program.
    pub(super) fn values(&self, id: &str) -> impl DoubleEndedIterator<Item = &OsStr> {
        let given = self.given.iter().filter(move |(arg, _)| arg.get_id() == id);
        given.map(|(_, value)| &**value)
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}
