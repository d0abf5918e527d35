//! The commands of the program: data on standard output, everything else on standard error.

mod args;
mod commands;
mod failure;
mod output;
mod store_ref;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
pub(crate) use failure::Failure;
pub(crate) use output::escape;

/// Runs the program with this process's arguments.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let json = args.json;
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let context = commands::Context::new(args.data_dir, args.json)?;
    match args.command {
        Command::Tour(tour) => crate::tour::run(tour.keep.as_deref()),
        Command::Create(create) => commands::create(&context, &create),
        Command::List => commands::list(&context),
        Command::Peek(store) => commands::peek(&context, &store.store),
        Command::Info(store) => commands::info(&context, &store.store),
        Command::Put(put) => commands::put(&context, put),
        Command::Get(get) => commands::get(&context, &get),
        Command::Append(append) => commands::append(&context, append),
        Command::Tail(tail) => commands::tail(&context, &tail),
    }?;
    io::stdout().flush()?;
    Ok(())
}

/// Prints a usage error, or the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let asked_for_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && asked_for_json {
        let message = error.render().to_string();
        let message = message
            .strip_prefix("error: ")
            .unwrap_or(&message)
            .trim_end();
        failure::print_json("usage", message);
    } else {
        // Nothing is left to tell if the terminal is gone.
        let _ = error.print();
    }
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
