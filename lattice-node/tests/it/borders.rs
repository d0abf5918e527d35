//! Names, ids and links from outside must not lead out of the data directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{lattice, printed};

/// Everything below a directory that is not a link, with the contents of files.
pub(crate) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let bytes = match kind.is_file() {
                true => fs::read(&path).unwrap(),
                false => Vec::new(),
            };
            all.push((path.display().to_string(), bytes));
            if kind.is_dir() {
                dirs.push(path);
            }
        }
    }
    all.sort();
    all
}

fn code(dir: &Path, words: &[&str]) -> i32 {
    lattice(dir, words).status.code().unwrap()
}

#[test]
fn names_cannot_leave_the_data_directory() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("data");
    let id = printed(&dir, &["create", "core:kvstore", "--alias", "kv"]);
    let id = id.trim();
    fs::write(outside.path().join("state.db"), "precious").unwrap();
    let before = contents(outside.path());
    let names = [
        "..",
        ".",
        "~",
        "stores",
        "state.db",
        "identity.key",
        "aliases.toml",
        "%2e%2e",
        "..\\..",
        "C:",
        "-",
        "0000",
        "\u{2025}",
        "con",
        "kv.",
        "kv:",
    ];
    for name in names {
        for command in [
            &["peek", "--", name][..],
            &["put", "--", name, "key", "value"],
            &["destroy", "--yes", "--", name],
            &["rebuild", "--", name],
            &["compact", "--", name],
            &["export", "--", name],
        ] {
            let code = code(&dir, command);
            assert!(code == 3 || code == 2, "{command:?} ended with {code}");
        }
        // Names that a store cannot have, and invalid types.
        let valid = [
            "stores",
            "con",
            "0000",
            "state.db",
            "kv.",
            "identity.key",
            "aliases.toml",
        ];
        if !valid.contains(&name) {
            assert_eq!(code(&dir, &["alias", "set", "kv", "--", name]), 2, "{name}");
        }
        let created = code(&dir, &["create", "--", name]);
        assert!(created == 2 || created == 6, "{name}: {created}");
    }
    // Paths are followed, but these lead to no store.
    for path in ["../", "./..", "/etc/passwd", "/dev/null", "/"] {
        let code = code(&dir, &["put", path, "key", "value"]);
        assert!(code == 3 || code == 4 || code == 1, "{path}: {code}");
        let destroyed = self::code(&dir, &["destroy", "--yes", path]);
        assert!(destroyed > 0, "{path}: {destroyed}");
    }
    // An aliases file that another program wrote.
    for text in [
        format!("[aliases]\n\"../../x\" = \"{id}\"\n"),
        "[aliases]\nevil = \"../../../etc\"\n".to_owned(),
        "[aliases]\nevil = \"00000000-0000-0000-0000-000000000000\"\nmore = 1\n".to_owned(),
        "[paths]\nevil = \"/etc\"\n".to_owned(),
    ] {
        let good = fs::read(dir.join("aliases.toml")).unwrap();
        fs::write(dir.join("aliases.toml"), &text).unwrap();
        assert_eq!(code(&dir, &["get", "evil", "key"]), 1, "{text}");
        // The store is still found by its id.
        assert_eq!(code(&dir, &["peek", id]), 0);
        fs::write(dir.join("aliases.toml"), good).unwrap();
    }
    assert_eq!(contents(outside.path()), before);
}

/// Links among the stores are followed to read, to write and to destroy.
#[test]
fn a_linked_store_is_destroyed_where_it_is() {
    let outside = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (
        outside.path().join("data"),
        outside.path().join("elsewhere"),
    );
    let id = printed(&elsewhere, &["create", "core:kvstore", "--alias", "kv"]);
    let id = id.trim();
    printed(&elsewhere, &["put", "kv", "key", "value"]);
    let stores = dir.join("stores");
    fs::create_dir_all(&stores).unwrap();
    // The store's directory is a link.
    symlink(elsewhere.join("stores").join(id), stores.join(id)).unwrap();
    assert_eq!(printed(&dir, &["get", id, "key"]), "value");
    let there = elsewhere.join("stores").join(id);
    let copy = outside.path().join("copy.db");
    fs::copy(there.join("state.db"), &copy).unwrap();
    let said = lattice(&dir, &["destroy", "--yes", id]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let removed = there.canonicalize().unwrap_or_else(|_| there.clone());
    assert!(
        said.contains(&format!("removed {}/state.db", removed.display())),
        "{said}"
    );
    assert!(!there.exists());
    fs::create_dir(&there).unwrap();
    fs::copy(&copy, there.join("state.db")).unwrap();
    assert_eq!(fs::read_dir(&stores).unwrap().count(), 0);
    // The store's file is a link.
    fs::create_dir(stores.join(id)).unwrap();
    let file = elsewhere.join("stores").join(id).join("state.db");
    symlink(&file, stores.join(id).join("state.db")).unwrap();
    assert_eq!(printed(&dir, &["get", id, "key"]), "value");
    // A restored copy replaces the link's target, and the link stays.
    printed(&dir, &["restore", copy.to_str().unwrap(), "--yes"]);
    let placed = fs::symlink_metadata(stores.join(id).join("state.db")).unwrap();
    assert!(placed.is_symlink());
    let kept = there.join("state.db.before-restore-1");
    assert!(kept.exists() && file.exists());
    assert_eq!(printed(&dir, &["get", id, "key"]), "value");
    fs::write(there.join("notes.txt"), "mine").unwrap();
    printed(&dir, &["destroy", "--yes", id]);
    assert!(!kept.exists() && !file.exists());
    assert!(there.join("notes.txt").exists());
    // Links to themselves, to nothing and to devices are not stores.
    for (name, target) in [("loop", "loop"), ("none", "nowhere"), ("null", "/dev/null")] {
        symlink(target, stores.join(name)).unwrap();
    }
    assert_eq!(code(&dir, &["list"]), 0);
}

/// New files are never written through a link, and never replace a file.
#[test]
fn new_files_do_not_go_through_links() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("data");
    printed(&dir, &["create", "core:kvstore", "--alias", "kv"]);
    let target = outside.path().join("target");
    let link = outside.path().join("link");
    symlink(&target, &link).unwrap();
    for command in ["backup", "bundle"] {
        let words = match command {
            "backup" => vec!["backup", "kv", link.to_str().unwrap()],
            _ => vec!["bundle", "create", "kv", link.to_str().unwrap()],
        };
        assert_eq!(code(&dir, &words), 1, "{command}");
        assert!(!target.exists(), "{command} wrote through a link");
    }
    // Nor is an identity created through a link.
    let other = outside.path().join("other");
    fs::create_dir(&other).unwrap();
    symlink(&target, other.join("identity.key")).unwrap();
    assert_eq!(code(&other, &["create", "core:kvstore"]), 3);
    assert!(!target.exists());
}

/// Secrets do not appear in output about the identity.
#[test]
fn secrets_are_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let identity = lattice_node::load_or_create_identity(dir.path()).unwrap();
    let file = fs::read_to_string(dir.path().join("identity.key")).unwrap();
    let digits = file.lines().nth(1).unwrap().to_owned();
    let debug = format!(
        "{identity:?} {:?}",
        lattice_node::Node::open(dir.path()).unwrap()
    );
    let options = lattice_node::ManagerOptions::new(identity);
    let mut said = format!("{debug} {options:?}");
    for words in [
        &["identity"][..],
        &["identity", "--json"],
        &["list"],
        &["doctor"],
    ] {
        let output = lattice(dir.path(), words);
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    // Nor if the identity file is invalid.
    fs::write(dir.path().join("identity.key"), format!("{digits}\n{file}")).unwrap();
    let output = lattice(dir.path(), &["identity"]);
    assert!(!output.status.success());
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("SecretKey(of "), "{said}");
    for start in [0, 16, 32] {
        assert!(!said.contains(&digits[start..start + 32]), "{said}");
    }
}
