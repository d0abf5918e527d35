//! Where values come from, and what is wrong with them.

use std::fs;
use std::path::Path;

use clap::Parser;

use super::{Key, Origin, Settings, keys};
use crate::program::args::{Args, Color};

/// The settings of a file, an environment and options.
fn settings(file: &str, environment: &[(&str, &str)], options: &[&str]) -> Settings {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, file).unwrap();
    let mut settings = Settings::default();
    settings.read_file(Path::new(&path));
    settings.read_environment(|name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let words = [&["lattice", "list"], options].concat();
    settings.read_options(&Args::try_parse_from(words).unwrap().global);
    settings
}

fn origin(settings: &Settings, key: Key) -> &Origin {
    &settings.values[keys::place(key)].origin
}

#[test]
fn options_override_the_environment_and_that_overrides_the_file() {
    let file = "# mine\nwait = 3\ncolor = \"never\"\nverify = 'trust'\ncode_policy = \"follow\"\n";
    let all = settings(file, &[], &[]);
    assert!(all.errors.is_empty(), "{:?}", all.errors);
    assert_eq!(
        (all.wait(), all.color(), all.trusts()),
        (3, Color::Never, true)
    );
    assert_eq!(*origin(&all, Key::Wait), Origin::File(2));
    assert_eq!(
        (origin(&all, Key::Pager), all.pager()),
        (&Origin::Default, Some("less"))
    );
    let variables = [
        ("LATTICE_WAIT", "4"),
        ("PAGER", "more"),
        ("LATTICE_COLOR", ""),
    ];
    let all = settings(file, &variables, &[]);
    assert_eq!(
        (all.wait(), all.color(), all.pager()),
        (4, Color::Never, Some("more"))
    );
    assert_eq!(*origin(&all, Key::Pager), Origin::Environment("PAGER"));
    let all = settings(file, &variables, &["--wait=5", "--color", "always"]);
    assert_eq!((all.wait(), all.color()), (5, Color::Always));
    assert_eq!(*origin(&all, Key::Wait), Origin::Option("--wait"));
    assert_eq!(settings(file, &variables, &["--no-wait"]).wait(), 0);
    assert_eq!(settings("log = \"warn\"", &[], &[]).log(), "warn");
    assert_eq!(settings("log = \"warn\"", &[], &["-vv"]).log(), "debug");
    assert_eq!(settings("pager = \"\"", &[], &[]).pager(), None);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_was_expected() {
    let of = |file: &str, environment: &[(&str, &str)]| {
        let errors = settings(file, environment, &[]).errors;
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let cut = |text: &String| {
            text.split_once("config.toml, ")
                .map_or(text.clone(), |(_, rest)| rest.into())
        };
        errors.iter().map(cut).collect::<Vec<_>>()
    };
    let names = "wait, color, pager, log, verify, code_policy";
    assert_eq!(
        of("secret = 1", &[]),
        [format!(
            "line 1: unknown key secret; expected one of {names}"
        )]
    );
    assert_eq!(of("[wait]\nx = 1\n", &[]).len(), 1);
    let meant = "line 1: unknown key colour; did you mean color?";
    assert_eq!(of("colour = 1", &[]), [meant]);
    let seconds = "expected a number of seconds, as 10; 0 does not wait";
    for (value, shown) in [
        ("-1", "\"-1\""),
        ("\"1\"", "\"1\""),
        ("1.5", "1.5"),
        ("true", "true"),
        ("[1]", "[1]"),
    ] {
        let expected = format!("line 2: wait is {shown}; {seconds}");
        assert_eq!(of(&format!("\nwait = {value}"), &[]), [expected]);
    }
    let colors = "line 1: color is \"red\"; expected \"auto\", \"always\" or \"never\"";
    assert_eq!(of("color = \"red\"", &[]), [colors]);
    assert_eq!(
        of("", &[("LATTICE_WAIT", "soon")]),
        [format!("LATTICE_WAIT: wait is \"soon\"; {seconds}")]
    );
    // A wrong line does not hide another one.
    assert_eq!(of("x = 1\nwait = 2\ncolor = 3\n", &[]).len(), 2);
    let syntax = of("wait = 1\ncolor == 2\n", &[]);
    assert!(
        syntax[0].starts_with("line 2: expected TOML, found "),
        "{syntax:?}"
    );
    // A wrong value leaves the default.
    assert_eq!(settings("wait = -1", &[], &[]).wait(), 10);
}
