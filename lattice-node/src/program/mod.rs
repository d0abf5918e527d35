//! The `lattice` program, also for callers that ship it with their own store types: its only input
//! is a registry.
//!
//! Data goes to standard output, everything else to standard error.

mod args;
mod bulk;
mod columns;
mod commands;
mod complete;
mod config;
mod context;
mod escapes;
mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hints;
mod human;
mod interrupt;
mod log;
mod manual;
mod output;
mod pager;
mod panics;
mod pipes;
mod progress;
mod prompt;
mod prose;
mod reference;
#[cfg(feature = "shell")]
mod shell;
mod store_ref;
mod suggest;
#[cfg(test)]
mod terminal_tests;
mod topics;
mod tour;
#[cfg(feature = "sync")]
mod transport;
mod usage;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use lattice_registry::RegisterError;

use crate::Registry;
use args::Args;
use config::Settings;
use context::{Context, Host};
use failure::{Failure, Step};
use output::Output;

pub use reference::reference;
#[doc(hidden)]
pub use reference::{command_lines, error_kinds};

/// Runs the program with the arguments of this process and the store types of a registry.
///
/// ```no_run
/// # fn main() -> std::process::ExitCode {
/// let registry = lattice_node::core_registry(); // and types of your own
/// lattice_node::program::main(registry)
/// # }
/// ```
pub fn main(registry: Result<Registry, RegisterError>) -> ExitCode {
    let args = match parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return usage::usage(&error),
    };
    let mut args = args;
    let settings = Settings::of(&args.global);
    let checked = settings.check(&args.command);
    log::install(settings.log());
    settings.apply(&mut args.global);
    let (json, out) = (args.global.json, Output::of_process(&args.global));
    let interruption = match args.command.is_shell() {
        // Signals are for the commands that it runs.
        true => interrupt::installed(),
        false => interrupt::install(json),
    };
    let outcome = panics::contain(|| {
        let hints = Rc::clone(out.hints());
        checked.map_err(|failure| failure.complete(&hints, Step::Other))?;
        run(args, Host::Process, registry?, out)
    });
    match interruption.over(outcome) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            match failure.signal() {
                Some(signal) => interrupt::exit(signal),
                None => failure.exit_code(),
            }
        }
    }
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    try_parse(&words).map_err(|mut error| {
        args::suggest(&mut error);
        // Errors repeat the arguments, whose control sequences must not reach a terminal.
        let safe: Vec<OsString> = words.iter().map(safe_word).collect();
        match safe == words {
            true => error,
            false => try_parse(&safe).err().map_or(error, |mut error| {
                args::suggest(&mut error);
                error
            }),
        }
    })
}

/// An argument with more bytes is repeated in part.
const MAX_WORD_BYTES: usize = 1024;

fn safe_word(word: &OsString) -> OsString {
    match word.to_str() {
        Some(text) if text.len() <= MAX_WORD_BYTES => output::escape_text(text).into(),
        _ => output::echo(word.as_encoded_bytes()).into(),
    }
}

fn try_parse(words: &[OsString]) -> Result<Args, clap::Error> {
    let matches = args::program().try_get_matches_from(words)?;
    <Args as clap::FromArgMatches>::from_arg_matches(&matches)
}

/// Runs one command. Flushes its output even if it fails.
fn run(args: Args, host: Host, registry: Registry, out: Output<'_>) -> Result<(), Failure> {
    let hints = Rc::clone(out.hints());
    let step = Step::of(&args.command);
    let run = || {
        let mut context = Context::new(host, &args.global, registry, out)?;
        if host == Host::Process {
            context.expect_signals(&args.command);
        }
        let done = commands::run(&mut context, args.command);
        let done = done.map_err(|failure| failure.at(context.place().as_deref()));
        let finished = context.finish();
        done.and(finished)
    };
    run().map_err(|failure| failure.complete(&hints, step))
}

/// Runs one command of the tour and returns its output.
fn run_kept(words: &[OsString], registry: Registry) -> Result<String, Failure> {
    let args = Args::try_parse_from([OsString::from("lattice")].iter().chain(words))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let printed = std::cell::RefCell::new(Vec::new());
    let out = Output::kept(Shared(&printed), Shared(&printed), &args.global);
    run(args, Host::Tour, registry, out)?;
    Ok(String::from_utf8_lossy(&printed.into_inner()).into_owned())
}

/// A writer that interleaves data and notes.
struct Shared<'a>(&'a std::cell::RefCell<Vec<u8>>);

impl io::Write for Shared<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
