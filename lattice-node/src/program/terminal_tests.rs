//! Hostile bytes in stores, names and paths must not act on a terminal.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;

use super::context::Host;
use super::output::{Output, escape_text};
use super::{Shared, parse, run};
use crate::core_registry;

/// Clears the screen, sets the title, rings the bell, reverses and hides text, and breaks the line.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{200b}\r\n\u{8}\u{7f}x\u{2066}\u{61c}\u{ad}\u{e0001}";

/// Everything that a command prints on a terminal, with errors and notes.
fn shown(dir: &Path, words: &[&str]) -> String {
    let mut all = vec![OsString::from("lattice"), "--data-dir".into(), dir.into()];
    all.extend(words.iter().map(OsString::from));
    let args = match parse(all) {
        Ok(args) => args,
        Err(error) => return error.render().to_string(),
    };
    let printed = RefCell::new(Vec::new());
    let out = Output::on_terminal(Shared(&printed), Shared(&printed), &args.global);
    let outcome = run(args, Host::Tour, core_registry().unwrap(), out);
    let mut text = String::from_utf8(printed.into_inner()).unwrap();
    if let Err(failure) = outcome {
        // The same escaping as in `Failure::print`.
        text.push_str(&escape_text(failure.message()));
        text.push('\n');
    }
    text
}

/// Asserts that all characters are printable, or separators that the program prints.
fn assert_safe(words: &[&str], text: &str) {
    let acts = |character: char| match character {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{ad}'
        | '\u{e0001}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    };
    let found = text.chars().find(|character| acts(*character));
    assert_eq!(found, None, "{words:?} prints {text:?}");
    let owned = text.lines().any(|line| line.starts_with('x'));
    assert!(
        !owned,
        "{words:?} lets a foreign line end through: {text:?}"
    );
}

#[test]
fn no_untrusted_text_controls_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    // The path itself is hostile, too.
    let dir = home.path().join(HOSTILE);
    std::fs::create_dir(&dir).unwrap();
    let file = |name: &str| dir.join(format!("{name}{HOSTILE}"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let prepare: [&[&str]; 7] = [
        &["create", "core:kvstore", "--alias", "kv"],
        &["create", "core:logstore", "--alias", "log"],
        &["put", "kv", HOSTILE, HOSTILE],
        &["put", "kv", "plain", HOSTILE],
        &["put", "kv", HOSTILE, "other"],
        &["append", "log", HOSTILE],
        &["put", "kv", HOSTILE, HOSTILE],
    ];
    for words in prepare {
        let printed = shown(&dir, words);
        assert_safe(words, &printed);
        assert!(!printed.contains("cannot"), "{words:?}: {printed}");
    }
    let (bundle, copy, none) = (
        text(&file("bundle")),
        text(&file("copy")),
        text(&file("none")),
    );
    let rows = text(&file("rows"));
    std::fs::write(&rows, format!("{{\"key\": \"{HOSTILE}")).unwrap();
    let stray = dir.join("stores").join(HOSTILE);
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("state.db"), HOSTILE).unwrap();
    std::fs::write(dir.join("aliases.toml"), HOSTILE).unwrap();
    let broken = [["list"], ["alias"]];
    for words in broken {
        assert_safe(&words, &shown(&dir, &words));
    }
    std::fs::remove_file(dir.join("aliases.toml")).unwrap();
    let ids = shown(&dir, &["-q", "--json", "list"]);
    let id = |of: &str| {
        let line = ids.lines().find(|line| line.contains(of)).unwrap();
        line.split('"').nth(3).unwrap().to_owned()
    };
    let (kv, log) = (id("core:kvstore"), id("core:logstore"));
    let (named, unnamed) = (format!("key={HOSTILE}"), format!("{HOSTILE}=1"));
    let commands: Vec<Vec<&str>> = vec![
        vec!["list"],
        vec!["peek", &kv],
        vec!["info", &kv],
        vec!["peek", HOSTILE],
        vec!["peek", &none],
        vec!["stats", &kv],
        vec!["describe", &kv],
        vec!["describe", HOSTILE],
        vec!["get", &kv, HOSTILE],
        vec!["get", &kv, HOSTILE, "--b64"],
        vec!["get", &kv, "no\u{1b}key"],
        vec!["scan", &kv],
        vec!["scan", &kv, "--keys-only"],
        vec!["conflicts", &kv, HOSTILE],
        vec!["call", &kv, "get", &named],
        vec!["call", &kv, "scan"],
        vec!["call", &kv, HOSTILE],
        vec!["call", &kv, "get", &unnamed],
        vec!["call", &log, "tail", "count:=3"],
        vec!["tail", &log],
        vec!["history", &kv],
        vec!["history", &kv, "--graph"],
        vec!["history", &kv, "--format", "dot"],
        vec!["history", &kv, "--format", "mermaid"],
        vec!["history", &log],
        vec!["watch", &kv, "--all", "--limit", "3"],
        vec!["watch", &log, "--all", "--limit", "1"],
        vec!["export", &kv],
        vec!["export", &log],
        vec!["import", &kv, &rows],
        vec!["import", &kv, &none],
        vec!["bundle", "create", &kv, &bundle],
        vec!["bundle", "create", &kv, &bundle],
        vec!["bundle", "create", &kv, "-"],
        vec!["bundle", "verify", &bundle],
        vec!["bundle", "verify", &rows],
        vec!["bundle", "apply", &bundle],
        vec!["backup", &kv, &copy],
        vec!["backup", &kv, &copy],
        vec!["restore", &copy],
        vec!["restore", &rows],
        vec!["verify", &kv],
        vec!["verify", &rows],
        vec!["rebuild", &kv],
        vec!["compact", &kv],
        vec!["migrate", &kv, "--to", "core:kvstore"],
        vec!["destroy", &kv],
        vec!["alias", "set", &kv, HOSTILE],
        vec!["identity"],
        vec!["types"],
        vec!["del", &kv, HOSTILE],
    ];
    for words in &commands {
        assert_safe(words, &shown(&dir, words));
        let json = [&["--json"], &words[..]].concat();
        assert_safe(&json, &shown(&dir, &json));
    }
    assert!(shown(&dir, &["scan", &kv]).contains("owned"));
}

#[test]
fn a_list_on_a_terminal_has_a_header_short_ids_and_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let long = "x".repeat(64);
    for (store_type, name) in [
        ("core:kvstore", "pear"),
        ("core:logstore", "apple"),
        ("core:kvstore", &long),
    ] {
        shown(dir, &["create", store_type, "--alias", name]);
    }
    shown(dir, &["create", "core:kvstore"]);
    let list = shown(dir, &["list"]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 5, "{list}");
    assert!(lines[0].starts_with("ID        TYPE"), "{list}");
    assert!(lines[0].ends_with("SIZE  NAME"), "{list}");
    assert!(lines[1].ends_with(" KiB  apple"), "{list}");
    assert!(lines[2].ends_with(" KiB  pear"), "{list}");
    assert!(lines[3].ends_with("x…"), "{list}");
    assert!(lines[4].ends_with(" KiB"), "{list}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{list}"
    );
    let id = lines[1].split("  ").next().unwrap();
    assert_eq!(id.len(), 8, "{list}");
    assert!(shown(dir, &["info", id]).contains("core:logstore"), "{id}");
}

#[test]
fn a_bundle_is_not_written_to_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    shown(dir.path(), &["create", "core:kvstore", "--alias", "kv"]);
    let refused = shown(dir.path(), &["bundle", "create", "kv", "-"]);
    assert_eq!(
        refused,
        "a bundle is binary and cannot be printed on a terminal; name a file, or pipe it to \
         `lattice bundle apply -`\n"
    );
}
