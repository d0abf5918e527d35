//! Forms of topics, and what they say of the program.

use clap::CommandFactory;

use super::{Block, TOPICS, blocks};
use crate::program::args::Args;
use crate::program::failure::Kind;

#[test]
fn texts_are_split_into_their_parts() {
    let text = "\na\nb\n\nc:\n\n* d\n  e\n* f\n\n    g\n\n    h\nlast\n";
    let lines = vec!["g".to_owned(), String::new(), "h".to_owned()];
    let expected = [
        Block::Paragraph("a b".into()),
        Block::Paragraph("c:".into()),
        Block::Point("d e".into()),
        Block::Point("f".into()),
        Block::Lines(lines),
        Block::Paragraph("last".into()),
    ];
    assert_eq!(blocks(text), expected);
}

#[test]
fn blocks_that_are_not_wrapped_fit_a_terminal() {
    for topic in TOPICS {
        for block in topic.blocks() {
            let Block::Lines(lines) = block else {
                continue;
            };
            for line in lines {
                assert!(line.len() <= 76, "{}: {line}", topic.name);
            }
        }
    }
}

#[test]
fn the_commands_in_the_texts_are_there() {
    let mut root = Args::command();
    root.build();
    let mut found = 0;
    for topic in TOPICS {
        for part in topic.text.split("lattice ").skip(1) {
            let mut command = &root;
            let words = part.split(|letter: char| letter.is_whitespace() || "`;".contains(letter));
            // Words after a command are its arguments, and those before are options.
            for word in words.take(8).filter(|word| !word.starts_with('-')) {
                match command.find_subcommand(word) {
                    Some(part) => command = part,
                    None => break,
                }
            }
            let is_named = command.get_name() != "lattice" || part.starts_with("COMMAND");
            assert!(is_named, "{}: lattice {part:.40}", topic.name);
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

#[test]
fn every_kind_of_error_stands_with_its_exit_code() {
    let topic = TOPICS
        .iter()
        .find(|topic| topic.name == "exit-codes")
        .unwrap();
    // A code begins each point.
    let points = topic.blocks().into_iter().filter_map(|block| match block {
        Block::Point(text) => Some(text),
        _ => None,
    });
    let codes: Vec<(u8, String)> = points
        .map(|text| (text.split_once(':').unwrap().0.parse().unwrap(), text))
        .collect();
    let names = |text: &str, name: &str| {
        let mut words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
        words.any(|word| word == name)
    };
    for kind in Kind::all() {
        let entry = codes.iter().find(|(_, text)| names(text, kind.name()));
        let found = entry.map(|(code, _)| *code);
        assert_eq!(found, Some(kind.code()), "{}", kind.name());
    }
}
