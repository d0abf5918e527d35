//! What a line says.

use clap::Parser;
use clap::error::ErrorKind;
use lattice_backend::machine::{Method, Param, ValueType};
use serde_json::json;

use crate::program::args::Args;
use crate::program::complete::Line;
use crate::program::failure::Failure;
use crate::program::suggest::did_you_mean;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As the command prints them.
    Text,
    Table,
    Json,
    Csv,
}

/// The commands of the shell itself.
pub(super) const OWN: [&str; 7] = [
    ".help", ".methods", ".mode", ".quit", ".read", ".timing", ".exit",
];
/// The values of `.mode`.
pub(super) const MODES: [(&str, Mode); 4] = [
    ("text", Mode::Text),
    ("table", Mode::Table),
    ("json", Mode::Json),
    ("csv", Mode::Csv),
];

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Empty,
    Use(String),
    Read(String),
    Mode(Mode),
    Timing(bool),
    Help,
    Methods,
    Quit,
    /// A method or a command, with its words.
    Command(Vec<String>),
}

impl Statement {
    pub(super) fn parse(line: &str) -> Result<Self, Failure> {
        if line.trim_start().starts_with('#') {
            return Ok(Self::Empty);
        }
        // The space ends the last word.
        let split = Line::split(&format!("{line} "), "");
        if split.quote.is_some() {
            return Err(Failure::usage("a quote is not closed"));
        }
        let words: Vec<&str> = split.words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            [] => Self::Empty,
            ["use", store] => Self::Use(store.to_owned()),
            ["use", ..] => return Err(expected("use STORE")),
            [".quit" | ".exit"] => Self::Quit,
            [".help"] => Self::Help,
            [".methods"] => Self::Methods,
            [".read", file] => Self::Read(file.to_owned()),
            [".read", ..] => return Err(expected(".read FILE")),
            [".timing", "on"] => Self::Timing(true),
            [".timing", "off"] => Self::Timing(false),
            [".timing", ..] => return Err(expected(".timing on, or .timing off")),
            [".mode", name] => match MODES.iter().find(|(known, _)| *known == name) {
                Some((_, mode)) => Self::Mode(*mode),
                None => return Err(expected(".mode text, table, json or csv")),
            },
            [".mode", ..] => return Err(expected(".mode text, table, json or csv")),
            [own, ..] if own.starts_with('.') && !own.contains('/') => {
                let meant = did_you_mean(own, OWN);
                let meant = meant.unwrap_or_else(|| ".help lists all".to_owned());
                return Err(Failure::usage(format!("no command {own}; {meant}")));
            }
            ["shell", ..] => {
                return Err(Failure::usage(
                    "this is a shell; `use STORE` changes the store",
                ));
            }
            _ => Self::Command(split.words),
        })
    }
}

fn expected(form: &str) -> Failure {
    Failure::usage(format!("expected {form}"))
}

/// The words of a command line for a line of the shell: a method of the store in use becomes a
/// call, unless it has options that only the command of its name can have. A command that lacks its
/// STORE gets the one in use.
pub(super) fn command_line(words: Vec<String>, store: &str, methods: &[Method]) -> Vec<String> {
    if let Some(method) = methods.iter().find(|method| method.name == words[0]) {
        let mut line = vec!["call".to_owned(), store.to_owned(), words[0].clone()];
        line.extend(arguments(method, &words[1..]));
        if refusal(&line) != Some(ErrorKind::UnknownArgument) {
            return line;
        }
    }
    if !lacks_argument(&words) {
        return words;
    }
    // The store is the first argument, after a command of one word or of two.
    for place in [1, 2] {
        if place <= words.len() {
            let mut line = words.clone();
            line.insert(place, store.to_owned());
            if !lacks_argument(&line) {
                return line;
            }
        }
    }
    words
}

fn lacks_argument(words: &[String]) -> bool {
    let lacking = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::InvalidSubcommand,
    ];
    refusal(words).is_some_and(|kind| lacking.contains(&kind))
}

/// Why the program does not take a command line.
fn refusal(words: &[String]) -> Option<ErrorKind> {
    let program = "lattice".to_owned();
    let line = [&program].into_iter().chain(words);
    Args::try_parse_from(line).err().map(|error| error.kind())
}

/// The arguments of a call: words of the form NAME=VALUE and options as they are, other words as
/// the values of the parameters that are not named, in their order.
fn arguments(method: &Method, words: &[String]) -> Vec<String> {
    let names = |param: &Param, word: &str| {
        let rest = word.strip_prefix(&*param.name);
        rest.is_some_and(|rest| {
            ["=", ":=", "_b64="]
                .iter()
                .any(|sign| rest.starts_with(sign))
        })
    };
    let is_named = |word: &str| method.params.iter().any(|param| names(param, word));
    let mut free = method
        .params
        .iter()
        .filter(|param| !words.iter().any(|word| names(param, word)));
    let mut are_values = false;
    let mut line = Vec::new();
    for word in words {
        if word == "--" && !are_values {
            are_values = true;
            continue;
        }
        let is_option = !are_values && word.starts_with('-') && word.parse::<i64>().is_err();
        if is_named(word) || is_option {
            line.push(word.clone());
            continue;
        }
        line.push(match free.next() {
            Some(param) => match param.value_type {
                // As JSON, so that a value that begins with `@` is no file.
                ValueType::Bytes | ValueType::Text => format!("{}:={}", param.name, json!(word)),
                _ => format!("{}:={word}", param.name),
            },
            // `call` says what it expects.
            None => word.clone(),
        });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(line: &str) -> Statement {
        Statement::parse(line).unwrap()
    }

    fn words(line: &str) -> Vec<String> {
        match statement(line) {
            Statement::Command(words) => {
                let opener = crate::core_registry().unwrap();
                let kv = lattice_kvstore::store_type();
                let methods = opener.resolve(&kv).unwrap().methods();
                command_line(words, "fruit", &methods)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_parsed() {
        assert_eq!(statement("  "), Statement::Empty);
        assert_eq!(statement("# use x"), Statement::Empty);
        assert_eq!(statement("use 'a b'"), Statement::Use("a b".into()));
        assert_eq!(statement(".mode csv"), Statement::Mode(Mode::Csv));
        assert_eq!(statement(".timing on"), Statement::Timing(true));
        assert_eq!(statement(".read a.txt"), Statement::Read("a.txt".into()));
        assert_eq!(statement(".exit"), Statement::Quit);
        for (line, says) in [
            ("get 'a", "a quote is not closed"),
            (".mode xml", "expected .mode text, table, json or csv"),
            (".hlp", "did you mean .help?"),
            ("use", "expected use STORE"),
            ("shell x", "this is a shell"),
        ] {
            let failure = Statement::parse(line).unwrap_err();
            assert!(failure.message().contains(says), "{}", failure.message());
        }
    }

    #[test]
    fn methods_become_calls_and_commands_get_the_store() {
        assert_eq!(
            words("get apple"),
            ["call", "fruit", "get", "key:=\"apple\""]
        );
        assert_eq!(
            words("put '@a \"b' red expect_absent:=true"),
            [
                "call",
                "fruit",
                "put",
                r#"key:="@a \"b""#,
                "value:=\"red\"",
                "expect_absent:=true"
            ]
        );
        // A parameter that is named takes no place; options and what follows `--` pass.
        assert_eq!(
            words("put value=x --trust -- --key"),
            [
                "call",
                "fruit",
                "put",
                "value=x",
                "--trust",
                "key:=\"--key\""
            ]
        );
        assert_eq!(
            words("get a b"),
            ["call", "fruit", "get", "key:=\"a\"", "b"]
        );
        // Options of the command of the same name.
        assert_eq!(words("scan --prefix a"), ["scan", "fruit", "--prefix", "a"]);
        assert_eq!(
            words("history --limit 1"),
            ["history", "fruit", "--limit", "1"]
        );
        assert_eq!(words("info"), ["info", "fruit"]);
        assert_eq!(words("info other"), ["info", "other"]);
        assert_eq!(words("bundle tips"), ["bundle", "tips", "fruit"]);
        assert_eq!(words("list"), ["list"]);
        assert_eq!(words("nothing at all"), ["nothing", "at", "all"]);
    }
}
