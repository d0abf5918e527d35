//! The file `known.toml`: how far each store had come when this data directory last vouched for it.
//!
//! A store has one line, so that a command finds its line without parsing the others: stores of the
//! directory by id, below them files elsewhere by their canonical path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lattice_backend::engine::read::StoreMark;
use lattice_meta::{OpId, StateHash, StoreId};

use crate::files::{DirLock, FilesError, MAX_WAIT, replace_bytes};

/// The file's name in the data directory.
pub(super) const KNOWN_FILE: &str = "known.toml";
const HEADER: &str = "# Stores that were created, verified or restored here: the number of ops, the \
                      newest op and the state hash\n# at that time. Lattice writes this file.\n";
const STORES: &str = "[stores]\n";
const FILES: &str = "[files]\n";

/// Which store an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A store of the data directory.
    Store(StoreId),
    /// A file elsewhere, by its canonical path.
    File(PathBuf),
}

impl Key {
    /// The start of the entry's line, which no other line has.
    fn start(&self) -> String {
        let mut start = String::from('"');
        let text = match self {
            Self::Store(store_id) => store_id.to_string(),
            Self::File(path) => match path.to_str() {
                Some(path) => path.to_owned(),
                None => path
                    .as_os_str()
                    .as_encoded_bytes()
                    .escape_ascii()
                    .to_string(),
            },
        };
        for c in text.chars() {
            match c {
                '"' | '\\' => start.extend(['\\', c]),
                c if c.is_control() => {
                    write!(start, "\\U{:08X}", u32::from(c)).expect("a string takes all");
                }
                c => start.push(c),
            }
        }
        start.push_str("\" = ");
        start
    }
}

/// Why the data directory vouches for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Created,
    Verified,
    Restored,
    Migrated,
    /// The user took the store without verification.
    Trusted,
    /// The store was here before the file was.
    Entered,
}

impl How {
    const ALL: [Self; 6] = [
        Self::Created,
        Self::Verified,
        Self::Restored,
        Self::Migrated,
        Self::Trusted,
        Self::Entered,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::Migrated => "migrated",
            Self::Trusted => "trusted",
            Self::Entered => "entered",
        }
    }
}

/// The contents of the file.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// `None` if there is no file.
    text: Option<String>,
}

impl Known {
    /// Reads the file. One that this user may not read vouches for nothing.
    pub(super) fn load(dir: &Path) -> Result<Self, FilesError> {
        match Self::read(dir) {
            Err(error) if error.io_kind() == Some(io::ErrorKind::PermissionDenied) => Ok(Self {
                text: Some(String::new()),
            }),
            read => read,
        }
    }

    fn read(dir: &Path) -> Result<Self, FilesError> {
        let path = dir.join(KNOWN_FILE);
        match fs::read(&path) {
            // Bytes that are no text are in lines that vouch for nothing.
            Ok(bytes) => Ok(Self {
                text: Some(String::from_utf8_lossy(&bytes).into_owned()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(FilesError::io("read", path, source)),
        }
    }

    /// Whether there is a file.
    pub(super) fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// Whether an entry is about this store or about a file of it.
    pub(super) fn names(&self, store_id: StoreId) -> bool {
        let id = format!("\"{store_id}\"");
        self.text.as_ref().is_some_and(|text| text.contains(&id))
    }

    /// The entry of a store. A line that cannot be read vouches for nothing.
    pub(super) fn mark(&self, key: &Key) -> Option<StoreMark> {
        let (text, start) = (self.text.as_deref()?, key.start());
        // The first line is a comment.
        let at = text.find(&format!("\n{start}"))?;
        let value = text.get(at + 1 + start.len()..)?;
        parse(key, value.lines().next()?)
    }

    /// The stores that were created here.
    pub(super) fn created(&self) -> Vec<StoreId> {
        let end = format!("how = \"{}\" }}", How::Created.name());
        let lines = self.text.iter().flat_map(|text| text.lines());
        let created = lines.filter(|line| line.ends_with(&end));
        created
            .filter_map(|line| line.strip_prefix('"')?.split_once('"')?.0.parse().ok())
            .collect()
    }

    /// All lines of entries: those of stores, and those of files.
    pub(super) fn lines(&self) -> Lines {
        let mut lines = Lines::default();
        for line in self.text.iter().flat_map(|text| text.lines()) {
            // A path may have such characters, too; a value has them only where it begins.
            if let Some(end) = line.rfind("\" = {").filter(|_| line.starts_with('"')) {
                let (start, value) = line.split_at(end + "\" = ".len());
                lines.put(start.to_owned(), value.to_owned());
            }
        }
        lines
    }
}

/// Parses the value of an entry: an inline table, as [`value`] writes it.
fn parse(key: &Key, text: &str) -> Option<StoreMark> {
    let fields = text.strip_prefix("{ ")?.strip_suffix(" }")?.split(", ");
    let mut found = BTreeMap::new();
    for field in fields {
        let (name, value) = field.split_once(" = ")?;
        if found.insert(name, value).is_some() {
            return None;
        }
    }
    let quoted = |text: &'_ str| Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let ops = found.remove("ops")?.parse().ok()?;
    let newest: Option<OpId> = match found.remove("newest") {
        Some(id) => Some(quoted(id)?.parse().ok()?),
        None => None,
    };
    let state_hash: StateHash = quoted(found.remove("state")?)?.parse().ok()?;
    let how = quoted(found.remove("how")?)?;
    let store_id = match (key, found.remove("store")) {
        (Key::Store(store_id), None) => *store_id,
        (Key::File(_), Some(store_id)) => quoted(store_id)?.parse().ok()?,
        _ => return None,
    };
    let is_complete = found.is_empty() && How::ALL.iter().any(|known| known.name() == how);
    // An entry of a store with ops names one.
    (is_complete && newest.is_some() == (ops > 0)).then_some(StoreMark {
        store_id,
        ops,
        newest,
        state_hash,
    })
}

/// The value of an entry.
fn value(key: &Key, mark: &StoreMark, how: How) -> String {
    let mut value = format!("{{ ops = {}", mark.ops);
    if let Some(newest) = mark.newest {
        value.push_str(&format!(", newest = \"{newest}\""));
    }
    value.push_str(&format!(", state = \"{}\"", mark.state_hash));
    if matches!(key, Key::File(_)) {
        value.push_str(&format!(", store = \"{}\"", mark.store_id));
    }
    value.push_str(&format!(", how = \"{}\" }}", how.name()));
    value
}

/// The lines of the file, each as its start and its value.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stores: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Lines {
    /// The entry of a store, for callers that need those of many.
    pub(super) fn mark(&self, key: &Key) -> Option<StoreMark> {
        let start = key.start();
        let value = self.stores.get(&start).or_else(|| self.files.get(&start));
        parse(key, value?)
    }

    fn put(&mut self, start: String, value: String) {
        let key = start.trim_start_matches('"').split('"').next();
        let is_store = key.is_some_and(|key| key.parse::<StoreId>().is_ok());
        let lines = match is_store {
            true => &mut self.stores,
            false => &mut self.files,
        };
        lines.insert(start, value);
    }

    /// Sets an entry.
    pub(super) fn set(&mut self, key: &Key, mark: &StoreMark, how: How) {
        self.put(key.start(), value(key, mark, how));
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &Key) {
        let start = key.start();
        self.stores.remove(&start);
        self.files.remove(&start);
    }

    fn text(&self) -> String {
        let mut text = String::from(HEADER);
        for (head, lines) in [(STORES, &self.stores), (FILES, &self.files)] {
            if lines.is_empty() {
                continue;
            }
            text.push_str(head);
            for (start, value) in lines {
                text.push_str(start);
                text.push_str(value);
                text.push('\n');
            }
        }
        text
    }
}

/// Updates the file atomically, under the lock of the data directory: other processes that update
/// it wait, and a reader sees the contents before or after.
pub(super) fn update(
    dir: &Path,
    change: impl FnOnce(&Known, &mut Lines),
) -> Result<(), FilesError> {
    let _locked = DirLock::take(dir, MAX_WAIT)?;
    let known = Known::read(dir)?;
    let mut lines = known.lines();
    change(&known, &mut lines);
    let text = lines.text();
    if known.text.as_ref() == Some(&text) {
        return Ok(());
    }
    replace_bytes(&dir.join(KNOWN_FILE), text.as_bytes())
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
