//! Generates the command reference from the program's own help.

use clap::CommandFactory;

use super::args::Args;

/// Width of the help texts, in columns.
const WIDTH: usize = 96;

/// All commands and their help as Markdown: `docs/cli.md`.
pub fn reference() -> String {
    let mut program = Args::command()
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
        .filter(|command| command.get_name() != "help")
    {
        let title = format!("lattice {}", command.get_name());
        section(&mut text, "##", &title, without_globals(command));
        for part in command.get_subcommands() {
            let title = format!("{title} {}", part.get_name());
            section(&mut text, "###", &title, without_globals(part));
        }
    }
    text
}

/// Global options are listed once, with the program.
fn without_globals(command: &clap::Command) -> clap::Command {
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
