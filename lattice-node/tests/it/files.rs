//! Modes, owners, locks and links of the files of a data directory.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::{lattice, printed};

/// Users that have no account.
const OWNER: u32 = 61_001;
const OTHER: u32 = 61_002;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program as a user; only root can.
fn as_user(user: u32, dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lattice"))
        .env("LATTICE_DATA_DIR", dir)
        .args(words)
        .uid(user)
        .gid(user)
        .output()
        .unwrap()
}

/// A directory of a user, in which this user has a store. `None` if this process is not root's.
fn of_owner() -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    let home = tempfile::tempdir().unwrap();
    if fs::metadata(home.path()).unwrap().uid() != 0 {
        return None;
    }
    chown(home.path(), Some(OWNER), Some(OWNER)).unwrap();
    set_mode(home.path(), 0o755);
    let dir = home.path().join("data");
    for words in [
        &["create", "core:kvstore", "--alias", "kv"][..],
        &["put", "kv", "a", "1"],
    ] {
        let done = as_user(OWNER, &dir, words);
        assert!(done.status.success(), "{}", said(&done));
    }
    Some((home, dir))
}

/// The paths below a directory that belong to another user.
fn foreign(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.uid() != OWNER {
            found.push(path.display().to_string());
        }
        if metadata.is_dir() {
            found.extend(foreign(&path));
        }
    }
    found
}

#[test]
fn new_files_are_private_whatever_the_umask_and_copies_have_the_mode_that_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/data");
    let id = printed(&dir, &["create", "core:kvstore", "--alias", "kv"]);
    printed(&dir, &["put", "kv", "a", "1"]);
    let store = dir.join("stores").join(id.trim());
    for private in [&home.path().join("deep"), &dir, &dir.join("stores"), &store] {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    for private in [
        &dir.join("aliases.toml"),
        &dir.join("identity.key"),
        &store.join("state.db"),
    ] {
        assert_eq!(mode(private), 0o600, "{}", private.display());
    }
    for words in [&["backup", "kv"][..], &["bundle", "create", "kv"]] {
        let out = home.path().join(words[0]);
        let out = out.to_str().unwrap();
        printed(&dir, &[words, &[out]].concat());
        assert_eq!(mode(Path::new(out)), 0o600);
        for wrong in ["644x", "999", "77777", "044", "0", ""] {
            let refused = lattice(&dir, &[words, &["new", "--mode", wrong]].concat());
            assert_eq!(
                refused.status.code(),
                Some(2),
                "{wrong}: {}",
                said(&refused)
            );
        }
        let shared = format!("{out}.shared");
        printed(&dir, &[words, &[&shared, "--mode", "0644"]].concat());
        assert_eq!(mode(Path::new(&shared)), 0o644);
    }
    let refused = lattice(&dir, &["bundle", "create", "kv", "-", "--mode", "644"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let shared = lattice(&dir, &["create", "core:logstore", "--group-readable"]);
    let id = String::from_utf8(shared.stdout.clone()).unwrap();
    let store = dir.join("stores").join(id.trim());
    assert_eq!(
        (mode(&store), mode(&store.join("state.db"))),
        (0o750, 0o640)
    );
    assert!(said(&shared).contains("chmod g+x"), "{}", said(&shared));
}

#[test]
fn a_replaced_store_keeps_its_mode() {
    let home = tempfile::tempdir().unwrap();
    let id = printed(home.path(), &["create", "core:kvstore", "--alias", "kv"]);
    let file = home.path().join("stores").join(id.trim()).join("state.db");
    let copy = home.path().join("copy.db");
    printed(
        home.path(),
        &["backup", "kv", copy.to_str().unwrap(), "--mode", "644"],
    );
    for bits in [0o600, 0o640, 0o400] {
        set_mode(&file, bits);
        printed(home.path(), &["restore", "--yes", copy.to_str().unwrap()]);
        assert_eq!(mode(&file), bits);
    }
}

#[test]
fn links_to_the_small_files_stay() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = home.path();
    let aliases = elsewhere.path().join("names.toml");
    symlink(&aliases, dir.join("aliases.toml")).unwrap();
    // The first change makes the file that the link leads to.
    let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
    assert!(dir.join("aliases.toml").is_symlink() && aliases.is_file());
    set_mode(&aliases, 0o640);
    printed(dir, &["alias", "set", id.trim(), "second"]);
    printed(dir, &["alias", "remove", "kv"]);
    assert!(dir.join("aliases.toml").is_symlink());
    assert_eq!(mode(&aliases), 0o640);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    printed(dir, &["put", "second", "a", "1"]);
}

#[test]
fn locks_on_the_data_directory_stop_nothing() {
    let home = tempfile::tempdir().unwrap();
    let locked = File::open(home.path()).unwrap();
    locked.lock().unwrap();
    let began = Instant::now();
    let id = printed(home.path(), &["create", "core:kvstore", "--alias", "kv"]);
    printed(home.path(), &["alias", "set", id.trim(), "other"]);
    printed(home.path(), &["put", "kv", "a", "1"]);
    assert!(began.elapsed() < Duration::from_secs(9));
}

#[test]
fn a_lock_of_a_store_that_another_process_holds_is_an_error_that_says_so() {
    let home = tempfile::tempdir().unwrap();
    let id = printed(home.path(), &["create", "core:kvstore", "--alias", "kv"]);
    let file = home.path().join("stores").join(id.trim()).join("state.db");
    let locked = File::open(&file).unwrap();
    locked.lock().unwrap();
    let began = Instant::now();
    let refused = lattice(home.path(), &["put", "kv", "a", "1"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        said(&refused).contains("another handle or process holds a lock"),
        "{}",
        said(&refused)
    );
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_restore_onto_a_link_to_nothing_has_one_answer() {
    let home = tempfile::tempdir().unwrap();
    let id = printed(home.path(), &["create", "core:kvstore", "--alias", "kv"]);
    let copy = home.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    printed(home.path(), &["backup", "kv", copy]);
    let file = home.path().join("stores").join(id.trim()).join("state.db");
    fs::remove_file(&file).unwrap();
    symlink("/nowhere/state.db", &file).unwrap();
    let answers = [&["restore", copy][..], &["restore", copy, "--yes"]].map(|words| {
        let refused = lattice(home.path(), words);
        (refused.status.code(), said(&refused))
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, Some(1));
    assert!(
        answers[0].1.contains("is a link to /nowhere/state.db"),
        "{}",
        answers[0].1
    );
    printed(home.path(), &["destroy", "--yes", "kv"]);
    printed(home.path(), &["restore", copy]);
}

#[test]
fn a_removal_that_was_killed_is_finished_by_asking_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    for (named, expected) in [("kv", "removed"), ("id", "removed"), ("prefix", "removed")] {
        let id = printed(dir, &["create", "core:kvstore", "--alias", "kv"]);
        let id = id.trim();
        fs::rename(
            dir.join("stores").join(id),
            dir.join(format!("destroying-{id}")),
        )
        .unwrap();
        let name = match named {
            "id" => id,
            "prefix" => &id[..8],
            name => name,
        };
        let asked = lattice(dir, &["destroy", name]);
        assert_eq!(asked.status.code(), Some(2), "{}", said(&asked));
        let done = lattice(dir, &["destroy", "--yes", name]);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains(expected), "{}", said(&done));
        assert!(!printed(dir, &["alias", "list"]).contains("kv"));
        let mut left: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["aliases.toml", "identity.key", "known.toml", "stores"]
        );
        assert_eq!(
            lattice(dir, &["destroy", "--yes", name]).status.code(),
            Some(3)
        );
    }
}

/// As root: what root does in a user's directory leaves the user the access that it had.
#[test]
fn root_leaves_a_user_the_access_to_its_directory() {
    let Some((home, dir)) = of_owner() else {
        return;
    };
    let copy = home.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    let commands: [&[&str]; 8] = [
        &["alias", "set", "kv", "second"],
        &["put", "kv", "b", "2"],
        &["rebuild", "kv"],
        &["backup", "kv", copy, "--mode", "644"],
        &["restore", "--yes", copy],
        &["compact", "kv"],
        &["create", "core:logstore", "--alias", "log"],
        &["append", "log", "line"],
    ];
    for words in commands {
        printed(&dir, words);
        assert_eq!(foreign(&dir), [""; 0], "after {words:?}");
        for words in [
            &["put", "kv", "c", "3", "--continue"][..],
            &["alias", "set", "kv", "third"],
        ] {
            let done = as_user(OWNER, &dir, words);
            assert!(done.status.success(), "{words:?}: {}", said(&done));
        }
    }
    let done = as_user(OWNER, &dir, &["append", "log", "line"]);
    assert!(done.status.success(), "{}", said(&done));
}

/// As root: another user sees nothing of a private directory; in one that it may write to, it
/// replaces no file that the owner could not read afterwards.
/// Regression: `known.toml`, which only the owner can read, kept all others from listing.
#[test]
fn a_group_reads_what_is_shared_with_it() {
    let Some((_home, dir)) = of_owner() else {
        return;
    };
    let made = as_user(OWNER, &dir, &["create", "core:kvstore", "--group-readable"]);
    assert!(made.status.success(), "{}", said(&made));
    let id = String::from_utf8(made.stdout).unwrap();
    let id = id.trim();
    for shared in [&dir, &dir.join("stores")] {
        set_mode(shared, 0o750);
    }
    for words in [&["list"][..], &["info", id], &["scan", id], &["verify", id]] {
        let read = Command::new(env!("CARGO_BIN_EXE_lattice"))
            .env("LATTICE_DATA_DIR", &dir)
            .args(words)
            .uid(OTHER)
            .gid(OWNER)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&read.stdout);
        assert_eq!(read.status.code(), Some(0), "{words:?}: {}", said(&read));
        assert!(words[0] == "scan" || !text.is_empty(), "{words:?}");
    }
}

/// A file of which nothing can be read may have a writer.
#[test]
fn a_store_that_cannot_be_looked_at_is_not_removed() {
    let Some((_home, dir)) = of_owner() else {
        return;
    };
    let id = printed(&dir, &["list"]);
    let id = &id[..36];
    let store = dir.join("stores").join(id);
    set_mode(&store, 0);
    let refused = as_user(OWNER, &dir, &["destroy", id, "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains("Permission denied"),
        "{}",
        said(&refused)
    );
    set_mode(&store, 0o700);
    let read = as_user(OWNER, &dir, &["get", "kv", "a"]);
    assert_eq!(read.stdout, b"1", "{}", said(&read));
}

#[test]
fn another_user_reads_nothing_and_takes_no_access_away() {
    let Some((_home, dir)) = of_owner() else {
        return;
    };
    for words in [
        &["list"][..],
        &["get", "kv", "a"],
        &["put", "kv", "a", "2"],
        &["alias", "list"],
    ] {
        let refused = as_user(OTHER, &dir, words);
        assert!(!refused.status.success(), "{words:?}");
        assert!(
            said(&refused).contains("Permission denied"),
            "{}",
            said(&refused)
        );
    }
    let aliases = dir.join("aliases.toml");
    set_mode(&dir, 0o777);
    set_mode(&aliases, 0o604);
    chown(&aliases, Some(OWNER), Some(OWNER)).unwrap();
    let before = fs::read(&aliases).unwrap();
    let id = printed(&dir, &["list"]);
    let refused = as_user(OTHER, &dir, &["alias", "set", &id[..36], "mine"]);
    assert!(!refused.status.success());
    assert_eq!(fs::read(&aliases).unwrap(), before);
    let done = as_user(OWNER, &dir, &["alias", "set", "kv", "mine"]);
    assert!(done.status.success(), "{}", said(&done));
}
