//! Pages, as `man` formats them.

use std::io::Write;
use std::process::{Command, Stdio};

use super::pages;

#[test]
fn every_command_and_topic_has_a_page() {
    let pages = pages();
    let files: Vec<_> = pages.iter().map(|page| &*page.file).collect();
    assert_eq!(files[0], "man1/lattice.1");
    for file in [
        "man1/lattice-put.1",
        "man1/lattice-bundle-create.1",
        "man1/lattice-code-trust.1",
        "man7/lattice-exit-codes.7",
    ] {
        assert!(files.contains(&file), "{file}");
    }
    assert!(!files.contains(&"man1/lattice-complete.1"), "it is hidden");
    assert!(
        !files.contains(&"man1/lattice-bundle-help.1"),
        "it is no command"
    );
    let roff = |file: &str| {
        let page = pages.iter().find(|page| page.file == file).unwrap();
        &*page.roff
    };
    let put = roff("man1/lattice-put.1");
    for part in [
        ".SH NAME",
        ".SH SYNOPSIS",
        ".SH OPTIONS",
        ".SH EXAMPLES",
        ".SH JSON",
        ".SH \"SEE ALSO\"",
    ] {
        assert!(put.contains(part), "{part} in {put}");
    }
    assert!(!put.contains("data\\-dir"), "a global option: {put}");
    assert!(roff("man1/lattice.1").contains("data\\-dir"));
}

#[test]
fn groff_formats_the_pages_without_a_warning() {
    let is_there = Command::new("groff").arg("--version").output();
    if !is_there.is_ok_and(|found| found.status.success()) {
        eprintln!("skipped: groff is not installed");
        return;
    }
    // One process: each page begins with its own title.
    let all: String = pages().into_iter().map(|page| page.roff).collect();
    let mut groff = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-rLL=78n", "-P-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = groff.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(all.as_bytes()).unwrap());
    let output = groff.wait_with_output().unwrap();
    writing.join().unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr);
    // A long word cannot be adjusted; every other warning counts.
    let warnings: Vec<_> = warnings
        .lines()
        .filter(|line| !line.contains("adjust") && !line.contains("break"))
        .collect();
    assert_eq!(warnings, [""; 0]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("lattice put fruit apple red"), "{text}");
}
