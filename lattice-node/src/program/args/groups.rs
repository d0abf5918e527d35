//! The commands in groups, and what the program says about itself without a command.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};

use super::Args;

/// The groups of `lattice --help`. A command that is in none stands in the last.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Look",
        &[
            "list",
            "info",
            "peek",
            "stats",
            "get",
            "exists",
            "scan",
            "conflicts",
            "tail",
            "history",
            "watch",
            "types",
            "describe",
        ],
    ),
    (
        "Write",
        &[
            "create", "put", "del", "append", "batch", "import", "call", "alias",
        ],
    ),
    (
        "Exchange",
        &[
            "sync", "clone", "serve", "peers", "status", "bundle", "export", "backup", "restore",
            "identity",
        ],
    ),
    ("Code", &["code", "upgrade", "migrate"]),
    (
        "Care",
        &[
            "doctor", "verify", "rebuild", "salvage", "compact", "destroy",
        ],
    ),
];
/// The title of the group of all other commands.
const OTHERS: &str = "More";

/// The commands that a new user needs.
const FIRST: [&str; 10] = [
    "create", "list", "put", "get", "scan", "append", "tail", "history", "verify", "backup",
];

/// Words of other programs, and the command lines that do the same here.
const WORDS: &[(&str, &[&str])] = &[
    ("keys", &["scan --keys-only"]),
    ("find", &["scan"]),
    ("cat", &["get"]),
    ("dump", &["export"]),
    ("load", &["import"]),
    ("init", &["create"]),
    ("new", &["create"]),
    ("drop", &["destroy"]),
    #[cfg(not(feature = "sync"))]
    ("status", &["info", "doctor"]),
    ("count", &["info", "stats"]),
    ("len", &["info", "stats"]),
    ("size", &["stats"]),
    ("du", &["stats"]),
    ("check", &["verify", "doctor"]),
    ("fsck", &["verify", "doctor"]),
    ("repair", &["doctor", "rebuild", "salvage"]),
    ("recover", &["rebuild", "salvage"]),
    ("vacuum", &["compact"]),
    ("gc", &["compact", "code gc"]),
    #[cfg(not(feature = "sync"))]
    ("clone", &["bundle apply", "restore"]),
    #[cfg(not(feature = "sync"))]
    ("sync", &["bundle create", "bundle apply"]),
    #[cfg(not(feature = "sync"))]
    ("push", &["bundle create"]),
    #[cfg(not(feature = "sync"))]
    ("pull", &["bundle apply"]),
    #[cfg(feature = "sync")]
    ("push", &["sync", "bundle create"]),
    #[cfg(feature = "sync")]
    ("pull", &["sync", "bundle apply"]),
    #[cfg(feature = "sync")]
    ("fetch", &["sync", "bundle apply"]),
    #[cfg(feature = "sync")]
    ("replicate", &["clone", "sync"]),
    ("rename", &["alias set"]),
];

/// The program with its commands in groups.
pub(in super::super) fn program() -> Command {
    let program = Args::command();
    let template = template(&program);
    program.help_template(template)
}

fn template(program: &Command) -> StyledStr {
    let mut text = String::from("{before-help}{about-with-newline}\n{usage-heading} {usage}\n");
    let listed = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(Command::get_name)
        .filter(|name| !listed(name));
    let others: Vec<&str> = others.collect();
    let heading = program.get_styles().get_header();
    for (title, names) in GROUPS.into_iter().chain([(OTHERS, &others[..])]) {
        text.push_str(&format!("\n{heading}{title}:{heading:#}\n"));
        for name in names {
            add_line(&mut text, program, name);
        }
    }
    text.push_str("\n{all-args-without-commands}{after-help}");
    let args = "{options}";
    text.replace(
        "{all-args-without-commands}",
        &format!("{heading}Options:{heading:#}\n{args}"),
    )
    .into()
}

fn add_line(text: &mut String, program: &Command, name: &str) {
    let about = match program.find_subcommand(name) {
        Some(command) => command.get_about().map(ToString::to_string),
        None => return,
    };
    let literal = program.get_styles().get_literal();
    let about = about.unwrap_or_else(String::new);
    text.push_str(&format!("  {literal}{name:<11}{literal:#}  {about}\n"));
}

/// What the program prints if it is given no arguments.
pub(in super::super) fn first_commands() -> StyledStr {
    let program = Args::command();
    let heading = program.get_styles().get_header();
    let mut text = String::from(
        "Keeps data in stores. A store is one file that records its type and its signed history.\n\n",
    );
    text.push_str(&format!("{heading}The first commands:{heading:#}\n"));
    for name in FIRST {
        add_line(&mut text, &program, name);
    }
    text.push_str(
        "\n`lattice --help` lists all commands, `lattice COMMAND -h` explains one, and `lattice tour` \
         shows what Lattice does.\n",
    );
    text.into()
}

/// Adds to the error of an unknown command those that do what its name means elsewhere.
pub(in super::super) fn suggest(error: &mut Error) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let known = WORDS.iter().find(|(word, _)| word == given);
    if let Some((_, lines)) = known {
        let lines = lines.iter().map(ToString::to_string).collect();
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(lines),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_other_programs_lead_to_commands() {
        let mut program = Args::command();
        program.build();
        for &(word, lines) in WORDS {
            assert!(program.find_subcommand(word).is_none(), "{word}");
            for line in lines {
                if line.starts_with("code ") && cfg!(not(feature = "wasm")) {
                    continue;
                }
                let mut words = line.split(' ').filter(|word| !word.starts_with('-'));
                let found = words.try_fold(&program, |command, word| command.find_subcommand(word));
                assert!(found.is_some(), "{word}: {line}");
            }
        }
    }

    #[test]
    fn every_command_stands_once_in_the_help() {
        let help = program().render_long_help().to_string();
        let command = Args::command();
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
        for command in shown {
            let start = format!("  {} ", command.get_name());
            let lines = help.lines().filter(|line| line.starts_with(&start));
            assert_eq!(lines.count(), 1, "{start}: {help}");
        }
        for (title, _) in GROUPS {
            assert!(help.contains(&format!("\n{title}:\n")), "{help}");
        }
        let first = first_commands().to_string();
        for name in FIRST {
            assert!(first.contains(&format!("\n  {name} ")), "{first}");
        }
    }
}
