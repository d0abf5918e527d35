//! The workspace: its root, its files, its packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::command::{self, CommandError};
use crate::files::{FileError, at};

/// The crates of the workspace, each after its dependencies.
pub(crate) const LAYERS: &[&str] = &[
    "lattice-meta",
    "lattice-backend",
    "lattice-registry",
    "lattice-kvstore",
    "lattice-logstore",
    "lattice-guest",
    "lattice-wasm",
    "lattice-code",
    "lattice-sync",
    "lattice-node",
];

/// Why the workspace could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkspaceError {
    #[error("{} has no parent directory to be the workspace's root", .path.display())]
    NoRoot { path: PathBuf },
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot parse cargo's description of the workspace")]
    Metadata { source: serde_json::Error },
    #[error("{path}, line {}, is not Rust", .source.span().start().line)]
    Rust { path: String, source: syn::Error },
    #[error("{path} is not TOML")]
    Toml {
        path: String,
        source: toml::de::Error,
    },
}

/// The root directory of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace of this crate: from cargo's environment at run time, else from build time.
    pub(crate) fn locate() -> Result<Self, WorkspaceError> {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        match own.parent() {
            Some(root) => Ok(Self {
                root: root.to_path_buf(),
            }),
            None => Err(WorkspaceError::NoRoot { path: own }),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo command with the root as its working directory.
    pub(crate) fn cargo(&self) -> Command {
        command::cargo(&self.root)
    }

    /// The compiler that rustup chooses for the root.
    pub(crate) fn rustc(&self) -> Command {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(&self.root);
        rustc
    }

    /// True if the compiler has the standard library for a target.
    pub(crate) fn has_target(&self, target: &str) -> Result<bool, CommandError> {
        let arguments = ["--print", "target-libdir", "--target", target];
        let library = command::output(self.rustc().args(arguments))?;
        Ok(Path::new(library.trim()).exists())
    }

    /// Every tracked or untracked, not ignored file of the repository: paths from the root with
    /// `/`, sorted. Omits deleted files and symbolic links.
    pub(crate) fn files(&self) -> Result<Vec<String>, WorkspaceError> {
        let mut git = Command::new("git");
        git.current_dir(&self.root)
            .args(["ls-files", "-z", "-co", "--exclude-standard"]);
        let listing = command::output(&mut git)?;
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        files.retain(|path| {
            fs::symlink_metadata(self.root.join(path)).is_ok_and(|metadata| metadata.is_file())
        });
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The contents of a file, given by its path from the root.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, WorkspaceError> {
        let path = self.root.join(path);
        Ok(fs::read(&path).map_err(at(&path))?)
    }

    /// Cargo's metadata of the workspace's own packages, as declared: no resolution, no network.
    pub(crate) fn metadata(&self) -> Result<Metadata, WorkspaceError> {
        let mut cargo = self.cargo();
        cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
        let json = command::output(&mut cargo)?;
        serde_json::from_str(&json).map_err(|source| WorkspaceError::Metadata { source })
    }
}

/// The part of `cargo metadata` that the workflows use.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
    pub(crate) rust_version: Option<String>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Missing in the JSON for a normal dependency.
    pub(crate) kind: Option<DependencyKind>,
    pub(crate) optional: bool,
    pub(crate) features: Vec<String>,
}

impl Dependency {
    /// True unless only tests, examples and benchmarks use it.
    pub(crate) fn is_shipped(&self) -> bool {
        self.kind != Some(DependencyKind::Dev)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    Dev,
    Build,
}

/// A build target of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_this_crate() {
        let workspace = Workspace::locate().unwrap();
        let files = workspace.files().unwrap();
        assert!(
            files.iter().any(|path| path == "xtask/src/workspace.rs"),
            "{files:?}"
        );
        assert!(files.iter().all(|path| !path.starts_with("target/")));
    }

    #[test]
    fn metadata_lists_every_layer() {
        let metadata = Workspace::locate().unwrap().metadata().unwrap();
        for layer in LAYERS {
            assert!(
                metadata
                    .packages
                    .iter()
                    .any(|package| package.name == *layer),
                "{layer}"
            );
        }
    }
}
