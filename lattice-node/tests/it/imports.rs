//! Files of other programs: formats, compression, broken rows, bounded memory.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::stdio::{fed, said};
use crate::{lattice, printed};

fn kv(dir: &Path) {
    printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
}

fn log(dir: &Path) {
    printed(dir, &["create", "core:logstore", "--alias", "log"]);
}

/// Writes a file and imports it.
fn import(dir: &Path, name: &str, bytes: &[u8], more: &[&str]) -> Output {
    let file = dir.join(name);
    fs::write(&file, bytes).unwrap();
    let words = ["import", "kv", file.to_str().unwrap()];
    lattice(dir, &[&words[..], more].concat())
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    assert!(told.len() < 1000, "{} bytes: {told}", told.len());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

const TWO: &str = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";
const EXPORTED: &str = TWO;

#[test]
fn json_is_read_as_lines_as_an_array_and_as_objects_of_several_lines() {
    let array =
        "[\n {\"key\": \"a\", \"value\": \"1\"},\n {\"key\": \"b\",\n  \"value\": \"2\"}\n]\n";
    let pretty =
        "{\n  \"key\": \"a\",\n  \"value\": \"1\"\n}\n{\n  \"key\": \"b\", \"value\": \"2\"\n}\n";
    for text in [
        TWO,
        array,
        pretty,
        &array.replace('\n', "\r\n"),
        &format!("\u{feff}{array}"),
    ] {
        for name in ["rows.json", "rows.JSON.gz", "-"] {
            let dir = tempfile::tempdir().unwrap();
            kv(dir.path());
            let output = match name {
                "-" => fed(dir.path(), &["import", "kv", "-"], text.as_bytes()),
                "rows.json" => import(dir.path(), name, text.as_bytes(), &[]),
                _ => import(dir.path(), name, &gzip(text.as_bytes()), &[]),
            };
            assert!(output.status.success(), "{text}: {}", said(&output));
            assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED, "{text}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let output = import(dir.path(), "rows.jsonl", pretty.as_bytes(), &[]);
    refused(&output, 1, &["line 1: ", "Give --format json"]);
    let output = import(
        dir.path(),
        "rows.jsonl",
        pretty.as_bytes(),
        &["--format", "json"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let output = import(dir.path(), "cut.json", &array.as_bytes()[..50], &[]);
    refused(&output, 1, &["line 3: expected the end of this value"]);
}

#[test]
fn compressed_files_are_read_by_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let csv = b"key,value\na,1\nb,2\n";
    let (first, second) = csv.split_at(12);
    let members = [gzip(first), gzip(second)].concat();
    for (name, bytes) in [
        ("x.csv.gz", gzip(csv)),
        ("y.csv", gzip(csv)),
        ("z.csv.gz", members),
    ] {
        let output = import(dir.path(), name, &bytes, &[]);
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert!(
            said(&output).contains("2 rows in 1 op"),
            "{}",
            said(&output)
        );
    }
    let output = fed(dir.path(), &["import", "kv", "-"], &gzip(TWO.as_bytes()));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED);
    let packed = gzip(&csv.repeat(1000));
    let mut flipped = packed.clone();
    let end = flipped.len() - 5;
    flipped[end] ^= 1;
    for (name, bytes) in [
        ("cut.csv.gz", &packed[..packed.len() - 9]),
        ("flipped.csv.gz", &flipped),
        ("behind.csv.gz", &[&packed[..], b"more"].concat()),
    ] {
        let output = import(dir.path(), name, bytes, &["--atomic", "--skip-errors"]);
        refused(
            &output,
            4,
            &["is damaged or cut short", "nothing was written"],
        );
    }
    refused(
        &import(dir.path(), "plain.csv.gz", csv, &[]),
        1,
        &["is not compressed with gzip"],
    );
    refused(
        &import(dir.path(), "plain.csv.zst", csv, &[]),
        1,
        &["is not compressed with zstd"],
    );
}

#[test]
fn tables_have_any_delimiter_and_tsv_files_a_header() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    for (name, text, more) in [
        ("a.tsv", "key\tvalue\na\t1\nb\t2\n", &[][..]),
        (
            "a.csv",
            "value;key\r\n1;a\r\n2;b\r\n",
            &["--delimiter", ";"],
        ),
        ("a.txt", "key|value\na|1\n\"b\"|2", &["--delimiter", "|"]),
        ("b.csv", "key\tvalue\na\t1\nb\t2\n", &["--delimiter", "\\t"]),
        ("b.tsv", "key,value\na,1\nb,2\n", &["--delimiter", ","]),
    ] {
        let output = import(dir.path(), name, text.as_bytes(), more);
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED, "{name}");
        printed(dir.path(), &["del", "kv", "a", "b"]);
    }
    let output = import(dir.path(), "semi.csv", b"key;value\na;1\n", &[]);
    refused(&output, 1, &["is it --delimiter ';'?", "found key;value"]);
    for wrong in ["", "ab", "\"", "\n", "\u{e9}"] {
        let output = import(dir.path(), "x.csv", b"", &["--delimiter", wrong]);
        refused(&output, 2, &["--delimiter"]);
    }
    let output = import(
        dir.path(),
        "x.jsonl",
        b"",
        &["--format", "jsonl", "--delimiter", ";"],
    );
    refused(&output, 2, &["--format csv"]);
}

#[test]
fn broken_rows_are_skipped_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let csv = "key,value\na,1\nlonely\n\"x\"y,2\n,3\nb,2\n";
    for atomic in [&["--skip-errors"][..], &["--skip-errors", "--atomic"]] {
        let output = import(dir.path(), "x.csv", csv.as_bytes(), atomic);
        assert!(output.status.success(), "{}", said(&output));
        let told = said(&output);
        for part in [
            "imported 2 rows in 1 op",
            "skipped 3 rows:",
            "  line 3: expected 2 columns, found 1",
            "  line 4: expected a delimiter or a line end after a closing quote",
            "  line 5: expected a key of 1 to 4096 bytes, found 0",
        ] {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
        assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED);
    }
    let lines = format!("{}{TWO}", "no json\n".repeat(25));
    let output = import(
        dir.path(),
        "x.jsonl",
        lines.as_bytes(),
        &["--skip-errors", "--json"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["rows"], &summary["skipped"]),
        (&2.into(), &25.into())
    );
    let errors = summary["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 10);
    assert_eq!(errors[9]["line"], 10);
    let array = "[7, {\"key\": \"a\", \"value\": \"1\"}, {\"key\": 1 2}, {\"key\": \"b\", \"value\": \"2\"}]";
    let output = import(dir.path(), "x.json", array.as_bytes(), &["--skip-errors"]);
    assert!(
        said(&output).contains("skipped 2 rows:"),
        "{}",
        said(&output)
    );
    assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED);
    // Values that no op has room for.
    let long = format!("c\t{}\na\t1\n", "x".repeat(16_800_000));
    let output = import(dir.path(), "x.txt", long.as_bytes(), &["--skip-errors"]);
    assert!(
        said(&output).contains("line 1: expected at most 16703232 bytes"),
        "{}",
        said(&output)
    );
    let output = import(dir.path(), "bad.jsonl", b"x\ny\n", &["--skip-errors"]);
    refused(&output, 1, &["line 1: ", "none of 2 rows is valid"]);
    let open = "key,value\na,1\nbad\nc,\"open\nd,4\n";
    let output = import(dir.path(), "open.csv", open.as_bytes(), &["--skip-errors"]);
    refused(
        &output,
        1,
        &[
            "line 4: expected a closing quote",
            "1 row was skipped before",
        ],
    );
}

#[test]
fn utf16_is_refused_by_name_and_a_mark_of_utf8_is_not() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let text = "key,value\na,1\nb,2\n";
    let wide = |mark: &[u8], place: fn(u16) -> [u8; 2]| {
        let units = text.encode_utf16().flat_map(place);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    for (bytes, name) in [
        (wide(b"\xff\xfe", u16::to_le_bytes), "UTF-16"),
        (wide(b"\xfe\xff", u16::to_be_bytes), "UTF-16"),
        (wide(b"", u16::to_le_bytes), "UTF-16LE"),
        (wide(b"", u16::to_be_bytes), "UTF-16BE"),
    ] {
        let found = format!("found {name};");
        let command = format!("`iconv -f {name} -t UTF-8 FILE |");
        refused(
            &import(dir.path(), "w.csv", &bytes, &[]),
            1,
            &[&found, &command],
        );
        refused(
            &import(dir.path(), "w.csv.gz", &gzip(&bytes), &[]),
            1,
            &[&found],
        );
        refused(
            &fed(dir.path(), &["import", "kv", "-"], &bytes),
            1,
            &[&found],
        );
    }
    let lines = [b"\xff\xfe".to_vec(), b"a\0\t\0".to_vec()].concat();
    refused(
        &import(dir.path(), "w.log", &lines, &[]),
        1,
        &["found UTF-16;"],
    );
    let marked = format!("\u{feff}{text}");
    let output = import(dir.path(), "m.csv", marked.as_bytes(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(printed(dir.path(), &["export", "kv"]), EXPORTED);
}

#[test]
fn no_message_carries_a_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let long = "x".repeat(2_000_000);
    for (name, text) in [
        ("a.csv", long.clone()),
        ("b.csv", format!("{long},{long}\n1,2\n")),
        ("c.csv", format!("key,value\n\"a\"{long},1\n")),
        ("d.csv", "\0".repeat(2_000_000)),
        ("e.txt", long.clone()),
        ("f.jsonl", long.clone()),
        ("g.jsonl", format!("{{\"{long}\":1}}")),
        ("h.json", format!("[{{\"{long}\":1}}, \"{long}\"]")),
        ("i.json", format!("[\"{long}\"]")),
        ("j.json", format!("[{long}]")),
        ("k.tsv", format!("key_b64\tvalue\n{long}!\t1\n")),
    ] {
        for more in [&[][..], &["--skip-errors"]] {
            let output = import(dir.path(), name, text.as_bytes(), more);
            refused(&output, 1, &["line "]);
        }
    }
}

/// Imports an endless stream in little memory; returns what the program says.
fn endless(start: &[u8], byte: u8, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    let mut child = Command::new("sh")
        // In KiB: the limits of a line and of a record, and what the program takes without them.
        .args([
            "-c",
            "ulimit -v 900000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_lattice"),
        ])
        .args(["import", "kv", "-"])
        .args(more)
        .env("LATTICE_DATA_DIR", dir.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let chunk = vec![byte; 1 << 20];
    let mut written = stdin.write_all(start);
    // Far beyond all limits.
    for _ in 0..1000 {
        written = written.and_then(|()| stdin.write_all(&chunk));
    }
    drop(stdin);
    assert!(written.is_err(), "all of the stream was read");
    child.wait_with_output().unwrap()
}

#[test]
fn endless_input_ends_at_a_limit() {
    let csv = &["--format", "csv"][..];
    let output = endless(b"key,value\na,1\nb,\"open\n", b'x', csv);
    refused(
        &output,
        1,
        &[
            "line 3: expected a record of at most",
            "is a quote not closed?",
        ],
    );
    let output = endless(
        b"key,value\na,1\nb,\"open\n",
        b'x',
        &[csv, &["--skip-errors"]].concat(),
    );
    refused(&output, 1, &["line 3: expected a record of at most"]);
    refused(
        &endless(b"[{\"key\": \"", b'x', &[]),
        1,
        &["line 1: expected a value of at most"],
    );
    refused(
        &endless(b"{\"key\": \"", b'x', &["--skip-errors"]),
        1,
        &["line 1: expected at most"],
    );
}

#[test]
fn a_small_file_that_unpacks_to_much_takes_little_memory() {
    // One line of 200 MiB in 200 kB.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"key\t").unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        packed.write_all(&chunk).unwrap();
    }
    let packed = packed.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    refused(
        &import(dir.path(), "bomb.txt.gz", &packed, &[]),
        1,
        &["line 1: expected at most 100664320 bytes"],
    );
}

#[test]
fn tables_of_logs_are_entries_again_if_export_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let fields = "entry,time,author,content\n7,8,x,\"one\ntwo\"\n";
    for (text, entry) in [
        (fields, "one\ntwo"),
        ("content_b64\n/w==\n", "\u{fffd}"),
        ("content,more\na,b\n", "{\"content\":\"a\",\"more\":\"b\"}"),
    ] {
        let words = ["import", "log", "-", "--format", "csv"];
        let output = fed(dir.path(), &words, text.as_bytes());
        assert!(output.status.success(), "{}", said(&output));
        let all = lattice(dir.path(), &["export", "log"]).stdout;
        let all = String::from_utf8(all).unwrap();
        let last: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
        match last["content"].as_str() {
            Some(content) => assert_eq!(content, entry),
            None => assert_eq!(last["content_b64"], "/w=="),
        }
    }
}

/// The entry keeps the time that the source gave it, in UTC, whatever form it had.
#[test]
fn an_entry_begins_with_the_time_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path());
    let file = dir.path().join("audit.csv");
    let rows = "when,what\n2026-01-31T12:00:00.5+01:30,opened\n 1767225599000 ,closed\n";
    fs::write(&file, rows).unwrap();
    let file = file.to_str().unwrap();
    let words = ["import", "log", file, "--time", "when", "--value", "what"];
    printed(dir.path(), &words);
    let json = dir.path().join("audit.jsonl");
    fs::write(&json, "{\"at\":0,\"content\":\"began\"}\n").unwrap();
    let words = ["import", "log", json.to_str().unwrap(), "--time", "at"];
    printed(dir.path(), &words);
    let exported = printed(dir.path(), &["export", "log"]);
    let contents: Vec<_> = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["content"].clone())
        .collect();
    assert_eq!(
        contents,
        [
            "2026-01-31T10:30:00.500Z opened",
            "2025-12-31T23:59:59.000Z closed",
            "1970-01-01T00:00:00.000Z began"
        ]
    );
}

/// The program reads what the `zstd` tool wrote.
#[test]
fn a_file_compressed_with_zstd_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    kv(dir.path());
    // A frame with a checksum and one raw block: the header, its length, and the data.
    let data = b"{\"key\":\"a\",\"value\":\"1\"}\n";
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20];
    packed.push(u8::try_from(data.len()).unwrap());
    let block = (u32::try_from(data.len()).unwrap() << 3) | 1;
    packed.extend_from_slice(&block.to_le_bytes()[..3]);
    packed.extend_from_slice(data);
    let output = import(dir.path(), "rows.jsonl.zst", &packed, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(printed(dir.path(), &["get", "kv", "a"]), "1");
    let output = import(dir.path(), "cut.jsonl.zst", &packed[..20], &[]);
    refused(&output, 4, &["zstd", "it ends within a frame"]);
}
