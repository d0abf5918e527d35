//! Commands that fail, are interrupted or killed, and outputs that are closed or full.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Site, assert_done, start, text, text_of};
use crate::printed;

#[test]
fn a_writer_ends_quietly_when_its_reader_closes_the_pipe() {
    let site = Site::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = start(
        &site.alice(),
        &["bundle", "create", "kv", "-"],
        Stdio::null(),
        writer.into(),
    );
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(text(&ended.stderr), "");
    // Every command ends this way when its output is closed.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = start(
        &site.alice(),
        &["export", "kv"],
        Stdio::null(),
        writer.into(),
    );
    let exported = child.wait_with_output().unwrap();
    assert_eq!(
        (exported.status.code(), exported.stderr),
        (ended.status.code(), ended.stderr)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_full_is_an_error() {
    let site = Site::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let words = ["bundle", "create", "kv", "-"];
    let child = start(&site.alice(), &words, Stdio::null(), full.into());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).starts_with("lattice: cannot print: "));
}

/// The files of a directory with `bundle` in their names.
fn left_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_bundle = |name: &String| name.contains("bundle") || name.ends_with(".partial");
    names.filter(is_bundle).collect()
}

#[test]
fn a_create_that_fails_or_is_killed_leaves_no_file() {
    let site = Site::new();
    let value = site.path("value");
    fs::write(&value, vec![b'x'; 1 << 20]).unwrap();
    let stdin = File::open(&value).unwrap();
    let put = start(
        &site.alice(),
        &["put", "kv", "long"],
        stdin.into(),
        Stdio::null(),
    );
    assert_done(&put.wait_with_output().unwrap());
    let target = site.path("target");
    fs::create_dir(&target).unwrap();
    let file = target.join("x.bundle");
    // Files may have 64 KiB. Beyond that, a write fails or the signal kills the process.
    let limited = |trap: &str| {
        Command::new("sh")
            .args([
                "-c",
                &format!("{trap}ulimit -c 0; ulimit -f 128; exec \"$@\""),
            ])
            .args([
                "sh",
                env!("CARGO_BIN_EXE_lattice"),
                "bundle",
                "create",
                "kv",
            ])
            .arg(&file)
            .env("LATTICE_DATA_DIR", site.alice())
            .output()
            .unwrap()
    };
    let failed = limited("trap '' XFSZ; ");
    assert_eq!(failed.status.code(), Some(1));
    let message = text(&failed.stderr);
    assert!(
        message.starts_with(&format!("lattice: cannot create {}: ", file.display())),
        "{message}"
    );
    assert_eq!(left_in(&target), [""; 0]);
    let killed = limited("");
    assert_eq!(killed.status.code(), None);
    assert!(!file.exists());
}

#[test]
fn an_interrupted_create_leaves_nothing() {
    let site = Site::new();
    let value = site.path("value");
    fs::write(&value, vec![b'x'; 12 << 20]).unwrap();
    for key in ["a", "b", "c", "d"] {
        let stdin = File::open(&value).unwrap();
        let put = start(
            &site.alice(),
            &["put", "kv", key],
            stdin.into(),
            Stdio::null(),
        );
        assert_done(&put.wait_with_output().unwrap());
    }
    let target = site.path("target");
    fs::create_dir(&target).unwrap();
    let mut interruptions = 0;
    for round in 0..40 {
        let file = target.join(format!("{round}.bundle"));
        let words = ["bundle", "create", "kv", text_of(&file)];
        let mut child = start(&site.alice(), &words, Stdio::null(), Stdio::null());
        while left_in(&target).is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        let _ = Command::new("kill")
            .args(["-INT", &pid])
            .stderr(Stdio::null())
            .status();
        let ended = child.wait_with_output().unwrap();
        match ended.status.code() {
            Some(130) => {
                interruptions += 1;
                let noted = text(&ended.stderr);
                let starts =
                    "lattice: interrupted; no bundle was made, and nothing is left behind; ";
                assert!(noted.starts_with(starts), "{noted}");
            }
            // The command ended before the signal arrived.
            Some(0) => assert!(file.exists()),
            code => panic!("ended with {code:?}: {}", text(&ended.stderr)),
        }
        // No hidden file is left, and a file with the final name is intact.
        for name in left_in(&target) {
            printed(
                &site.alice(),
                &["bundle", "verify", text_of(&target.join(&name))],
            );
            fs::remove_file(target.join(name)).unwrap();
        }
        if interruptions == 3 {
            return;
        }
    }
    panic!("{interruptions} interruptions came in time");
}
