//! Long texts, messages and colours on a terminal that `script` makes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::completions::shells::Terminal;
use crate::completions::stores;
use crate::printed;

/// What a command line prints on a terminal of 80 columns and 24 rows. `None` without `script`.
fn on_terminal(dir: &Path, command: &str) -> Option<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_lattice"));
    let bin = program.parent().unwrap().display();
    let line = format!("stty cols 80 rows 24; PATH={bin}:$PATH; {command}");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("LATTICE_DATA_DIR", dir)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: script is not installed");
        return None;
    };
    Some(
        String::from_utf8(output.stdout)
            .unwrap()
            .replace("\r\n", "\n"),
    )
}

/// A store with 40 ops.
fn many_ops() -> tempfile::TempDir {
    let dir = stores();
    let rows = dir.path().join("rows");
    let puts = (0..34).map(|key| format!("{{\"put\":{{\"key\":\"k{key}\",\"value\":\"v\"}}}}\n"));
    fs::write(&rows, puts.collect::<String>()).unwrap();
    printed(
        dir.path(),
        &["batch", "fruit", rows.to_str().unwrap(), "--each"],
    );
    dir
}

#[test]
fn ctrl_c_is_the_pagers_while_it_runs() {
    let (dir, home) = (many_ops(), tempfile::tempdir().unwrap());
    let pager = "trap '' INT; cat; echo shown; read line < /dev/tty; echo got $line";
    fs::write(home.path().join("pager"), pager).unwrap();
    let program = env!("CARGO_BIN_EXE_lattice");
    let Some(mut terminal) = Terminal::start("bash", "--norc -i", home.path(), dir.path()) else {
        return;
    };
    for command in ["history fruit", "help json", "import --help"] {
        terminal.press(&format!(
            "PS1=; LATTICE_PAGER='sh pager' {program} {command}; echo left:$?\n"
        ));
        terminal.wait_for("\nshown");
        terminal.press("\u{3}");
        // The terminal shows the key once it has sent the signal.
        terminal.wait_for("^C");
        terminal.press("x\n");
        terminal.wait_for("got x");
        terminal.wait_for("left:0");
    }
}

#[test]
fn only_what_is_longer_than_the_terminal_is_paged() {
    let dir = many_ops();
    let of = |command: &str| on_terminal(dir.path(), command);
    let paged = "LATTICE_PAGER='cat; echo paged'";
    let Some(long) = of(&format!("{paged} lattice history fruit")) else {
        return;
    };
    assert!(
        long.contains("put k0\n") && long.ends_with("\npaged\n"),
        "{long}"
    );
    for short in [
        "history fruit --limit 9",
        "--json history fruit",
        "scan fruit",
        "list --help | cat",
    ] {
        let text = of(&format!("{paged} lattice {short}")).unwrap();
        assert!(
            !text.contains("paged") && text.lines().count() > 8,
            "{short}: {text}"
        );
    }
    // A pager that does not start is no error.
    let text = of("LATTICE_PAGER=no-such-pager lattice history fruit; echo left:$?").unwrap();
    assert!(
        text.contains("put k0\n") && text.ends_with("left:0\n"),
        "{text}"
    );
    let text = of(&format!("{paged} lattice import --help")).unwrap();
    assert!(text.ends_with("paged\n"), "{text}");
}

#[test]
fn errors_and_help_have_the_colours_of_the_settings() {
    let dir = stores();
    let commands = [
        "lattice get fruit nothing",
        "lattice nothing",
        "lattice list -h",
    ];
    let colours = |line: &str| on_terminal(dir.path(), line).map(|text| text.contains("\u{1b}["));
    for command in commands {
        let Some(has_colours) = colours(command) else {
            return;
        };
        assert!(has_colours, "{command}");
        assert_eq!(
            colours(&format!("NO_COLOR=1 {command}")),
            Some(false),
            "{command}"
        );
    }
    fs::write(dir.path().join("config.toml"), "color = \"never\"\n").unwrap();
    for command in commands {
        assert_eq!(colours(command), Some(false), "{command}");
        assert_eq!(
            colours(&format!("LATTICE_COLOR=always {command}")),
            Some(true),
            "{command}"
        );
        assert_eq!(
            colours(&format!("{command} --color=always")),
            Some(true),
            "{command}"
        );
    }
}
