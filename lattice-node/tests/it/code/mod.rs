//! Code from publishers: trust, releases, upgrades, and the errors on the way, in real processes.

mod errors;
mod publishers;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{lattice, printed};

pub(crate) const CHAT: &str = "org.example.chat";

/// A module that ships with the workspace.
pub(crate) fn module(name: &str) -> String {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lattice-wasm/guests");
    let path = guests.join(format!("{name}.wasm"));
    path.to_str().unwrap().to_owned()
}

/// The content id of a module.
pub(crate) fn cid(name: &str) -> String {
    lattice_meta::Cid::of(&fs::read(module(name)).unwrap()).to_string()
}

/// A command that fails: its exit code, and the kind and message of its error.
pub(crate) fn refused(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = lattice(dir, &[&["--json"], arguments].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    let error = text
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).ok());
    let error = error.unwrap_or_else(|| panic!("{arguments:?}: {text}"));
    let part = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), part("kind"), part("message"))
}

/// The lines of a successful command as JSON.
pub(crate) fn json(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let text = printed(dir, &[&["--json"], arguments].concat());
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Publishers and users: data directories below one.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn user(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A user with a registry that has the module as release 1. Returns the user's key, too.
    pub(crate) fn publisher(&self, name: &str, guest: &str) -> (PathBuf, String) {
        let dir = self.user(name);
        printed(&dir, &["create", "core:registry", "--alias", "releases"]);
        publish(&dir, guest);
        let key = printed(&dir, &["identity"]).trim().to_owned();
        (dir, key)
    }

    /// Carries a store of one user to another, who takes the ops of all authors.
    pub(crate) fn carry(&self, from: &Path, store: &str, to: &Path) {
        let bundle = self.dir.path().join("carried.bundle");
        let path = bundle.to_str().unwrap();
        printed(from, &["bundle", "create", store, path]);
        printed(to, &["bundle", "apply", path, "--any-author"]);
        fs::remove_file(&bundle).unwrap();
    }
}

/// Publishes a module in the user's registry; returns the number of the release.
pub(crate) fn publish(dir: &Path, guest: &str) -> u64 {
    let file = module(guest);
    let words = ["code", "publish", &file, "--registry", "releases"];
    json(dir, &words)[0]["release"].as_u64().unwrap()
}
