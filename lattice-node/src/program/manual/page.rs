//! One page in the language of `man`.

use clap::Command;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, roman};

use crate::program::reference::without_globals;
use crate::program::topics::{Block, TOPICS, Topic};

const MANUAL: &str = "Lattice Manual";
/// What stands before the examples and the JSON of a command, in its help.
const EXAMPLES: [&str; 2] = ["Example: ", "Examples: "];
const JSON: [&str; 3] = ["JSON: ", "JSON, ", "JSON Lines, "];

fn source() -> String {
    format!("lattice {}", env!("CARGO_PKG_VERSION"))
}

/// The page of a command.
pub(super) fn of_command(command: &Command, is_root: bool) -> String {
    let mut hidden = match is_root {
        true => command.clone(),
        // Global options are on the program's page.
        false => without_globals(command),
    };
    hidden = hidden.mut_subcommands(|part| match part.get_name() {
        "help" if !is_root => part.hide(true),
        _ => part,
    });
    let after = hidden
        .get_after_long_help()
        .or_else(|| hidden.get_after_help())
        .map_or_else(String::new, ToString::to_string);
    let man = Man::new(hidden.clone())
        .section("1")
        .source(source())
        .manual(MANUAL);
    let mut page = Vec::new();
    let sections = [
        Man::render_title,
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
    ];
    for section in sections {
        section(&man, &mut page).expect("memory takes what is written");
    }
    let has_options = hidden.get_arguments().any(|arg| !arg.is_hide_set());
    if has_options {
        man.render_options_section(&mut page)
            .expect("memory takes what is written");
    }
    if hidden.has_subcommands() {
        man.render_subcommands_section(&mut page)
            .expect("memory takes what is written");
    }
    let mut text = String::from_utf8(page).expect("a page is text");
    text.push_str(&details(&after));
    text.push_str(&see_also(is_root));
    text
}

/// The text below the options: details, examples, and JSON.
fn details(after: &str) -> String {
    let mut roff = Roff::new();
    let mut current = "";
    for part in after.split("\n\n").filter(|part| !part.is_empty()) {
        let begins = |all: &[&str]| all.iter().any(|start| part.starts_with(start));
        let section = match () {
            () if begins(&EXAMPLES) => "EXAMPLES",
            () if begins(&JSON) => "JSON",
            () => "DETAILS",
        };
        if section != current {
            roff.control("SH", [section]);
            current = section;
        } else {
            roff.control("PP", []);
        }
        let part = EXAMPLES
            .iter()
            .find_map(|start| part.strip_prefix(start))
            .unwrap_or(part);
        match part.contains('\n') || section == "EXAMPLES" {
            true => {
                let lines: Vec<_> = part
                    .lines()
                    .map(|line| line.trim_start().to_owned())
                    .collect();
                verbatim(&mut roff, &lines);
            }
            false => {
                let part = part.strip_prefix("JSON: ").unwrap_or(part);
                {
                    roff.text([roman(part)]);
                };
            }
        }
    }
    roff.to_roff()
}

/// Lines as they are.
fn verbatim(roff: &mut Roff, lines: &[String]) {
    roff.control("nf", []);
    for line in lines {
        match line.is_empty() {
            true => {
                roff.control("sp", []);
            }
            false => {
                roff.text([roman(line)]);
            }
        }
    }
    roff.control("fi", []);
}

fn see_also(is_root: bool) -> String {
    let mut names: Vec<Inline> = Vec::new();
    if !is_root {
        names.extend([bold("lattice"), roman("(1), ")]);
    }
    for topic in TOPICS {
        if names.len() > 2 {
            names.push(roman(", "));
        }
        names.extend([bold(format!("lattice-{}", topic.name)), roman("(7)")]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(names);
    roff.to_roff()
}

/// The page of a topic.
pub(super) fn of_topic(topic: Topic) -> String {
    let name = format!("lattice-{}", topic.name);
    let mut roff = Roff::new();
    roff.control("TH", [&*name, "7", "", &source(), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", topic.about()))]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut is_first = true;
    for block in topic.blocks() {
        match block {
            Block::Paragraph(text) => {
                if !is_first {
                    roff.control("PP", []);
                }
                roff.text([roman(text)]);
            }
            Block::Point(text) => {
                roff.control("IP", ["\\(bu", "2"]);
                roff.text([roman(text)]);
            }
            Block::Lines(lines) => {
                roff.control("PP", []);
                roff.control("RS", ["4"]);
                verbatim(&mut roff, &lines);
                roff.control("RE", []);
            }
        }
        is_first = false;
    }
    roff.to_roff() + &see_also(false)
}
