//! The modules that the user trusts: `code.toml` in the data directory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lattice_meta::Cid;
use serde::Deserialize;

use crate::cache::replace;
use crate::error::LibraryError;

const HEAD: &str = "\
# Code that may run here, by its content id, and when it was added.
# `lattice code add FILE` adds an entry.

[added]
";

/// Trusted content ids, each with the time when it was added, as RFC 3339 text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    added: BTreeMap<Cid, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    added: BTreeMap<String, String>,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("code.toml")
}

impl Trusted {
    /// Reads the list of a data directory; without a file, the list is empty.
    ///
    /// # Errors
    /// [`LibraryError::File`], and [`LibraryError::Trust`] for a malformed file.
    pub fn load(data_dir: &Path) -> Result<Self, LibraryError> {
        let path = file(data_dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(LibraryError::file("read", path, error)),
        };
        let broken = |reason: String| LibraryError::Trust {
            path: path.clone(),
            reason,
        };
        let record: Record =
            toml::from_str(&text).map_err(|error| broken(error.message().to_owned()))?;
        let mut added = BTreeMap::new();
        for (cid, time) in record.added {
            let parsed = cid
                .parse()
                .map_err(|error| broken(format!("{cid:?}: {error}")))?;
            added.insert(parsed, time);
        }
        Ok(Self { added })
    }

    /// Whether a module is trusted.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.added.contains_key(cid)
    }

    /// When a module was added.
    pub fn added(&self, cid: &Cid) -> Option<&str> {
        self.added.get(cid).map(String::as_str)
    }

    /// The modules, in order of content ids.
    pub fn iter(&self) -> impl Iterator<Item = &Cid> {
        self.added.keys()
    }

    /// The modules, most recently added first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Cid> {
        let mut all: Vec<_> = self.added.iter().collect();
        all.sort_by(|a, b| (b.1, b.0).cmp(&(a.1, a.0)));
        all.into_iter().map(|(cid, _)| cid)
    }

    /// Removes a module from the list of a data directory. Returns whether it was listed. The
    /// caller holds the lock of the cache.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn remove(data_dir: &Path, cid: &Cid) -> Result<bool, LibraryError> {
        let mut trusted = Self::load(data_dir)?;
        if trusted.added.remove(cid).is_none() {
            return Ok(false);
        }
        trusted.write(data_dir)?;
        Ok(true)
    }

    fn write(&self, data_dir: &Path) -> Result<(), LibraryError> {
        let mut text = HEAD.to_owned();
        for (cid, time) in &self.added {
            writeln!(text, "{cid} = {time:?}").expect("a string takes all text");
        }
        let path = file(data_dir);
        replace(&path, text.as_bytes()).map_err(|error| LibraryError::file("write", path, error))
    }

    /// Adds a module to the list of a data directory. Returns whether it is new. The caller holds
    /// the lock of the cache.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn add(data_dir: &Path, cid: &Cid) -> Result<bool, LibraryError> {
        let mut trusted = Self::load(data_dir)?;
        if trusted.contains(cid) {
            return Ok(false);
        }
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        trusted.added.insert(*cid, now);
        trusted.write(data_dir)?;
        Ok(true)
    }
}
