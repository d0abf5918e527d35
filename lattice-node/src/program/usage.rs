//! Help and usage errors, which the program prints before it has arguments.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::args::{self, Color, Global};
use super::config::Settings;
use super::failure::{self, Failure};
use super::output::{self, columns_of};
use super::{interrupt, pager, prose};

/// Prints a usage error, or the requested help.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let asked_for_json = words.iter().any(|word| word == "--json");
    let usage_code = ExitCode::from(failure::Kind::Usage.code());
    if !error.use_stderr() {
        return match print_help(error, &words) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let failure = Failure::output(error);
                failure.print(asked_for_json);
                failure.exit_code()
            }
            _ => ExitCode::SUCCESS,
        };
    }
    if asked_for_json {
        let message = plain(error.render().to_string());
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        failure::print_json("usage", message.trim_end());
        return usage_code;
    }
    // If standard error cannot be written, the exit code still reports the error.
    let _ = print_error(error, &words);
    usage_code
}

/// Prints a usage error in the form of all errors, or the first commands if there are no arguments.
fn print_error(error: &clap::Error, words: &[OsString]) -> io::Result<()> {
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if words.len() == 1 => {
            args::first_commands()
        }
        _ => error.render(),
    };
    let text = match has_colors(words, io::stderr().is_terminal()) {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    let text = plain(text).replacen("error:", "lattice:", 1);
    let text = match columns_of(&console::Term::stderr()) {
        Some(columns) => prose::fitted(&text, columns).into_owned(),
        None => text,
    };
    io::stderr().write_all(text.as_bytes())
}

/// Says what a number must be: the standard library's errors name the digit only.
fn plain(text: String) -> String {
    let found = [
        "invalid digit found in string",
        "cannot parse integer from empty string",
    ];
    found.iter().fold(text, |text, found| {
        text.replace(found, "expected a whole number")
    })
}

/// Prints help, or the version. On a terminal a long help is shown by the pager.
fn print_help(error: &clap::Error, words: &[OsString]) -> io::Result<()> {
    let term = console::Term::stdout();
    let text = match has_colors(words, io::stdout().is_terminal()) {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    let Some(columns) = columns_of(&term) else {
        return io::stdout().write_all(text.as_bytes());
    };
    let text = prose::fitted(&text, columns);
    match settings(words).pager() {
        Some(pager) => {
            interrupt::install(false);
            pager::Paged::new(pager).write_all(text.as_bytes())
        }
        None => io::stdout().write_all(text.as_bytes()),
    }
}

/// How the messages of errors begin.
pub(super) fn error_prefix() -> String {
    let style = clap::builder::Styles::styled().get_error().to_owned();
    let words: Vec<OsString> = std::env::args_os().collect();
    match has_colors(&words, io::stderr().is_terminal()) {
        true => format!("{style}lattice:{style:#}"),
        false => "lattice:".to_owned(),
    }
}

/// Whether an output has colours: as the option says, else the settings, also if the arguments are
/// wrong.
fn has_colors(words: &[OsString], is_terminal: bool) -> bool {
    let given = value_of(words, "--color").and_then(|text| text.into_string().ok());
    let choice = match given.as_deref() {
        Some("always") => Color::Always,
        Some("never") => Color::Never,
        _ => settings(words).color(),
    };
    output::colors(choice, is_terminal)
}

/// The settings of a command line that may be wrong.
fn settings(words: &[OsString]) -> Settings {
    let dir = value_of(words, "--data-dir").map(PathBuf::from);
    Settings::of(&Global::in_dir(dir))
}

/// The last value of an option.
fn value_of(words: &[OsString], option: &str) -> Option<OsString> {
    let start = format!("{option}=");
    let mut found = None;
    for (nth, word) in words.iter().enumerate() {
        let joined = word.to_str().and_then(|word| word.strip_prefix(&start));
        match joined {
            _ if word == "--" => break,
            Some(value) => found = Some(value.into()),
            None if word == option => found = words.get(nth + 1).cloned().or(found),
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_on_command_lines_that_are_wrong() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            value_of(&words, "--color").map(|value| value.into_string().unwrap())
        };
        assert_eq!(
            of("lattice nothing --color never").as_deref(),
            Some("never")
        );
        assert_eq!(of("lattice --color=a --color=b x").as_deref(), Some("b"));
        assert_eq!(of("lattice put x -- --color never"), None);
        assert_eq!(of("lattice --color"), None);
    }
}
