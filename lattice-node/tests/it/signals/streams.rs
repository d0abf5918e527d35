//! Commands that read streams, and signals that are ignored.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};

use super::{error, errors, handles, send, spawn, start};
use crate::{eventually, printed};

fn create(dir: &Path, store_type: &str, alias: &str) {
    printed(dir, &["create", store_type, "--alias", alias]);
}

fn number(dir: &Path, store: &str, method: &str) -> u64 {
    let number = printed(dir, &["call", store, method]);
    number.trim().parse().unwrap()
}

fn give(child: &mut Child, input: &[u8]) {
    child.stdin.as_mut().unwrap().write_all(input).unwrap();
}

/// What a pipe holds, and what the program can be reading when it ends.
const BUFFERED: usize = 2 * (64 << 10);

/// Rows of one length.
fn rows(count: usize) -> String {
    let row = |nth| format!("{{\"key\":\"{nth:08}\",\"value\":\"{nth:08}\"}}\n");
    (0..count).map(row).collect()
}

/// The fewest rows that the program commits once it was given this text.
fn read_of(text: &str, count: usize) -> u64 {
    let per_row = text.len() / count;
    u64::try_from((text.len() - BUFFERED) / per_row - 1).unwrap()
}

#[test]
fn termination_commits_the_rows_that_an_import_has_read() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "core:kvstore", "kv");
        let words = ["--json", "import", "kv", "-", "--batch", "65536"];
        let mut import = start(dir.path(), &words);
        let text = rows(20_000);
        give(&mut import, text.as_bytes());
        // A row that is cut is not in.
        give(&mut import, b"{\"key\":\"x\",");
        send(&mut import, signal);
        let _open = import.stdin.take();
        let ended = import.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}", errors(&ended));
        let error = error(&ended);
        let written = error["rows"].as_u64().unwrap();
        assert!(written >= read_of(&text, 20_000), "{written} rows");
        assert_eq!(
            (&error["line"], &error["ops"]),
            (&written.into(), &1.into())
        );
        assert_eq!(number(dir.path(), "kv", "count"), written);
        let last = format!("{:08}", written - 1);
        assert_eq!(printed(dir.path(), &["get", "kv", &last]), last);
    }
}

#[test]
fn an_import_names_the_command_that_imports_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    let file = dir.path().join("the rows.jsonl");
    std::fs::write(&file, rows(20_000)).unwrap();
    let words = [
        "--json",
        "import",
        "kv",
        file.to_str().unwrap(),
        "--batch",
        "100",
    ];
    let mut import = start(dir.path(), &words);
    eventually("a row", || {
        import.try_wait().unwrap().is_some() || number(dir.path(), "kv", "count") > 0
    });
    send(&mut import, "-INT");
    let ended = import.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", errors(&ended));
    let error = error(&ended);
    let written = error["rows"].as_u64().unwrap();
    assert_eq!(number(dir.path(), "kv", "count"), written);
    assert!(0 < written && written < 20_000, "{written}");
    let next = error["next"].as_str().unwrap();
    let expected = format!(
        "tail -n +{} '{}' | lattice import kv - ",
        written + 1,
        file.display()
    );
    assert!(next.starts_with(&expected), "{next}");
    let program = Path::new(env!("CARGO_BIN_EXE_lattice"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = Command::new("sh");
    let rest = shell
        .args(["-c", next])
        .env("PATH", path)
        .env("LATTICE_DATA_DIR", dir.path());
    let rest = rest.output().unwrap();
    assert!(rest.status.success(), "{}", errors(&rest));
    assert_eq!(number(dir.path(), "kv", "count"), 20_000);
}

#[test]
fn a_signal_commits_the_lines_that_append_has_read() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "core:logstore", "log");
        let mut append = start(dir.path(), &["--json", "append", "log"]);
        let text: String = (0..60_000).map(|nth| format!("{nth:019}\n")).collect();
        give(&mut append, text.as_bytes());
        give(&mut append, b"half a line");
        send(&mut append, signal);
        let _open = append.stdin.take();
        let ended = append.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}", errors(&ended));
        let written = error(&ended)["rows"].as_u64().unwrap();
        assert!(written >= read_of(&text, 60_000), "{written} lines");
        assert_eq!(number(dir.path(), "log", "len"), written);
        let last = printed(dir.path(), &["--json", "tail", "log", "-n", "1"]);
        assert!(last.contains(&format!("\"{:019}\"", written - 1)), "{last}");
    }
}

#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:logstore", "log");
    let mut shell = Command::new("sh");
    // As `nohup` does, and a shell for the background jobs of a script.
    shell.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]);
    shell.arg(env!("CARGO_BIN_EXE_lattice"));
    let mut append = spawn(shell, dir.path(), &["append", "log"]);
    handles(&mut append);
    for (nth, signal) in [(1, "-HUP"), (2, "-INT")] {
        give(&mut append, b"line\n");
        eventually("the line", || number(dir.path(), "log", "len") == nth);
        send(&mut append, signal);
    }
    give(&mut append, b"the last one\n");
    let ended = append.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", errors(&ended));
    assert_eq!(number(dir.path(), "log", "len"), 3);
}

#[test]
fn a_follower_names_the_command_that_continues_after_what_it_printed() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), "core:kvstore", "kv");
    printed(dir.path(), &["put", "kv", "a", "1"]);
    printed(dir.path(), &["put", "kv", "b", "2"]);
    let mut watch = start(dir.path(), &["--json", "watch", "kv", "--all"]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    for key in ["a", "b"] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("\"key\":\"{key}\"")), "{line}");
    }
    send(&mut watch, "-INT");
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    printed(dir.path(), &["put", "kv", "c", "3"]);
    let error = error(&ended);
    let next = error["next"].as_str().unwrap();
    let words: Vec<_> = next.split(' ').skip(1).collect();
    assert_eq!(words[..3], ["watch", "kv", "--since"]);
    let rest = printed(
        dir.path(),
        &[&words[..], &["--limit", "1", "--json"]].concat(),
    );
    assert!(rest.contains("\"key\":\"c\""), "{next}: {rest}");
}
