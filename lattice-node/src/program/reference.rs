//! Generates the command reference from the program's own help.

use clap::CommandFactory;

use super::args::{self, Args};
use super::topics::TOPICS;

/// Width of the help texts, in columns.
const WIDTH: usize = 96;

/// All commands and their help as Markdown: `docs/cli.md`.
pub fn reference() -> String {
    let mut program = args::program()
        .term_width(WIDTH)
        .color(clap::ColorChoice::Never);
    program.build();
    let mut text = String::from(
        "# The `lattice` program\n\n\
         This page is made from the program's own help by `cargo xtask docs`; change it there.\n",
    );
    section(&mut text, "##", "lattice", program.clone());
    for command in program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let title = format!("lattice {}", command.get_name());
        section(&mut text, "##", &title, without_globals(command));
        let parts = command.get_subcommands();
        for part in parts.filter(|part| part.get_name() != "help") {
            let title = format!("{title} {}", part.get_name());
            section(&mut text, "###", &title, without_globals(part));
        }
    }
    text.push_str("\n## Topics\n");
    for topic in TOPICS {
        text.push_str(&format!("\n##{}", topic.text));
    }
    text
}

/// Global options are listed once, with the program.
pub(super) fn without_globals(command: &clap::Command) -> clap::Command {
    command.clone().mut_args(|arg| match arg.is_global_set() {
        true => arg.hide(true),
        false => arg,
    })
}

fn section(text: &mut String, level: &str, title: &str, command: clap::Command) {
    let mut command = command.term_width(WIDTH);
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n{level} {title}\n\n```text\n"));
    text.push_str(lines.join("\n").trim());
    text.push_str("\n```\n");
}

/// A line for each command, as clap describes it: its words, the values of its arguments and of the
/// options that it requires, and `--yes` if it has that. `<NAME>` stands for a value of any text.
/// For tests that run every command.
#[doc(hidden)]
pub fn command_lines() -> Vec<Vec<String>> {
    let mut program = Args::command();
    program.build();
    let mut lines = Vec::new();
    add_lines(&program, &[], &mut lines);
    lines
}

fn add_lines(command: &clap::Command, words: &[String], lines: &mut Vec<Vec<String>>) {
    for part in command.get_subcommands() {
        // Only the program itself has a help command of its own.
        let is_own = words.is_empty() || part.get_name() != "help";
        if is_own && !part.is_hide_set() {
            let words = [words, &[part.get_name().to_owned()]].concat();
            add_lines(part, &words, lines);
        }
    }
    if command.is_subcommand_required_set() {
        return;
    }
    let mut line = words.to_vec();
    for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
        let option = arg.get_long().map(|name| format!("--{name}"));
        if arg.is_positional() || arg.is_required_set() {
            line.extend(option);
            line.push(value(arg));
        } else if option.as_deref() == Some("--yes") {
            line.extend(option);
        }
    }
    lines.push(line);
}

/// The first of an argument's possible values, or its name.
fn value(arg: &clap::Arg) -> String {
    if let Some(value) = arg.get_possible_values().first() {
        return value.get_name().to_owned();
    }
    let name = arg.get_value_names().and_then(|names| names.first());
    format!(
        "<{}>",
        name.map_or(arg.get_id().as_str(), |name| name.as_str())
    )
}

/// The kinds of errors, for the test that has a case for each.
#[doc(hidden)]
pub fn error_kinds() -> Vec<&'static str> {
    super::failure::Kind::names()
}
