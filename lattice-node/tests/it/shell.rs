//! `lattice shell`, as a user and as a script.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::completions::shells::Terminal;
use crate::completions::stores;
use crate::{printed, program};

/// Runs lines; returns what they printed, and the exit code.
fn script(dir: &Path, lines: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut shell = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .arg("shell")
        .args(arguments)
        .env("LATTICE_DATA_DIR", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[test]
fn stores_are_read_while_another_process_writes_them() {
    let dir = stores();
    let mut writer = program()
        .args(["append", "events"])
        .env("LATTICE_DATA_DIR", dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = writer.stdin.take().unwrap();
    let mut reader = program()
        .args(["watch", "events", "--all", "--limit", "2"])
        .env("LATTICE_DATA_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = BufReader::new(reader.stdout.take().unwrap()).lines();
    for (line, content) in [("one\n", "one"), ("two\n", "two")] {
        lines.write_all(line.as_bytes()).unwrap();
        assert!(seen.next().unwrap().unwrap().contains(content));
        // The writer is still there.
        let (out, errors, code) = script(dir.path(), "use events\nlen\ntail -n 1\n", &[]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(out.contains(content), "{out}");
    }
    drop(lines);
    assert!(writer.wait().unwrap().success());
    assert!(reader.wait().unwrap().success());
}

/// More lines than are read at once.
#[test]
fn the_lines_of_a_script_are_not_input_of_its_commands() {
    let dir = stores();
    let comments = "# a comment of the script\n".repeat(10_000);
    let lines = format!("import fruit - --format lines\n{comments}get apricot\n");
    let (out, errors, code) = script(dir.path(), &lines, &["fruit"]);
    assert_eq!((&*out, code), ("red\n", Some(0)), "{errors}");
}

#[test]
fn a_script_ends_at_the_first_line_that_fails() {
    let dir = stores();
    let lines = "put new value\nappend\nget new\nget a b\nput never value\n";
    let (out, errors, code) = script(dir.path(), lines, &["fruit"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(
        errors.contains("standard input, line 2: the command failed"),
        "{errors}"
    );
    assert!(
        out.contains("apply_index") && !out.contains("value"),
        "{out}"
    );
    assert_eq!(printed(dir.path(), &["get", "fruit", "new"]), "value");
    let (_, errors, code) = script(dir.path(), "use fruit\nget 'a\n", &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("line 2: a quote is not closed"), "{errors}");
    let (_, errors, code) = script(dir.path(), "", &["nothing"]);
    assert_eq!(code, Some(3), "{errors}");
}

/// A text is no row, and is printed as it is.
#[test]
fn a_table_keeps_what_is_no_row() {
    let dir = stores();
    let lines = ".mode table\nget apricot\ninfo --help\nget apricot\n";
    let (out, errors, code) = script(dir.path(), lines, &["fruit"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(out.contains("Usage: lattice info"), "{out}");
    assert_eq!(out.matches("red").count(), 2, "{out}");
    // Bytes that are not text are escaped.
    let lines = ".mode table\nbundle create fruit -\n";
    let (out, errors, code) = script(dir.path(), lines, &["fruit"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(out.contains("\\x00"), "{out}");
}

/// A usage error has several lines, in each mode.
#[test]
fn a_usage_error_is_printed_in_lines() {
    let dir = stores();
    for mode in ["text", "table", "csv"] {
        let (_, errors, code) = script(dir.path(), &format!(".mode {mode}\nlist x\n"), &[]);
        assert_eq!(code, Some(2), "{errors}");
        assert!(
            errors.contains("\n\nUsage: lattice list"),
            "{mode}: {errors}"
        );
    }
}

#[test]
fn commands_get_the_options_of_the_shell() {
    let dir = stores();
    let options = ["--no-wait", "--color=never", "-vv"];
    let (out, errors, code) = script(dir.path(), "config\n", &options);
    assert_eq!(code, Some(0), "{errors}");
    for line in [
        "wait          0             environment, LATTICE_WAIT",
        "color         never         environment, LATTICE_COLOR",
        "log           debug         environment, LATTICE_LOG",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    // An option of a line overrides that of the shell.
    let (out, _, _) = script(dir.path(), "config --wait=3\n", &options);
    assert!(out.contains("option, --wait"), "{out}");
    let (_, errors, code) = script(dir.path(), "doctor\n", &["--quiet"]);
    assert_eq!((&*errors, code), ("", Some(0)));
    let (_, errors, _) = script(dir.path(), "doctor\n", &[]);
    assert!(errors.contains("checked"), "{errors}");
}

#[test]
fn scripts_read_further_scripts_but_not_themselves_for_ever() {
    let dir = stores();
    let file = dir.path().join("lines");
    std::fs::write(
        &file,
        "# a comment\n\nget apricot\n.quit\nput never value\n",
    )
    .unwrap();
    let lines = format!(".read '{}'\nput never value\n", file.display());
    let (out, errors, code) = script(dir.path(), &lines, &["fruit"]);
    assert_eq!((&*out, code), ("red\n", Some(0)), "{errors}");
    std::fs::write(&file, &lines).unwrap();
    let (_, errors, code) = script(dir.path(), &lines, &["fruit"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("more than 16 deep"), "{errors}");
}

#[test]
fn a_user_edits_completes_interrupts_and_leaves() {
    let (dir, home) = (stores(), tempfile::tempdir().unwrap());
    printed(dir.path(), &["put", "fruit", "apple pie", "baked"]);
    let program = env!("CARGO_BIN_EXE_lattice");
    // bash waits for the shell, and shows its exit code.
    let Some(mut terminal) = Terminal::start("bash", "--norc -i", home.path(), dir.path()) else {
        return;
    };
    terminal.press(&format!("PS1=; {program} shell; echo left:$?\n"));
    terminal.wait_for("lattice> ");
    terminal.press("use fr\t\n");
    terminal.wait_for("fruit> ");
    // A method and a key with a space.
    terminal.press("ge\t appl\t\n");
    terminal.wait_for("baked");
    terminal.wait_for("fruit> ");
    // The line is dropped, and the shell goes on.
    terminal.press("put nothing\u{3}");
    terminal.wait_for("fruit> ");
    terminal.press("watch --all\n");
    terminal.wait_for("apple pie");
    terminal.press("\u{3}");
    terminal.wait_for("interrupted");
    terminal.wait_for("fruit> ");
    // An error does not end the shell, either.
    terminal.press("get\n");
    terminal.wait_for("needs parameter");
    terminal.wait_for("fruit> ");
    // The line before the last one is the interrupted one.
    terminal.press("\u{1b}[A\u{1b}[A\u{1b}[A\n");
    terminal.wait_for("baked");
    terminal.wait_for("fruit> ");
    terminal.press("\u{4}");
    terminal.wait_for("left:0");
    let history = std::fs::read_to_string(dir.path().join("shell_history")).unwrap();
    assert!(
        history.contains("use fruit") && history.contains("watch --all"),
        "{history}"
    );
}

/// Files are completed where a command takes one, also if it lacks its STORE.
#[test]
fn a_user_completes_the_names_of_files() {
    let (dir, home) = (stores(), tempfile::tempdir().unwrap());
    let row = "{\"key\":\"zebra\",\"value\":\"striped\"}\n";
    std::fs::create_dir(home.path().join("data files")).unwrap();
    std::fs::write(home.path().join("data files/rows.jsonl"), row).unwrap();
    std::fs::write(home.path().join("lines.txt"), "get zebra\n").unwrap();
    std::fs::write(home.path().join("photo"), "pixels").unwrap();
    let program = env!("CARGO_BIN_EXE_lattice");
    let Some(mut terminal) = Terminal::start("bash", "--norc -i", home.path(), dir.path()) else {
        return;
    };
    terminal.press(&format!("PS1=; {program} shell fruit\n"));
    terminal.wait_for("fruit> ");
    // The store is typed, and it is the one in use.
    terminal.press("import fruit da\tro\t\n");
    terminal.wait_for("imported 1 row");
    terminal.wait_for("fruit> ");
    terminal.press("export ./ze\t\u{3}");
    terminal.wait_for("fruit> ");
    terminal.press("import 'da\tro\t'\n");
    terminal.wait_for("imported 1 row");
    terminal.wait_for("fruit> ");
    terminal.press(".read li\t\n");
    terminal.wait_for("striped");
    terminal.wait_for("fruit> ");
    terminal.press("put value=@ph\t key=p\n");
    terminal.wait_for("apply_index");
    terminal.wait_for("fruit> ");
    terminal.press("bundle create out\n");
    terminal.wait_for("wrote");
    terminal.wait_for("fruit> ");
    terminal.press("bundle verify ou\t\n");
    terminal.wait_for("ok: ");
    terminal.wait_for("fruit> ");
    terminal.press("\u{4}");
    assert_eq!(printed(dir.path(), &["get", "fruit", "p"]), "pixels");
}
