//! Rules for dependencies between crates.

use std::collections::BTreeSet;

use crate::command;
use crate::finding::Finding;
use crate::workspace::{Dependency, LAYERS, Metadata, Package, Workspace, WorkspaceError};

const BACKEND: &str = "lattice-backend";
const ENGINE: &str = "redb";
const COMPOSITION: &str = "lattice-node";

/// For each crate, the workspace crates that its shipped code may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lattice-meta", &[]),
    ("lattice-backend", &["lattice-meta"]),
    ("lattice-registry", &["lattice-meta", "lattice-backend"]),
    ("lattice-sync", &["lattice-meta", "lattice-backend"]),
    (
        "lattice-kvstore",
        &["lattice-meta", "lattice-backend", "lattice-registry"],
    ),
    (
        "lattice-logstore",
        &["lattice-meta", "lattice-backend", "lattice-registry"],
    ),
    (
        "lattice-node",
        &[
            "lattice-meta",
            "lattice-backend",
            "lattice-registry",
            "lattice-kvstore",
            "lattice-logstore",
            "lattice-wasm",
            "lattice-code",
            "lattice-sync",
        ],
    ),
    ("lattice-guest", &["lattice-meta", "lattice-backend"]),
    (
        "lattice-wasm",
        &["lattice-meta", "lattice-backend", "lattice-registry"],
    ),
    (
        "lattice-code",
        &[
            "lattice-meta",
            "lattice-backend",
            "lattice-registry",
            "lattice-wasm",
        ],
    ),
    // Store types as modules: they depend on the module interface and on the code that they export.
    ("guest-kvstore", &["lattice-guest", "lattice-kvstore"]),
    ("guest-logstore", &["lattice-guest", "lattice-logstore"]),
    ("guest-chat", &["lattice-guest"]),
    ("guest-tally", &["lattice-guest"]),
    (NEWCOMER, &["lattice-guest"]),
    ("xtask", &[]),
    // The fuzz targets are outside the layers and are not shipped.
    (
        "lattice-fuzz",
        &[
            "lattice-meta",
            "lattice-backend",
            "lattice-registry",
            "lattice-kvstore",
            "lattice-logstore",
            "lattice-wasm",
            "lattice-sync",
            "lattice-node",
        ],
    ),
];

/// Pairs that must not depend on each other, not even in tests.
const STRANGERS: &[(&str, &str)] = &[
    ("lattice-kvstore", "lattice-logstore"),
    ("lattice-logstore", "lattice-kvstore"),
];

/// The package of `docs/write-a-store-type.md`, whose example is a native program.
const NEWCOMER: &str = "guest-poll";

/// The feature with which a layer keeps stores in files. It enables redb without naming it, and is
/// never a default.
const FILES: &str = "files";

/// Crates that must not be among the dependencies of a workspace crate with these features.
struct Banned {
    package: &'static str,
    features: &'static [&'static str],
    crates: &'static [&'static str],
    why: &'static str,
}

const BANNED: &[Banned] = &[
    Banned {
        package: "lattice-meta",
        features: &["--all-features"],
        crates: &[
            "chrono",
            "errno",
            "fastrand",
            "fs2",
            "fs4",
            "getrandom",
            "instant",
            "libc",
            "memmap2",
            "mio",
            "nix",
            "rand",
            "rand_chacha",
            "redb",
            "rustix",
            "tempfile",
            "time",
            "tokio",
            "windows-sys",
        ],
        why: "the vocabulary has no I/O, engine, clock or randomness",
    },
    Banned {
        package: "lattice-registry",
        features: &["--features", "std"],
        crates: &[ENGINE],
        why: "the registry names no engine",
    },
    Banned {
        package: "lattice-kvstore",
        features: &["--features", "std"],
        crates: &[ENGINE],
        why: "a store type sees no engine",
    },
    Banned {
        package: "lattice-logstore",
        features: &["--features", "std"],
        crates: &[ENGINE],
        why: "a store type sees no engine",
    },
    Banned {
        package: "lattice-code",
        features: &[],
        crates: &[ENGINE],
        why: "where code comes from does not depend on where rows are kept",
    },
    Banned {
        package: "lattice-code",
        features: &["--no-default-features"],
        crates: &[
            "lattice-registry",
            "lattice-wasm",
            "tempfile",
            "toml",
            "wasmi",
            "wasmparser",
        ],
        why: "a state machine sees no module, no manager and no file",
    },
    Banned {
        package: "lattice-sync",
        features: &[],
        crates: &[
            "async-io",
            "fastrand",
            "futures",
            "getrandom",
            "iroh",
            "libc",
            "mio",
            "rand",
            "rustix",
            "smol",
            "tempfile",
            "tokio",
            "windows-sys",
            ENGINE,
        ],
        why: "the core of synchronisation has no I/O, clock, task or randomness",
    },
    Banned {
        package: "lattice-guest",
        features: &[],
        crates: &[ENGINE, "tempfile", "libc", "wasmi"],
        why: "a module has no operating system",
    },
];

/// The targets that are searched for banned crates: an operating system, and a machine without one.
/// The host is not used, so that the result is the same everywhere.
const TREE_TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown"];

/// Checks the declared dependencies.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata
        .packages
        .iter()
        .flat_map(|package| {
            let mut findings = points_left(package);
            findings.extend(engine_stays_below(package));
            findings
        })
        .collect()
}

fn points_left(package: &Package) -> Vec<Finding> {
    let path = manifest(&package.name);
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::file(
            &path,
            "this crate has no place in the layers yet",
        )];
    };
    let is_stranger = |other: &str| {
        STRANGERS.contains(&(package.name.as_str(), other))
            || package.name == "xtask"
            || other == COMPOSITION && package.name != NEWCOMER
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| LAYERS.contains(&dependency.name.as_str()))
        // A crate that depends on itself does so for its own tests, with other features.
        .filter(|dependency| dependency.name != package.name)
        .filter(|dependency| {
            let other = dependency.name.as_str();
            if dependency.is_shipped() {
                !allowed.contains(&other)
            } else {
                is_stranger(other)
            }
        })
        .map(|dependency| {
            let message = format!("{} must not depend on {}", package.name, dependency.name);
            Finding::file(&path, message)
        })
        .collect()
}

/// Only the backend crate knows redb, as an option that only the composition enables.
fn engine_stays_below(package: &Package) -> Vec<Finding> {
    let path = manifest(&package.name);
    let shipped: Vec<&Dependency> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.is_shipped())
        .collect();
    let mut findings = Vec::new();
    if package.name == BACKEND {
        if shipped
            .iter()
            .any(|dependency| dependency.name == ENGINE && !dependency.optional)
        {
            findings.push(Finding::file(
                &path,
                "the engine is not an optional dependency",
            ));
        }
        if !package.features.contains_key(ENGINE) {
            findings.push(Finding::file(&path, "the feature `redb` is missing"));
        }
        if reached_features(package, "default")
            .iter()
            .any(|feature| turns_engine_on(feature))
        {
            findings.push(Finding::file(&path, "the engine is on by default"));
        }
        return findings;
    }
    if shipped.iter().any(|dependency| dependency.name == ENGINE) {
        findings.push(Finding::file(
            &path,
            "only lattice-backend may depend on the engine",
        ));
    }
    if package.name != COMPOSITION {
        let by_dependency = shipped.iter().any(|dependency| {
            dependency.name == BACKEND
                && dependency.features.iter().any(|feature| feature == ENGINE)
        });
        let others = package.features.iter().filter(|(name, _)| *name != FILES);
        let by_feature = others
            .flat_map(|(_, features)| features)
            .any(|feature| turns_backend_engine_on(feature));
        let by_default = reached_features(package, "default").contains(FILES);
        if by_dependency || by_feature || by_default {
            findings.push(Finding::file(&path, "only lattice-node may turn `redb` on"));
        }
    }
    findings
}

/// All features and dependencies that a feature enables, itself included.
fn reached_features<'a>(package: &'a Package, start: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![start];
    while let Some(feature) = waiting.pop() {
        if reached.insert(feature) {
            waiting.extend(
                package
                    .features
                    .get(feature)
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
        }
    }
    reached
}

/// True for `redb`, `dep:redb` and `redb/x`; `redb?/x` enables nothing.
fn turns_engine_on(feature: &str) -> bool {
    let name = feature.strip_prefix("dep:").unwrap_or(feature);
    name.split('/').next() == Some(ENGINE)
}

fn turns_backend_engine_on(feature: &str) -> bool {
    matches!(
        feature.split_once('/'),
        Some((dependency, ENGINE)) if dependency.trim_end_matches('?') == BACKEND
    )
}

/// Checks the resolved dependencies, including indirect ones.
pub(super) fn check_resolved(workspace: &Workspace) -> Result<Vec<Finding>, WorkspaceError> {
    let mut findings = Vec::new();
    for banned in BANNED {
        for target in TREE_TARGETS {
            let mut cargo = workspace.cargo();
            cargo.args(["tree", "--package", banned.package, "--target", target]);
            cargo.args(banned.features);
            cargo.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
            findings.extend(banned_in(banned, &command::output(&mut cargo)?));
        }
    }
    Ok(findings)
}

/// Finds banned crates in the lines `name version ...` of `cargo tree`.
fn banned_in(banned: &Banned, tree: &str) -> Vec<Finding> {
    let seen: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    banned
        .crates
        .iter()
        .filter(|name| seen.contains(**name))
        .map(|name| {
            let message = format!("`{name}` is below {}, but {}", banned.package, banned.why);
            Finding::file(&manifest(banned.package), message)
        })
        .collect()
}

fn manifest(package: &str) -> String {
    format!("{package}/Cargo.toml")
}

#[cfg(test)]
mod tests;
