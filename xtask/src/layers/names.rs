//! Names that a crate's sources must not use. Tests and comments may use any name.

use crate::finding::Finding;
use crate::source::{Role, SourceFile};

const BACKEND: &str = "lattice-backend";
const ENGINE: &str = "redb";
const META: &str = "lattice-meta";
const NODE: &str = "lattice-node";

/// The backend's module for redb.
const ENGINE_MODULE_FILE: &str = "lattice-backend/src/redb.rs";
const ENGINE_MODULE_DIRECTORY: &str = "lattice-backend/src/redb/";
const BACKEND_ROOT: &str = "lattice-backend/src/lib.rs";

/// The built-in openers, which only one file of lattice-node may list.
const OPENERS: &[&str] = &["KvOpener", "LogOpener", "ReleaseOpener"];

/// Names that a crate must not use, not even in strings.
struct Unnamed {
    package: &'static str,
    /// Parts of identifiers and strings.
    names: &'static [&'static str],
    why: &'static str,
}

const UNNAMED: &[Unnamed] = &[
    Unnamed {
        package: "lattice-registry",
        names: &["redb", "Redb", "kvstore", "logstore", "KvStore", "LogStore"],
        why: "the registry names no engine and no concrete store type",
    },
    Unnamed {
        package: "lattice-kvstore",
        names: &["redb", "Redb", "StoreManager", "logstore", "LogStore"],
        why: "a store type sees no engine, no manager and no other store type",
    },
    Unnamed {
        package: "lattice-code",
        names: &["wasmi", "kvstore", "logstore", "KvStore", "LogStore"],
        why: "only lattice-wasm names the sandbox, and code of any store type is treated alike",
    },
    Unnamed {
        package: "lattice-sync",
        names: &[
            "SystemTime",
            "Instant",
            "thread",
            "spawn",
            "Mutex",
            "File",
            "TcpStream",
            "HashMap",
            "getrandom",
        ],
        why: "the core of synchronisation has no I/O, clock, task, randomness or random order",
    },
    Unnamed {
        package: "lattice-backend",
        names: &["wasmi"],
        why: "only lattice-wasm names the sandbox",
    },
    Unnamed {
        package: "lattice-logstore",
        names: &["redb", "Redb", "StoreManager", "kvstore", "KvStore"],
        why: "a store type sees no engine, no manager and no other store type",
    },
];

/// All rules of this module.
pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    let mut findings = openers_in_one_place(sources);
    for source in sources {
        findings.extend(unnamed(source));
        findings.extend(engine_outside_its_module(source));
        findings.extend(std_in_meta(source));
    }
    findings
}

/// True for the files of the backend's redb module.
fn in_engine_module(source: &SourceFile) -> bool {
    source.path == ENGINE_MODULE_FILE || source.path.starts_with(ENGINE_MODULE_DIRECTORY)
}

fn unnamed(source: &SourceFile) -> Vec<Finding> {
    let rules = UNNAMED.iter().filter(|rule| source.in_crate(rule.package));
    rules
        .flat_map(|rule| {
            let has_name = |text: &str| rule.names.iter().any(|name| text.contains(name));
            let words = source.words.iter().filter(move |word| has_name(&word.text));
            words.map(|word| {
                let message = format!("`{}`: {}", word.text, rule.why);
                Finding::new(&source.path, word.line, message)
            })
        })
        .collect()
}

/// Outside the module, only the crate's root may name it, to declare it and to re-export from it.
/// In the root the crate's own module shadows the crate redb.
fn engine_outside_its_module(source: &SourceFile) -> Vec<Finding> {
    if !source.in_crate(BACKEND) || in_engine_module(source) {
        return Vec::new();
    }
    let is_root = source.path == BACKEND_ROOT;
    let declared = source.declares(ENGINE);
    let is_own_module = |role| is_root && (role == Role::Own || declared && role == Role::First);
    let message = "only the redb module of lattice-backend names redb";
    findings(source, ENGINE, message, |role| !is_own_module(role))
}

/// A finding for each place of a name, if its role counts.
fn findings(
    source: &SourceFile,
    name: &str,
    message: &str,
    counts: impl Fn(Role) -> bool,
) -> Vec<Finding> {
    let words = source.words.iter().filter(|word| word.is_name(name));
    words
        .filter(|word| counts(word.role))
        .map(|word| Finding::new(&source.path, word.line, message))
        .collect()
}

/// The compiler would allow `std` behind the feature `std`, which exists for the hash alone.
fn std_in_meta(source: &SourceFile) -> Vec<Finding> {
    if !source.in_crate(META) {
        return Vec::new();
    }
    findings(source, "std", "lattice-meta does without std", |_| true)
}

fn openers_in_one_place(sources: &[SourceFile]) -> Vec<Finding> {
    let naming: Vec<&SourceFile> = sources
        .iter()
        .filter(|source| source.in_crate(NODE))
        .filter(|source| OPENERS.iter().any(|opener| source.names(opener)))
        .collect();
    match naming.as_slice() {
        [] => {
            let message = format!("no file lists the built-in openers {}", OPENERS.join(", "));
            vec![Finding::file(&format!("{NODE}/src/lib.rs"), message)]
        }
        [one] => OPENERS
            .iter()
            .filter(|opener| !one.names(opener))
            .map(|opener| {
                Finding::file(
                    &one.path,
                    format!("{opener} is missing beside the other openers"),
                )
            })
            .collect(),
        several => several
            .iter()
            .map(|source| {
                let message = "the built-in openers are named in more than one file";
                Finding::file(&source.path, message)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::lines_of;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(path, text).unwrap()
    }

    #[test]
    fn the_registry_names_no_engine_and_no_store_type() {
        let text = "use x::KvStore;\nconst A: &str = \"core:logstore\";\nfn f() { lattice_kvstore::x();\nm!(RedbBackend); }";
        assert_eq!(
            lines_of(&unnamed(&file("lattice-registry/src/a.rs", text))),
            [1, 2, 3, 4]
        );
        let good = "// KvStore\n/// core:kvstore\nuse x::StoreManager;\n#[cfg(test)] mod t { use x::KvStore; }";
        assert!(unnamed(&file("lattice-registry/src/a.rs", good)).is_empty());
        assert!(unnamed(&file("lattice-registry/tests/a.rs", text)).is_empty());
    }

    #[test]
    fn store_types_do_not_see_one_another() {
        let both = "use lattice_logstore::LogStore;\nuse lattice_kvstore::KvStore;\nstruct A(StoreManager);\nfn f() { redb::x() }";
        assert_eq!(
            lines_of(&unnamed(&file("lattice-kvstore/src/a.rs", both))),
            [1, 1, 3, 4]
        );
        assert_eq!(
            lines_of(&unnamed(&file("lattice-logstore/src/a.rs", both))),
            [2, 2, 3, 4]
        );
        assert!(unnamed(&file("lattice-node/src/a.rs", both)).is_empty());
    }

    #[test]
    fn the_engine_is_named_in_its_module_only() {
        for bad in [
            "use redb as engine;",
            "fn f() { m!(redb::Error) }",
            "use ::redb::Database;",
            "fn f(x: redb::Error) {}",
            "fn f() { crate::redb::f() }",
        ] {
            let seen = engine_outside_its_module(&file("lattice-backend/src/a.rs", bad));
            assert_eq!(seen.len(), 1, "{bad}");
            for home in [
                "lattice-backend/src/redb.rs",
                "lattice-backend/src/redb/a.rs",
            ] {
                assert!(
                    engine_outside_its_module(&file(home, bad)).is_empty(),
                    "{bad}"
                );
            }
        }
        let good = "// redb::x\n#[cfg(feature = \"redb\")] mod files;";
        assert!(engine_outside_its_module(&file("lattice-backend/src/a.rs", good)).is_empty());
    }

    #[test]
    fn the_root_declares_the_engine_module_and_publishes_from_it() {
        let good = "#[cfg(feature = \"redb\")] mod redb;\npub use self::redb::A; pub use crate::redb::B; pub use redb::C;";
        assert!(engine_outside_its_module(&file(BACKEND_ROOT, good)).is_empty());
        for bad in [
            "pub use redb::Database;",
            "mod redb; pub use ::redb::Database;",
            "mod redb; extern crate redb;",
            "mod redb; use a::{redb::Database};",
            "mod redb; fn f() { m!(::redb::f()) }",
            "#[cfg(test)] mod redb; pub use redb::Database;",
        ] {
            assert_eq!(
                engine_outside_its_module(&file(BACKEND_ROOT, bad)).len(),
                1,
                "{bad}"
            );
        }
    }

    #[test]
    fn meta_has_no_std() {
        let text = "#![no_std]\nuse std::fs;\nextern crate std;\n// std::fs";
        assert_eq!(
            lines_of(&std_in_meta(&file("lattice-meta/src/lib.rs", text))),
            [2, 3]
        );
        assert!(
            std_in_meta(&file(
                "lattice-meta/src/lib.rs",
                "#![no_std]\nuse core::fmt;"
            ))
            .is_empty()
        );
        assert!(std_in_meta(&file("lattice-node/src/lib.rs", "use std::fs;")).is_empty());
    }

    #[test]
    fn openers_are_listed_once() {
        let list = format!("fn f() {{ [{}] }}", OPENERS.join(", "));
        let use_of = |opener: &str| format!("use x::{opener};");
        let home = || file("lattice-node/src/openers.rs", &list);
        assert!(openers_in_one_place(&[home(), file("lattice-node/src/a.rs", "")]).is_empty());
        assert!(openers_in_one_place(&[home(), file("lattice-node/tests/a.rs", &list)]).is_empty());
        assert!(
            openers_in_one_place(&[
                home(),
                file("lattice-kvstore/src/a.rs", &use_of(OPENERS[0]))
            ])
            .is_empty()
        );

        assert_eq!(
            openers_in_one_place(&[file("lattice-node/src/a.rs", "")]).len(),
            1
        );
        assert_eq!(
            openers_in_one_place(&[file("lattice-node/src/a.rs", &use_of(OPENERS[0]))]).len(),
            OPENERS.len() - 1
        );
        assert_eq!(
            openers_in_one_place(&[home(), file("lattice-node/src/a.rs", &use_of(OPENERS[1]))])
                .len(),
            2
        );
    }
}
