//! The situations, at least one for each kind of error.

use std::fs;
use std::path::Path;

use lattice_backend::backend::{OpenOptions, Sharing, StateBackend, Table};
use lattice_backend::redb::RedbBackend;

use super::Scene;
use crate::code::{CHAT, World, cid, module};
use crate::older::Other;
use crate::{copy_dir, edit, printed, state_db};

/// A public key.
const KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";

/// A command that fails.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) scene: fn() -> Scene,
    /// The command; `D` stands for the option that names the data directory.
    pub(super) command: String,
    pub(super) kind: &'static str,
    pub(super) code: i32,
    /// Options that a message may offer.
    pub(super) options: &'static [&'static str],
    /// What the message says.
    pub(super) says: &'static [&'static str],
    /// Whether the command succeeds in the end.
    pub(super) is_cured: bool,
}

fn case(
    name: &'static str,
    scene: fn() -> Scene,
    command: impl Into<String>,
    (kind, code): (&'static str, i32),
) -> Case {
    Case {
        name,
        scene,
        command: command.into(),
        kind,
        code,
        options: &["--yes"],
        says: &[],
        is_cured: true,
    }
}

impl Case {
    fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// No command helps: the message says what does.
    fn says(self, says: &'static [&'static str]) -> Self {
        Self {
            says,
            is_cured: false,
            ..self
        }
    }
}

/// A key-value store `s` with a key.
pub(super) fn keys() -> Scene {
    let scene = Scene::new();
    scene.run(&["create core:kvstore --alias s", "put s nut 5"]);
    scene
}

/// The file of the store `s`.
pub(super) fn file(scene: &Scene) -> std::path::PathBuf {
    let aliases = fs::read_to_string(scene.data().join("aliases.toml")).unwrap();
    let id = aliases.split('"').nth(1).unwrap();
    state_db(&scene.data(), id)
}

/// The same store, damaged after a backup.
fn damaged(damage: fn(&Path)) -> Scene {
    let mut scene = keys();
    scene.run(&["put s pin 6", "backup s copy.db"]);
    damage(&file(&scene));
    scene.fill.push(("FILE", "copy.db".into()));
    scene
}

fn cut() -> Scene {
    damaged(|file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    })
}

fn wrong_row() -> Scene {
    damaged(|file| edit(file, |tx| tx.put(Table::Data, b"zz", b"zz").unwrap()))
}

fn missing_op() -> Scene {
    damaged(|file| {
        edit(file, |tx| {
            tx.remove(Table::Ops, &0_u64.to_be_bytes()).unwrap();
        });
    })
}

fn other(other: Other) -> Scene {
    let scene = Scene::new();
    other.write(&scene.data());
    scene
}

/// A store of a module that is gone.
fn without_module() -> Scene {
    let mut scene = chat();
    scene.run(&[&format!("code remove {}", module("chat"))]);
    scene.fill.push(("FILE", module("chat")));
    scene
}

pub(super) fn chat() -> Scene {
    let scene = Scene::new();
    let add = format!("code add {}", module("chat"));
    let create = format!("create {CHAT} --alias s");
    scene.run(&[&add, &create, "call s post room=tea text=hi"]);
    scene
}

pub(super) fn switched(store_type: &str, from: &str, to: &str, call: &str) -> Scene {
    let scene = Scene::new();
    scene.run(&[
        &format!("code add {}", module(from)),
        &format!("create {store_type} --alias s"),
        call,
        &format!("code remove {}", module(from)),
        &format!("code add {}", module(to)),
    ]);
    scene
}

fn pinned() -> Scene {
    let scene = chat();
    let hotfix = module("chat_hotfix");
    scene.run(&[
        &format!("code add {hotfix}"),
        &format!("code pin {CHAT} {}", module("chat")),
    ]);
    scene
}

fn pin_is_gone() -> Scene {
    let mut scene = pinned();
    fs::remove_file(scene.data().join("wasm").join(cid("chat"))).unwrap();
    scene.fill.push(("FILE", module("chat")));
    scene
}

/// A registry of another author, with a release whose module is not here.
fn released() -> Scene {
    let mut scene = Scene::new();
    let world = World::new();
    let (ann, _) = world.publisher("ann", "chat");
    world.carry(&ann, "releases", &scene.data());
    scene.fill.push(("FILE", module("chat")));
    scene
}

/// A restored copy of a store, whose author may have written more; the other replica's bundle.
pub(super) fn copied() -> Scene {
    let mut scene = keys();
    scene.run(&["backup s copy.db"]);
    copy_dir(&scene.data(), &scene.root.path().join("there"));
    scene.run(&["restore copy.db --yes", "bundle tips s"]);
    let there = scene.root.path().join("there");
    let bundle = scene.root.path().join("there.bundle");
    printed(&there, &["bundle", "create", "s", bundle.to_str().unwrap()]);
    scene.fill.push(("FILE", "there.bundle".into()));
    scene
}

/// A copy of a store, and two files that follow it.
fn increments() -> Scene {
    let mut scene = keys();
    scene.run(&["backup s copy.db", "put s nut 6"]);
    scene.run(&["backup s one.inc --since copy.db", "put s nut 7"]);
    scene.run(&["backup s two.inc --since one.inc"]);
    scene.fill.push(("FILE", "two.inc".into()));
    scene
}

/// A copy of a store whose type is not known here.
fn copy_of_unknown() -> Scene {
    let mut scene = chat();
    scene.run(&["backup s copy.db"]);
    fs::remove_dir_all(scene.data()).unwrap();
    scene.fill.push(("FILE", module("chat")));
    scene
}

/// A store that a handle has open exclusively.
fn held() -> Scene {
    let mut scene = keys();
    let options = OpenOptions {
        sharing: Sharing::Exclusive,
        ..OpenOptions::read_write()
    };
    let held = RedbBackend::on_files().open(&file(&scene), &options);
    scene.held = Some(held.unwrap());
    scene
}

/// A store with a module that computes the same as the program's own code.
fn pinned_keys() -> Scene {
    let mut scene = keys();
    scene.run(&[&format!("code pin core:kvstore {}", module("kvstore"))]);
    scene.fill.push(("METHOD", "count".into()));
    scene
}

fn with(placeholder: &'static str, value: String) -> Scene {
    let mut scene = Scene::new();
    scene.fill.push((placeholder, value));
    scene
}

fn two_stores() -> Scene {
    let scene = keys();
    scene.run(&["create core:kvstore --alias t"]);
    scene
}

fn not_a_store() -> Scene {
    let scene = Scene::new();
    fs::write(scene.root.path().join("notes.txt"), "notes").unwrap();
    scene
}

pub(super) fn all() -> Vec<Case> {
    let later = "put s pin 7";
    vec![
        case(
            "equal logic",
            || other(Other::equal()),
            "D get s nut",
            ("needs_upgrade", 1),
        ),
        case(
            "logic that differs",
            || other(Other::different()),
            "D get s nut",
            ("needs_upgrade", 1),
        ),
        case(
            "a write by logic that differs",
            || other(Other::different()),
            "D put s a b",
            ("damaged", 4),
        ),
        case(
            "verify of equal logic",
            || other(Other::equal()),
            "D verify s",
            ("damaged", 4),
        ),
        case(
            "an old layout",
            || other(Other::equal().schema(0)),
            "D verify s",
            ("needs_upgrade", 1),
        ),
        case(
            "a new layout",
            || other(Other::equal().schema(2)),
            "D get s nut",
            ("newer", 6),
        )
        .says(&["update the program"]),
        case(
            "a layout that a module migrates",
            || {
                switched(
                    "org.example.tally",
                    "tally_v1",
                    "tally",
                    "call s add name=nut number:=5",
                )
            },
            "D call s sum name=nut",
            ("needs_upgrade", 1),
        ),
        case(
            "a module that differs",
            || switched(CHAT, "chat", "chat_broken", "call s post room=tea text=hi"),
            "D upgrade s",
            ("damaged", 4),
        ),
        case(
            "no code",
            without_module,
            "D call s read room=tea",
            ("unknown_type", 6),
        ),
        case(
            "a type without code",
            copy_of_unknown,
            format!("D create {CHAT}"),
            ("unknown_type", 6),
        ),
        case(
            "code that is not trusted",
            Scene::new,
            format!("--code {} D create {CHAT}", module("chat")),
            ("failed", 1),
        ),
        case(
            "another pin",
            pinned,
            format!("D upgrade s {}", cid("chat_hotfix")),
            ("failed", 1),
        ),
        case(
            "a pin that is gone",
            pin_is_gone,
            "D call s read room=tea",
            ("unknown_type", 6),
        ),
        case(
            "a publisher that is not trusted",
            released,
            format!("D create {CHAT}"),
            ("failed", 1),
        ),
        case(
            "no code of the program's own",
            chat,
            "D upgrade s native",
            ("usage", 2),
        )
        .says(&["module"]),
        case(
            "a copy of an unknown type",
            copy_of_unknown,
            "D restore copy.db",
            ("unknown_type", 6),
        )
        .with(&["--trust"]),
        case(
            "a copy that its author writes",
            copied,
            format!("D {later}"),
            ("failed", 1),
        )
        .with(&["--continue"]),
        case("a file that was cut", cut, "D get s nut", ("damaged", 4)),
        case(
            "verify of a file that was cut",
            cut,
            "D verify s",
            ("damaged", 4),
        ),
        case(
            "rebuild of a file that was cut",
            cut,
            "D rebuild s",
            ("damaged", 4),
        ),
        case(
            "salvage of a file that was cut",
            cut,
            "D salvage s",
            ("damaged", 4),
        ),
        case("a wrong row", wrong_row, "D verify s", ("damaged", 4)),
        case(
            "a backup without an op",
            missing_op,
            "D backup s new.db",
            ("damaged", 4),
        ),
        case(
            "an op that is missing",
            missing_op,
            "D verify s",
            ("damaged", 4),
        ),
        case(
            "rebuild without an op",
            missing_op,
            "D rebuild s",
            ("damaged", 4),
        ),
        case(
            "a module where the program's own code is needed",
            pinned_keys,
            format!("--code {} D get s nut", module("kvstore")),
            ("usage", 2),
        )
        .says(&["omit --code"]),
        case(
            "a publisher of a type of the program",
            || with("FILE", module("kvstore")),
            format!("D code trust core:kvstore {KEY}"),
            ("usage", 2),
        )
        .says(&["takes no module but its pin"]),
        case(
            "a wrong setting",
            || {
                let scene = keys();
                fs::write(scene.data().join("config.toml"), "wait = true\n").unwrap();
                scene
            },
            "D get s nut",
            ("config", 2),
        )
        .says(&["config.toml, line 1: wait is true; expected a number"]),
        case("no store", keys, "D get t nut", ("no_store", 3)).says(&["list"]),
        case(
            "a directory without stores",
            Scene::new,
            "D get t nut",
            ("no_store", 3),
        )
        .says(&["create core:kvstore"]),
        case("no key", keys, "D get s pin", ("no_key", 3)).says(&["pin"]),
        case("no file", keys, "D import s rows.csv", ("no_file", 3)).says(&["rows.csv"]),
        case("no identity", Scene::new, "D identity", ("not_found", 3)),
        case("no alias", keys, "D alias remove zz", ("not_found", 3)).says(&["alias list"]),
        case(
            "an alias that is taken",
            two_stores,
            "D alias set t s",
            ("usage", 2),
        ),
        case(
            "a word that names no type",
            Scene::new,
            "D create core",
            ("usage", 2),
        )
        .says(&["types"]),
        case(
            "a deletion without a question",
            keys,
            "D destroy s",
            ("usage", 2),
        ),
        case(
            "an expectation",
            keys,
            "D put s nut 6 --if-absent",
            ("expectation", 1),
        )
        .says(&["nut"]),
        case(
            "a base of another store",
            || {
                let mut scene = two_stores();
                scene.run(&["backup t t.db"]);
                scene.fill.push(("FILE", "new.db".into()));
                scene
            },
            "D backup s new.inc --since t.db",
            ("usage", 2),
        )
        .says(&["found one of store"]),
        case(
            "the first file of a chain is a bundle",
            increments,
            "D restore two.inc",
            ("not_a_store", 3),
        )
        .says(&["the copy that the chain begins with"]),
        case(
            "a chain with a gap",
            increments,
            "D restore copy.db two.inc --yes",
            ("no_file", 3),
        )
        .says(&["two.inc follows one.inc", "give all files"]),
        case("a store in use", held, "D info s", ("in_use", 5)).says(&["another"]),
        case(
            "no store at all",
            not_a_store,
            "D verify ./notes.txt",
            ("not_a_store", 3),
        )
        .says(&["notes.txt"]),
    ]
}
