//! Help on concepts: `lattice help TOPIC`. The same texts are in `docs/cli.md` and in the manuals.
//!
//! A topic is Markdown of few forms: a title, paragraphs, points that begin with `* `, and blocks
//! that are indented by four spaces and printed as they are.

use serde_json::json;

use super::args::{Help, program};
use super::context::Context;
use super::failure::Failure;
use super::output::{Output, styles};
use super::pager;
use super::prose::{COLUMNS, wrapped};
use super::suggest::did_you_mean;

/// A concept that the help explains.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// A topic, whose text is in the file of its name.
macro_rules! topic {
    ($name:literal) => {
        Topic {
            name: $name,
            text: include_str!(concat!($name, ".md")),
        }
    };
}

/// All topics.
pub(super) const TOPICS: [Topic; 6] = [
    topic!("stores"),
    topic!("bundles"),
    topic!("code"),
    topic!("conflicts"),
    topic!("json"),
    topic!("exit-codes"),
];

/// The columns of the widest text.
const MOST_COLUMNS: usize = 100;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Paragraph(String),
    Point(String),
    /// Lines that are printed as they are, without their indentation.
    Lines(Vec<String>),
}

impl Topic {
    /// The line that says what it explains.
    pub(super) fn title(self) -> &'static str {
        let first = self.text.lines().next().unwrap_or("");
        first.trim_start_matches("# ")
    }

    /// What the title says of it.
    pub(super) fn about(self) -> &'static str {
        let title = self.title();
        title.split_once(": ").map_or(title, |(_, rest)| rest)
    }

    /// The text below the title.
    pub(super) fn blocks(self) -> Vec<Block> {
        let rest = self.text.split_once('\n').map_or("", |(_, rest)| rest);
        blocks(rest)
    }
}

/// Splits a text into its parts. A line of a paragraph or of a point continues it.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut is_new = true;
    for line in text.lines() {
        match (line.strip_prefix("    "), line.strip_prefix("* ")) {
            _ if line.is_empty() => is_new = true,
            (Some(line), _) => match all.last_mut() {
                Some(Block::Lines(lines)) => {
                    lines.extend(is_new.then(String::new));
                    lines.push(line.to_owned());
                    is_new = false;
                }
                _ => {
                    all.push(Block::Lines(vec![line.to_owned()]));
                    is_new = false;
                }
            },
            (_, Some(point)) => {
                all.push(Block::Point(point.to_owned()));
                is_new = false;
            }
            (None, None) => match all.last_mut() {
                Some(Block::Paragraph(text) | Block::Point(text)) if !is_new => {
                    text.push(' ');
                    text.push_str(line.trim_start());
                }
                _ => {
                    all.push(Block::Paragraph(line.to_owned()));
                    is_new = false;
                }
            },
        }
    }
    all
}

/// A topic as text of so many columns.
fn shown(out: &Output<'_>, topic: Topic, columns: usize) -> String {
    let mut text = out.paint(styles::NAME, topic.title());
    let mut was_point = false;
    for block in topic.blocks() {
        let is_point = matches!(block, Block::Point(_));
        let lines = match block {
            Block::Paragraph(text) => wrapped(&text, columns),
            Block::Point(text) => {
                let lines = wrapped(&text, columns.saturating_sub(4));
                let mark = |place| if place == 0 { "  * " } else { "    " };
                let lines = lines.iter().enumerate();
                lines
                    .map(|(place, line)| format!("{}{line}", mark(place)))
                    .collect()
            }
            Block::Lines(lines) => lines.iter().map(|line| format!("    {line}")).collect(),
        };
        text.push_str(if was_point && is_point { "\n" } else { "\n\n" });
        text.push_str(&lines.join("\n"));
        was_point = is_point;
    }
    text
}

/// The columns of the output.
fn columns(out: &Output<'_>) -> usize {
    out.width()
        .map_or(COLUMNS, |width| width.clamp(20, MOST_COLUMNS))
}

/// The list of topics.
pub(super) fn list() -> String {
    let line = |topic: &Topic| format!("  {:<12} {}", topic.name, topic.about());
    let lines: Vec<_> = TOPICS.iter().map(line).collect();
    format!("Topics, for `lattice help TOPIC`:\n{}", lines.join("\n"))
}

/// Prints the help of the program, of a command, or of a topic.
pub(super) fn help(context: &mut Context<'_>, help: &Help) -> Result<(), Failure> {
    let name = help.words.join("-");
    let topic = TOPICS.iter().copied().find(|topic| topic.name == name);
    let mut root = program();
    root.build();
    let columns = columns(&context.out);
    let command = command(&root, &help.words).map(|command| {
        let mut command = command.clone().term_width(columns);
        let help = command.render_long_help();
        match context.out.has_colors() {
            true => help.ansi().to_string(),
            false => help.to_string(),
        }
    });
    let text = match (topic, command) {
        (Some(topic), None) => shown(&context.out, topic, columns),
        (Some(topic), Some(command)) => {
            // The name of a topic can be that of a command.
            let title = format!("The command `lattice {}`", help.words.join(" "));
            let title = context.out.paint(styles::NAME, &title);
            let topic = shown(&context.out, topic, columns);
            format!("{topic}\n\n{title}\n\n{}", command.trim_end())
        }
        (None, Some(command)) if help.words.is_empty() => {
            format!("{}\n\n{}", command.trim_end(), list())
        }
        (None, Some(command)) => command.trim_end().to_owned(),
        (None, None) => return Err(unknown(&root, &help.words)),
    };
    let value = json!({ "topic": help.words.join(" "), "text": text });
    match context.out.is_json() {
        true => context.out.json(&value),
        false => pager::print(context, &text),
    }
}

/// The command that words name.
fn command<'c>(root: &'c clap::Command, words: &[String]) -> Option<&'c clap::Command> {
    let mut command = root;
    for word in words {
        command = command.find_subcommand(word)?;
    }
    Some(command)
}

fn unknown(root: &clap::Command, words: &[String]) -> Failure {
    let given = words.join(" ");
    let given = super::output::echo(given.as_bytes());
    let commands = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names = commands.map(|command| command.get_name());
    let names = names.chain(TOPICS.iter().map(|topic| topic.name));
    let failure = Failure::usage(format!("no command and no topic \"{given}\""));
    match did_you_mean(&given, names) {
        Some(meant) => failure.and(&meant),
        None => failure.and("`lattice help` lists all of them"),
    }
}

#[cfg(test)]
mod tests;
