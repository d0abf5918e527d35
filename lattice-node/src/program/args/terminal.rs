//! Arguments of the commands that serve the terminal.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

/// A shell that can complete words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(in super::super) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Man {
    /// Write the pages of all commands and topics below this directory, in man1 and man7
    #[arg(long, value_name = "DIR")]
    pub(in super::super) install: Option<PathBuf>,
}

#[cfg(feature = "shell")]
#[derive(Debug, clap::Args)]
pub(in super::super) struct Prompt {
    /// The store to begin with
    #[arg(value_name = "STORE")]
    pub(in super::super) store: Option<OsString>,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Metrics {
    /// The store
    #[arg(value_name = "STORE", required_unless_present = "all")]
    pub(in super::super) store: Option<OsString>,
    /// All stores of the data directory
    #[arg(long, conflicts_with = "store")]
    pub(in super::super) all: bool,
}

#[derive(Debug, clap::Args)]
pub(in super::super) struct Help {
    /// A command, or a topic: stores, bundles, code, conflicts, json, exit-codes
    #[arg(value_name = "TOPIC")]
    pub(in super::super) words: Vec<String>,
}

/// What the script of a shell asks when the user presses Tab.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Complete {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(in super::super) shell: Shell,
    /// The command line up to the cursor, for a shell that passes no words
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    pub(in super::super) line: Option<String>,
    /// The characters that end a word in such a line
    #[arg(long, value_name = "CHARS", allow_hyphen_values = true)]
    pub(in super::super) breaks: Option<String>,
    /// The word at the cursor, up to the cursor
    #[arg(
        long,
        value_name = "WORD",
        allow_hyphen_values = true,
        default_value = ""
    )]
    pub(in super::super) current: String,
    /// The words before it, the program first
    #[arg(last = true, value_name = "WORDS")]
    pub(in super::super) words: Vec<OsString>,
}
