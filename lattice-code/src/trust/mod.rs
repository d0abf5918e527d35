//! What the user trusts: `code.toml` in the data directory.
//!
//! The file belongs to the user: a change keeps its comments, its order and its layout.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lattice_backend::clock::Time;
use lattice_meta::{Cid, PubKey, StoreType};
use lattice_registry::files::replace_bytes;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::error::LibraryError;

const HEAD: &str = "\
# Code that may run here.
#
# [added]: modules by content id, and when `lattice code add FILE` added them.
# [types.\"TYPE\"]: `publisher`, whose releases of the type may run; `policy`, ask, follow or pinned;
# `pin`, the only module of a pinned type; `release`, the newest one used, which never decreases.

[added]
";

/// How releases of a type are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Policy {
    /// `lattice upgrade` asks before a store changes to another release.
    #[default]
    Ask,
    /// `lattice upgrade` does not ask.
    Follow,
    /// Only the pinned module runs.
    Pinned,
}

impl Policy {
    /// The name in `code.toml` and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Follow => "follow",
            Self::Pinned => "pinned",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the user has decided about a store type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TypeTrust {
    /// The author whose releases of the type may run.
    pub publisher: Option<PubKey>,
    /// How releases are chosen.
    pub policy: Policy,
    /// The only module that may run; there is one if and only if the policy is
    /// [`Policy::Pinned`].
    pub pin: Option<Cid>,
    /// The greatest number of a release that a store here uses or used. Older ones are not chosen.
    pub release: Option<u64>,
}

/// What the user trusts: modules, and publishers of store types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// Modules, each with the time when it was added, as RFC 3339 text.
    added: BTreeMap<Cid, String>,
    types: BTreeMap<StoreType, TypeTrust>,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("code.toml")
}

impl Trusted {
    /// Reads the list of a data directory; without a file, the list is empty.
    ///
    /// # Errors
    /// [`LibraryError::Files`], and [`LibraryError::Trust`] for a malformed file.
    pub fn load(data_dir: &Path) -> Result<Self, LibraryError> {
        Ok(read(&file(data_dir))?.1)
    }

    /// Whether a module was added.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.added.contains_key(cid)
    }

    /// When a module was added.
    pub fn added(&self, cid: &Cid) -> Option<&str> {
        self.added.get(cid).map(String::as_str)
    }

    /// The added modules, in order of content ids.
    pub fn iter(&self) -> impl Iterator<Item = &Cid> {
        self.added.keys()
    }

    /// The added modules, most recently added first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Cid> {
        let mut all: Vec<_> = self.added.iter().collect();
        all.sort_by(|a, b| (b.1, b.0).cmp(&(a.1, a.0)));
        all.into_iter().map(|(cid, _)| cid)
    }

    /// What the user has decided about a type; the default without a decision.
    pub fn of_type(&self, store_type: &StoreType) -> TypeTrust {
        match self.types.get(store_type) {
            Some(trust) => trust.clone(),
            None => TypeTrust::default(),
        }
    }

    /// The types that the user has decided about, in order.
    pub fn types(&self) -> impl Iterator<Item = (&StoreType, &TypeTrust)> {
        self.types.iter()
    }

    /// Whether a module is the pin of a type.
    pub fn is_pin(&self, cid: &Cid) -> bool {
        self.types.values().any(|trust| trust.pin == Some(*cid))
    }

    /// Adds a module to the list of a data directory. Returns whether it is new. The caller holds
    /// the lock of the cache, as for all changes.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn add(data_dir: &Path, cid: &Cid) -> Result<bool, LibraryError> {
        change(data_dir, |document, trusted| {
            if trusted.contains(cid) {
                return false;
            }
            let now = Time::now().to_string();
            let added = table(document.as_item_mut(), "added", Table::new());
            entries(added).insert(&cid.to_string(), value(now));
            true
        })
    }

    /// Removes a module from the list of a data directory. Returns whether it was listed.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn remove(data_dir: &Path, cid: &Cid) -> Result<bool, LibraryError> {
        change(data_dir, |document, trusted| {
            let is_listed = trusted.contains(cid);
            if is_listed {
                let added = table(document.as_item_mut(), "added", Table::new());
                entries(added).remove(&cid.to_string());
            }
            is_listed
        })
    }

    /// Replaces what a data directory has about a type. Returns whether that is a change.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(crate) fn set_type(
        data_dir: &Path,
        store_type: &StoreType,
        trust: &TypeTrust,
    ) -> Result<bool, LibraryError> {
        change(data_dir, |document, trusted| {
            if trusted.of_type(store_type) == *trust {
                return false;
            }
            // The header of each type suffices.
            let mut without_header = Table::new();
            without_header.set_implicit(true);
            let types = table(document.as_item_mut(), "types", without_header);
            if *trust == TypeTrust::default() {
                entries(types).remove(store_type.as_str());
                return true;
            }
            let entry = entries(table(types, store_type.as_str(), Table::new()));
            set(
                entry,
                "publisher",
                trust.publisher.map(|key| key.to_string()),
            );
            set(entry, "policy", Some(trust.policy.to_string()));
            set(entry, "pin", trust.pin.map(|cid| cid.to_string()));
            // The library leaves out releases with greater numbers.
            let most = |number| i64::try_from(number).unwrap_or(i64::MAX);
            set(entry, "release", trust.release.map(most));
            true
        })
    }
}

/// The table with this name, made if it is missing. A table written inline makes what is inserted
/// inline as well.
fn table<'a>(parent: &'a mut Item, name: &str, new: Table) -> &'a mut Item {
    let tables = entries(parent);
    if tables.get(name).is_none() {
        tables.insert(name, Item::Table(new));
    }
    tables.get_mut(name).expect("it was inserted")
}

fn entries(table: &mut Item) -> &mut dyn TableLike {
    table
        .as_table_like_mut()
        .expect("`parse` accepts nothing else here")
}

fn set(table: &mut dyn TableLike, key: &str, to: Option<impl Into<toml_edit::Value>>) {
    let Some(to) = to else {
        table.remove(key);
        return;
    };
    let mut to = to.into();
    // What stands before a key, and after a value on its line, stays.
    match table.get_mut(key) {
        Some(item) => {
            if let Some(old) = item.as_value() {
                *to.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(to);
        }
        None => {
            table.insert(key, Item::Value(to));
        }
    }
}

/// Reads the file. A missing one is what a change begins with.
fn read(path: &Path) -> Result<(DocumentMut, Trusted), LibraryError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.into(),
        Err(error) => return Err(LibraryError::file("read", path, error)),
    };
    let broken = |reason: String| LibraryError::Trust {
        path: path.to_path_buf(),
        reason,
    };
    let text = String::from_utf8(bytes).map_err(|error| broken(error.to_string()))?;
    let document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| broken(error.message().to_owned()))?;
    let trusted = parse(&document).map_err(broken)?;
    Ok((document, trusted))
}

/// Changes the file, if `edit` says that it has changed the document.
fn change(
    data_dir: &Path,
    edit: impl FnOnce(&mut DocumentMut, &Trusted) -> bool,
) -> Result<bool, LibraryError> {
    let path = file(data_dir);
    let (mut document, trusted) = read(&path)?;
    if !edit(&mut document, &trusted) {
        return Ok(false);
    }
    replace_bytes(&path, document.to_string().as_bytes())?;
    Ok(true)
}

fn parse(document: &DocumentMut) -> Result<Trusted, String> {
    let mut trusted = Trusted::default();
    for (name, item) in document.iter() {
        let entries = tables(item, name)?;
        match name {
            "added" => {
                for (cid, time) in entries.iter() {
                    let key = cid.parse().map_err(|error| format!("{cid:?}: {error}"))?;
                    let time = text(time, cid)?;
                    trusted.added.insert(key, time.to_owned());
                }
            }
            "types" => {
                for (name, item) in entries.iter() {
                    let store_type = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
                    let trust = parse_type(tables(item, name)?)
                        .map_err(|reason| format!("type {name}: {reason}"))?;
                    trusted.types.insert(store_type, trust);
                }
            }
            _ => {
                return Err(format!(
                    "expected the tables `added` and `types`, found `{name}`"
                ));
            }
        }
    }
    Ok(trusted)
}

fn parse_type(entries: &dyn TableLike) -> Result<TypeTrust, String> {
    let (mut trust, mut policy) = (TypeTrust::default(), None);
    for (key, item) in entries.iter() {
        match key {
            "publisher" => trust.publisher = Some(parsed(item, key)?),
            "pin" => trust.pin = Some(parsed(item, key)?),
            "policy" => {
                policy = Some(match text(item, key)? {
                    "ask" => Policy::Ask,
                    "follow" => Policy::Follow,
                    "pinned" => Policy::Pinned,
                    other => {
                        return Err(format!(
                            "expected the policy ask, follow or pinned, found {other:?}"
                        ));
                    }
                });
            }
            "release" => {
                let number = item
                    .as_integer()
                    .and_then(|number| u64::try_from(number).ok());
                let number = number.ok_or("expected `release` to be a number from 0")?;
                trust.release = Some(number);
            }
            _ => {
                return Err(format!(
                    "expected publisher, policy, pin and release, found `{key}`"
                ));
            }
        }
    }
    trust.policy = match (policy, trust.pin) {
        (Some(Policy::Pinned) | None, Some(_)) => Policy::Pinned,
        (Some(Policy::Pinned), None) => return Err("the policy pinned needs a `pin`".into()),
        (Some(other), Some(_)) => {
            return Err(format!("a `pin` needs the policy pinned, found {other}"));
        }
        (Some(other), None) => other,
        (None, None) => Policy::Ask,
    };
    Ok(trust)
}

fn tables<'a>(item: &'a Item, name: &str) -> Result<&'a dyn TableLike, String> {
    let entries = item.as_table_like();
    entries.ok_or_else(|| format!("expected a table `{name}`, found {}", item.type_name()))
}

fn text<'a>(item: &'a Item, key: &str) -> Result<&'a str, String> {
    let found = item.as_str();
    found.ok_or_else(|| format!("expected `{key}` to be text, found {}", item.type_name()))
}

fn parsed<T: FromStr<Err: fmt::Display>>(item: &Item, key: &str) -> Result<T, String> {
    let text = text(item, key)?;
    text.parse().map_err(|error| format!("`{key}`: {error}"))
}

#[cfg(test)]
mod tests;
