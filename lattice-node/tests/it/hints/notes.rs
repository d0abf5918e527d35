//! Notes of commands that succeed: the commands that they name are run as they are printed, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cases::{chat, copied, file, keys, switched};
use super::{OPTIONS, Scene, command_of, shell, ways};
use crate::code::{CHAT, module};
use crate::{copy_dir, printed};

/// A command with a note.
struct Note {
    name: &'static str,
    scene: fn() -> Scene,
    command: &'static str,
    /// How many commands the note names.
    ways: usize,
    /// Whether each of them removes the reason for the note.
    is_gone: bool,
}

const fn note(
    name: &'static str,
    scene: fn() -> Scene,
    command: &'static str,
    ways: usize,
    is_gone: bool,
) -> Note {
    Note {
        name,
        scene,
        command,
        ways,
        is_gone,
    }
}

const NOTES: [Note; 9] = [
    note("no stores", Scene::new, "list", 1, true),
    note("no aliases", no_alias, "alias list", 1, true),
    note("leftovers", left, "doctor", 1, true),
    note("unused modules", unused, "code gc", 1, true),
    note(
        "a new identity",
        keys_and_bundle,
        "identity new --yes",
        1,
        false,
    ),
    note(
        "a restored copy",
        two_replicas,
        "restore copy.db --yes",
        2,
        false,
    ),
    note("code that was refused", refused, "upgrade s", 1, false),
    note("keys in conflict", conflicted, "export s", 1, false),
    note("a clone", clones, "bundle apply there.bundle", 3, false),
];

fn no_alias() -> Scene {
    let mut scene = keys();
    let store = file(&scene);
    scene.run(&["alias remove s"]);
    let id = store.parent().unwrap().file_name().unwrap();
    let id = id.to_str().unwrap().to_owned();
    scene.fill.extend([("NAME", "green".into()), ("STORE", id)]);
    scene
}

fn left() -> Scene {
    let scene = keys();
    fs::create_dir(scene.data().join(".lattice-0123456789abcdef.partial")).unwrap();
    scene
}

/// A module that no store records, and that was not used for long.
fn unused() -> Scene {
    let scene = chat();
    scene.run(&["destroy s --yes"]);
    fs::remove_file(scene.data().join("code.toml")).unwrap();
    let old = SystemTime::now() - Duration::from_secs(100 * 86_400);
    for entry in fs::read_dir(scene.data().join("wasm")).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(old).unwrap();
    }
    scene
}

fn keys_and_bundle() -> Scene {
    let mut scene = keys();
    scene.run(&["bundle create s s.bundle"]);
    scene.fill.push(("BUNDLE", "s.bundle".into()));
    scene
}

/// A backup, and what a replica elsewhere has: the messages call both files FILE.
fn two_replicas() -> Scene {
    let mut scene = copied();
    let there = scene.root.path().join("there");
    let tips = printed(&there, &["bundle", "tips", "s"]);
    fs::write(scene.root.path().join("there.tips"), tips).unwrap();
    scene.fill = vec![
        ("apply FILE", "apply there.bundle".into()),
        ("FILE --since TIPS", "new.bundle --since there.tips".into()),
    ];
    scene
}

/// A replay has refused a module; the module that the store records is here again.
fn refused() -> Scene {
    let scene = switched(CHAT, "chat", "chat_broken", "call s post room=tea text=hi");
    let upgrade = format!("lattice {OPTIONS} upgrade s");
    assert!(!shell(scene.root.path(), &upgrade).status.success());
    scene.run(&[
        &format!("code remove {}", module("chat_broken")),
        &format!("code add {}", module("chat")),
    ]);
    scene
}

/// The same store in another directory, and a bundle of what is written there.
fn elsewhere(scene: &Scene, commands: &[&[&str]]) {
    let there = scene.root.path().join("there");
    copy_dir(&scene.data(), &there);
    for command in commands {
        printed(&there, command);
    }
    let bundle = scene.root.path().join("there.bundle");
    printed(&there, &["bundle", "create", "s", bundle.to_str().unwrap()]);
}

fn conflicted() -> Scene {
    let scene = keys();
    elsewhere(
        &scene,
        &[&["identity", "new", "--yes"], &["put", "s", "nut", "6"]],
    );
    scene.run(&["put s nut 7", "bundle apply there.bundle --any-author"]);
    scene
}

fn clones() -> Scene {
    let scene = keys();
    elsewhere(&scene, &[&["put", "s", "nut", "6"]]);
    scene.run(&["put s nut 7"]);
    scene
}

/// What a successful command prints: most notes stand beside the result, and some in it.
fn said(root: &Path, command: &str) -> String {
    let output = shell(root, command);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).unwrap() + &errors
}

/// Runs a command that a note names, with `--yes` if it asks for that.
fn run_way(root: &Path, way: &str) {
    let output = shell(root, way);
    if output.status.success() {
        return;
    }
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("--yes"), "{way}: {errors}");
    said(root, &format!("{way} --yes"));
}

/// Checks all notes; adds the commands that they name.
pub(super) fn check(named: &mut BTreeSet<String>) {
    for note in &NOTES {
        let scene = (note.scene)();
        let command = format!("lattice {OPTIONS} {}", note.command);
        let text = said(scene.root.path(), &command);
        let ways = ways(&text, &command, &[]);
        assert_eq!(ways.len(), note.ways, "{}: {text}", note.name);
        for way in ways {
            let what = format!("{}: {text}{way}", note.name);
            assert!(way.contains(r"--data-dir 'da'\''ta dir'"), "{what}");
            named.insert(command_of(&way));
            let filled = scene.fill.iter().fold(way, |way, (placeholder, value)| {
                way.replace(placeholder, value)
            });
            let copy = tempfile::tempdir().unwrap();
            copy_dir(scene.root.path(), copy.path());
            run_way(copy.path(), &filled);
            if note.is_gone {
                let again = said(copy.path(), &command);
                assert!(!again.contains("`lattice "), "{what}: {again}");
            }
        }
    }
}
