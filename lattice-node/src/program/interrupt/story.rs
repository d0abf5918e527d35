//! What an interrupted command says: what stands, and which command goes on.

use std::borrow::Cow;
use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use lattice_registry::files::Stopped;
use serde_json::{Map, Value, json};

use super::shown;
#[cfg(feature = "wasm")]
use crate::program::args::CodeCommand;
use crate::program::args::{AliasCommand, BundleCommand, Command, IdentityCommand};
use crate::program::failure::Failure;
use crate::program::pipes::FileArg;

/// A longer command line is not repeated.
const MAX_LINE_BYTES: usize = 300;

/// What a command says when it is interrupted.
#[derive(Debug, Clone, Default)]
pub(in crate::program) struct Story {
    /// What is changed and what is not.
    pub(in crate::program) stands: Cow<'static, str>,
    /// The command that goes on; `None` if its line is too long.
    pub(in crate::program) next: Option<String>,
    /// What that command does.
    pub(in crate::program) does: &'static str,
    /// Further fields of the error as JSON.
    pub(in crate::program) fields: Map<String, Value>,
    pub(in crate::program) effect: Effect,
}

/// What a command does to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::program) enum Effect {
    /// It only prints. Its output ends at the signal.
    Reads,
    /// It makes one file or store, which appears when it is finished.
    Makes,
    #[default]
    Other,
}

impl Story {
    /// A story whose next command is the same one.
    fn new(stands: impl Into<Cow<'static, str>>) -> Self {
        Self {
            stands: stands.into(),
            next: again(),
            does: "starts again",
            ..Self::default()
        }
    }

    fn reads(stands: &'static str) -> Self {
        Self {
            effect: Effect::Reads,
            ..Self::new(stands)
        }
    }

    fn makes(stands: &'static str) -> Self {
        Self {
            effect: Effect::Makes,
            ..Self::new(stands)
        }
    }

    /// A change in one transaction or one rename, and the command that shows whether it was made.
    fn changes(shows: String) -> Self {
        Self {
            stands: "the change was made completely or not at all".into(),
            next: Some(shows),
            does: "shows which",
            ..Self::default()
        }
    }

    /// Adds to the failure of an interrupted command what stands and what goes on. `stopped` is what
    /// the unfinished files have come to, unless the command itself has removed them.
    pub(super) fn complete(&self, failure: Failure, stopped: Option<&Stopped>) -> Failure {
        let nothing = Stopped::default();
        let stopped = stopped.unwrap_or(&nothing);
        if let (Effect::Makes, Some(placed)) = (self.effect, &stopped.placed) {
            let stands = format!("{} is in its place and complete", placed.display());
            return failure.and(&stands).with("stands", stands.into());
        }
        let mut failure = failure;
        // A command that has counted what it did has said so.
        if failure.is_bare() && !self.stands.is_empty() {
            let is_gone = stopped.kept.is_empty() && stopped.left.is_empty();
            let gone = match self.effect {
                Effect::Makes if is_gone => ", and nothing is left behind",
                _ => "",
            };
            failure = failure.and(&format!("{}{gone}", self.stands));
        }
        let mut does = self.does;
        if let Some(kept) = stopped.kept.last() {
            let kept = kept.display();
            failure = failure.and(&format!(
                "what it has made is kept in {kept}, which `lattice doctor --fix` removes"
            ));
            does = "continues";
        }
        if !failure.has("stands") {
            failure = failure.with("stands", self.stands.clone().into());
        }
        failure = with_left(failure, &stopped.left);
        for (name, value) in &self.fields {
            failure = failure.with(name, value.clone());
        }
        failure = failure.with("unfinished_kept", json!(shown(&stopped.kept)));
        failure = failure.with("next", json!(self.next));
        match &self.next {
            Some(next) => failure.and(&format!("`{next}` {does}")),
            None if does.is_empty() => failure,
            None => failure.and(&format!("the same command {does}")),
        }
    }
}

/// Names unfinished files that the process has left.
pub(super) fn with_left(failure: Failure, left: &[PathBuf]) -> Failure {
    let failure = failure.with("unfinished_left", json!(shown(left)));
    match left.is_empty() {
        true => failure,
        false => failure.and(&format!(
            "it has left {}, which the next command there removes",
            shown(left).join(", ")
        )),
    }
}

/// The command line of this process, as a shell reads it; `None` if it is too long to repeat.
pub(in crate::program) fn again() -> Option<String> {
    let mut line = String::from("lattice");
    for word in env::args_os().skip(1) {
        line.push(' ');
        line.push_str(&quoted(&word)?);
    }
    (line.len() <= MAX_LINE_BYTES).then_some(line)
}

/// A word as a shell reads it; `None` if it has control characters or is no text.
pub(in crate::program) fn quoted(word: &OsStr) -> Option<String> {
    let text = word.to_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if text.chars().any(char::is_control) {
        None
    } else if !text.is_empty() && text.chars().all(is_plain) {
        Some(text.to_owned())
    } else {
        Some(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// A command line about a store.
fn line(command: &str, store: &OsStr) -> String {
    let store = quoted(store).unwrap_or_else(|| "STORE".into());
    format!("lattice {command} {store}")
}

/// What a command says when it is interrupted, unless it says more about what it has done.
pub(in crate::program) fn story_of(command: &Command) -> Story {
    const UNCHANGED: &str = "nothing was changed";
    const CUT: &str = "nothing was changed; the output is incomplete";
    match command {
        Command::List(_)
        | Command::Peek(_)
        | Command::Info(_)
        | Command::Stats(_)
        | Command::Types
        | Command::Describe(_)
        | Command::Get(_)
        | Command::Exists(_)
        | Command::Tail(_)
        | Command::Completions(_)
        | Command::Config
        | Command::Metrics(_)
        | Command::Help(_)
        | Command::Complete(_)
        | Command::Watch(_) => Story::reads(UNCHANGED),
        Command::Export(args) if matches!(args.file, Some(FileArg::Path(_))) => {
            Story::makes("no file was made")
        }
        Command::Scan(_) | Command::Conflicts(_) | Command::Export(_) | Command::History(_) => {
            Story::reads(CUT)
        }
        Command::Verify(_) => Story::new(UNCHANGED),
        #[cfg(feature = "shell")]
        Command::Shell(_) => Story::new(UNCHANGED),
        Command::Man(args) => match args.install {
            None => Story::reads(UNCHANGED),
            Some(_) => Story::new("some of the pages may be written"),
        },
        Command::Tour(args) => Story::new(match args.keep {
            None => "the stores of the tour were removed".into(),
            Some(_) => Cow::Borrowed("the stores of the tour so far are kept"),
        }),
        Command::Create(_) => Story::makes("no store was created"),
        Command::Put(args) => Story::changes(line("history --limit 1", &args.store.store)),
        Command::Del(args) => Story::changes(line("history --limit 1", &args.store.store)),
        Command::Append(args) => Story::changes(line("history --limit 1", &args.store.store)),
        Command::Call(args) => Story::changes(line("history --limit 1", &args.store.store)),
        Command::Import(_) | Command::Batch(_) => Story::new("nothing was written"),
        Command::Doctor(args) => match args.fix {
            false => Story::reads("nothing was removed"),
            true => Story {
                does: "removes the rest",
                ..Story::new("some of the files may be removed")
            },
        },
        Command::Migrate(_) => {
            Story::makes("the old store is unchanged, and the new one does not exist yet")
        }
        Command::Upgrade(_) => Story {
            does: "goes on",
            ..Story::new("each store is upgraded completely or not at all")
        },
        Command::Salvage(args) if matches!(args.file, Some(FileArg::Path(_))) => {
            Story::makes("no file was made")
        }
        Command::Salvage(_) => Story::reads(CUT),
        Command::Rebuild(_) => Story::makes("the store is unchanged"),
        Command::Compact(_) => Story::new("the store is intact; its file may not be smaller yet"),
        Command::Bundle(args) => of_bundle(&args.command),
        #[cfg(feature = "sync")]
        Command::Sync(_) | Command::Clone(_) => Story {
            does: "continues",
            ..Story::new("what was received is durable")
        },
        #[cfg(feature = "sync")]
        Command::Peers(_) | Command::Status => Story::reads(UNCHANGED),
        #[cfg(feature = "sync")]
        Command::Serve(_) => Story {
            does: "serves again",
            ..Story::new("what was received is durable")
        },
        Command::Backup(args) if args.file == FileArg::Stdio => {
            Story::new("the copy on standard output is incomplete")
        }
        Command::Backup(_) => Story::makes("no copy was made"),
        Command::Restore(_) => Story::makes("nothing was restored"),
        Command::Destroy(_) => Story::new("nothing was deleted"),
        Command::Alias(args) => match args.command {
            Some(AliasCommand::Set { .. } | AliasCommand::Remove { .. }) => {
                Story::changes("lattice alias list".into())
            }
            _ => Story::reads(UNCHANGED),
        },
        #[cfg(feature = "wasm")]
        Command::Code(args) => of_code(&args.command),
        Command::Identity(args) => match (&args.command, args.create) {
            (Some(IdentityCommand::New { .. }), _) | (_, true) => {
                Story::changes("lattice identity".into())
            }
            _ => Story::reads(UNCHANGED),
        },
    }
}

fn of_bundle(command: &BundleCommand) -> Story {
    match command {
        BundleCommand::Create { file, .. } if *file == FileArg::Stdio => {
            Story::new("the bundle on standard output is incomplete")
        }
        BundleCommand::Create { .. } => Story::makes("no bundle was made"),
        BundleCommand::Tips(_) => Story::reads("nothing was changed"),
        BundleCommand::Verify { .. } => Story::new("nothing was changed"),
        BundleCommand::Apply { .. } => Story::new("nothing was applied"),
    }
}

#[cfg(feature = "wasm")]
fn of_code(command: &CodeCommand) -> Story {
    match command {
        CodeCommand::List | CodeCommand::Show { .. } | CodeCommand::Why { .. } => {
            Story::reads("nothing was changed")
        }
        CodeCommand::Prove { .. } => Story::new("nothing was changed"),
        CodeCommand::Gc { yes: false } => Story::reads("nothing was removed"),
        CodeCommand::Gc { yes: true } => Story {
            does: "removes the rest",
            ..Story::new("some of the files may be removed")
        },
        _ => Story::changes("lattice code list".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let quoted = |word: &str| quoted(OsStr::new(word));
        assert_eq!(quoted("rows.csv").as_deref(), Some("rows.csv"));
        assert_eq!(quoted("a b's").as_deref(), Some(r"'a b'\''s'"));
        assert_eq!(quoted("").as_deref(), Some("''"));
        assert_eq!(quoted("a\u{1b}"), None);
    }
}
