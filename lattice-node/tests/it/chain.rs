//! Incremental backups, and restores of the chains that they make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::{lattice, printed};

/// A store, and a chain of backups of it: `base.db`, `mon`, `tue` and `wed`, of which each follows
/// the one before it.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        home.run("create core:kvstore --alias kv");
        home.run("put kv a 1");
        home.run("backup kv base.db");
        for (key, file, since) in [
            ("b", "mon", "base.db"),
            ("c", "tue", "mon"),
            ("d", "wed", "tue"),
        ] {
            home.run(&format!("put kv {key} 2"));
            home.run(&format!("put kv a {key}"));
            home.run(&format!("backup kv {file} --since {since}"));
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command line in which some words are files.
    fn output(&self, data: &Path, line: &str) -> Output {
        let files = ["db", "mon", "tue", "wed", "thu", "whole", "bad", "none"];
        let word = |word: &str| match files.iter().any(|file| word.ends_with(file)) {
            true => self.path(word).to_str().unwrap().to_owned(),
            false => word.to_owned(),
        };
        let words: Vec<String> = line.split(' ').map(word).collect();
        lattice(data, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self, line: &str) -> String {
        let output = self.output(self.dir.path(), line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The message of a command that fails with an exit code.
    fn refused(&self, data: &Path, code: i32, line: &str) -> String {
        let output = self.output(data, line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        errors
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn json(output: &str) -> serde_json::Value {
    serde_json::from_str(output).unwrap()
}

#[test]
fn a_chain_is_restored_in_any_order() {
    let home = Home::new();
    let whole = home.run("export kv");
    let hash = json(&home.run("--json info kv"))["state_hash"].clone();
    for order in [
        "mon tue wed",
        "wed tue mon",
        "tue wed mon",
        "wed mon tue",
        "mon mon wed tue wed",
    ] {
        let to = tempfile::tempdir().unwrap();
        let line = format!("--json restore base.db {order} --alias kv");
        let output = home.output(to.path(), &line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{order}: {errors}");
        let restored = json(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(
            (&restored["ops"], &restored["alias"]),
            (&7.into(), &"kv".into())
        );
        assert_eq!(restored["verified"], true);
        assert_eq!(printed(to.path(), &["export", "kv"]), whole, "{order}");
        let info = json(&printed(to.path(), &["--json", "info", "kv"]));
        assert_eq!(info["state_hash"], hash);
        printed(to.path(), &["verify", "kv"]);
    }
    // A shorter chain is an earlier state, and replaces a later one only when asked.
    let line = "restore base.db mon --yes";
    home.refused(home.dir.path(), 2, "restore base.db mon");
    assert_eq!(home.run("get kv a"), "d");
    home.run(line);
    assert_eq!(home.run("get kv a"), "b");
    home.run("verify kv");
    // It is a copy, so its author does not write to it by mistake.
    home.refused(home.dir.path(), 1, "put kv e 1");
    home.run("put kv e 1 --continue");
}

#[test]
fn a_file_of_the_chain_has_only_what_its_base_lacks() {
    let home = Home::new();
    let verified = json(&home.run(&format!("--json bundle verify {}", "tue")));
    assert_eq!(
        (&verified["ops"], &verified["follows"]),
        (&2.into(), &"mon".into())
    );
    // Nothing was written since, or the base is given with a later file.
    let made = json(&home.run("--json backup kv thu --since wed"));
    assert_eq!((&made["ops"], &made["follows"]), (&0.into(), &"wed".into()));
    fs::remove_file(home.path("thu")).unwrap();
    let made = json(&home.run("--json backup kv thu --since base.db --since mon"));
    assert_eq!(made["ops"], 4);
    assert_eq!(made["bytes"], length(&home.path("thu")));
    let to = tempfile::tempdir().unwrap();
    let skipped = home.output(to.path(), "restore base.db thu mon");
    assert!(skipped.status.success());
    // A chain need not have every file that was made.
    let all = json(&home.run("--json backup kv 2.thu --since base.db"));
    assert_eq!(all["ops"], 6);
    let to = tempfile::tempdir().unwrap();
    assert!(
        home.output(to.path(), "restore base.db 2.thu")
            .status
            .success()
    );
}

#[test]
fn a_gap_is_named_and_changes_nothing() {
    let home = Home::new();
    let to = tempfile::tempdir().unwrap();
    for (files, gap) in [
        ("tue", "tue follows mon"),
        ("wed tue", "tue follows mon"),
        ("wed mon", "wed follows tue"),
    ] {
        let said = home.refused(to.path(), 3, &format!("restore base.db {files} --alias kv"));
        assert!(
            said.contains("a file of the chain is missing") && said.contains(gap),
            "{said}"
        );
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{files}");
        // Nor does it replace a store.
        home.refused(
            home.dir.path(),
            3,
            &format!("restore base.db {files} --yes"),
        );
        assert_eq!(home.run("get kv a"), "d");
    }
    let said = home.refused(to.path(), 3, "--json restore base.db wed mon");
    let error = &json(&said)["error"];
    assert_eq!(error["kind"], "no_file");
    assert_eq!(error["gaps"][0]["follows"], "tue");
}

/// The ops of one file of the chain need not follow those of the one before it, if they came from
/// different replicas. Then only the files themselves say that one is missing.
#[test]
fn a_gap_is_found_if_no_op_follows_what_is_missing() {
    let home = Home::new();
    home.run("bundle create kv whole");
    let replicas = ["ann", "bob"].map(|name| {
        let dir = home.path(name);
        assert!(
            home.output(&dir, "bundle apply whole --alias kv")
                .status
                .success()
        );
        printed(&dir, &["put", "kv", name, "1"]);
        let file = home.path(&format!("{name}.db"));
        printed(&dir, &["bundle", "create", "kv", file.to_str().unwrap()]);
        file
    });
    home.run("backup kv later.db");
    for (bundle, file, since) in [
        (&replicas[0], "one.thu", "later.db"),
        (&replicas[1], "two.thu", "one.thu"),
    ] {
        home.run(&format!("bundle apply {} --any-author", bundle.display()));
        home.run(&format!("backup kv {file} --since {since}"));
    }
    let to = tempfile::tempdir().unwrap();
    let said = home.refused(to.path(), 3, "restore later.db two.thu");
    assert!(said.contains("two.thu follows one.thu"), "{said}");
    assert!(
        home.output(to.path(), "restore later.db two.thu one.thu")
            .status
            .success()
    );
}

#[test]
fn what_is_no_file_of_the_chain_is_refused() {
    let home = Home::new();
    home.run("bundle create kv whole");
    home.run("create core:kvstore --alias other");
    home.run("backup other other.db");
    home.run("backup other other.wed --since other.db");
    let mut bad = fs::read(home.path("mon")).unwrap();
    let at = bad.len() - 100;
    bad[at] ^= 1;
    fs::write(home.path("bad"), &bad).unwrap();
    let cut = fs::read(home.path("base.db")).unwrap();
    // The header, and a part of the first page.
    fs::write(home.path("cut.db"), &cut[..6000]).unwrap();
    for (code, since, reason) in [
        (2, "other.db", "found one of store"),
        (2, "other.wed", "found one of store"),
        (2, "whole", "does not say what it follows"),
        (3, "none", "none: "),
        (4, "bad", "digest differs"),
        (4, "cut.db", "cut.db"),
    ] {
        let said = home.refused(
            home.dir.path(),
            code,
            &format!("backup kv thu --since {since}"),
        );
        assert!(said.contains(reason), "{since}: {said}");
        assert!(
            said.contains("without --since makes a full copy"),
            "{since}: {said}"
        );
        assert!(!home.path("thu").exists(), "{since}");
    }
    let to = tempfile::tempdir().unwrap();
    for (code, files, reason) in [
        (2, "base.db other.wed", "restore each store by itself"),
        (3, "mon base.db", "the copy that the chain begins with"),
        (3, "base.db none", "none: "),
        (4, "base.db bad", "digest differs"),
        (4, "cut.db mon", "cut.db"),
        (4, "base.db base.db", "expected a bundle"),
    ] {
        let said = home.refused(to.path(), code, &format!("restore {files}"));
        assert!(said.contains(reason), "{files}: {said}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0, "{files}");
    }
}
