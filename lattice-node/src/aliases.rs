//! Human-readable store names, kept in one small file. Losing the file loses no data.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lattice_meta::StoreId;
use lattice_registry::files::{DirLock, FilesError, MAX_WAIT, replace_bytes};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The file's name in the data directory.
pub const ALIASES_FILE: &str = "aliases.toml";
/// The longest alias, in bytes.
pub const MAX_ALIAS_BYTES: usize = 64;
/// The first line of the file.
const HEADER: &str = "# Names of stores, for people. Losing this file loses no data.\n";

/// A name for a store: letters and digits of any script, their marks, `.`, `-` and `_`, at most 64
/// bytes in Unicode's normalization form C, to which it is converted. It begins with a letter, a
/// digit or `_`, and is not a store id.
///
/// A name is what the user of this data directory has given, never what a replica says. It can be
/// the beginning of an id: then it means the store of that name.
///
/// ```
/// use lattice_node::Alias;
///
/// assert!("my.store".parse::<Alias>().is_ok());
/// assert!("cafe".parse::<Alias>().is_ok());
/// assert_eq!("cafe\u{301}".parse::<Alias>()?, "café".parse()?);
/// assert!("core:kvstore".parse::<Alias>().is_err()); // could be a type
/// assert!("../etc".parse::<Alias>().is_err()); // could be a path
/// # Ok::<(), lattice_node::AliasError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alias(String);

impl Alias {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Alias {
    type Err = AliasError;

    fn from_str(text: &str) -> Result<Self, AliasError> {
        let refused = |expected| {
            Err(AliasError::Form {
                found: text.chars().take(80).collect(),
                expected,
            })
        };
        let name: String = text.nfc().take(MAX_ALIAS_BYTES + 1).collect();
        if name.is_empty() || name.len() > MAX_ALIAS_BYTES {
            return refused("1 to 64 bytes");
        }
        let begins = |letter: char| letter.is_alphanumeric() || letter == '_';
        let fits = |letter: char| {
            begins(letter) || is_combining_mark(letter) || matches!(letter, '-' | '.')
        };
        if !name.starts_with(begins) || !name.chars().all(fits) || name.contains(is_invisible) {
            return refused("letters, digits, `_`, `-` and `.`, and no `-` or `.` at the start");
        }
        if name.parse::<StoreId>().is_ok() {
            return refused("a name that is not a store id");
        }
        Ok(Self(name))
    }
}

/// Letters and marks that are not displayed, so that two names could look the same.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}')
}

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What is wrong with an alias, or with the aliases file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// The text is not a valid alias.
    #[error("{found:?} is not a valid alias: expected {expected}")]
    Form {
        /// The text as given.
        found: String,
        /// The rule for aliases.
        expected: &'static str,
    },
    /// The alias already names another store.
    #[error(
        "alias {alias} already names store {store_id}; `lattice alias remove {alias}` frees it"
    )]
    Taken {
        /// The alias.
        alias: Alias,
        /// The store that it names.
        store_id: StoreId,
    },
    /// There is no such alias.
    #[error("no alias {alias}; `lattice alias list` lists all aliases")]
    NotFound {
        /// The alias.
        alias: Alias,
    },
    /// The file's contents are invalid.
    #[error("{} is not a valid alias file ({found}); correct it, or delete it to start without aliases", path.display())]
    NotAliases {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// The file cannot be locked or replaced.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The file cannot be read.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// The aliases of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aliases {
    #[serde(default)]
    aliases: BTreeMap<Alias, StoreId>,
}

impl Aliases {
    /// Reads the aliases of a data directory. A missing file means no aliases.
    ///
    /// # Errors
    /// The file cannot be read, or is not an aliases file.
    pub fn load(dir: &Path) -> Result<Self, AliasError> {
        let path = dir.join(ALIASES_FILE);
        let failed = |source| AliasError::Io {
            doing: "read",
            path: path.clone(),
            source,
        };
        let not_aliases = |found: &str| AliasError::NotAliases {
            path: path.clone(),
            found: found.to_owned(),
        };
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => return Err(not_aliases("it is not a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::none()),
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| not_aliases("it is not UTF-8"))?;
        toml::from_str(text).map_err(|error| not_aliases(error.message()))
    }

    /// An empty set of aliases.
    pub fn none() -> Self {
        Self::default()
    }

    /// The store that an alias names.
    pub fn store(&self, alias: &str) -> Option<StoreId> {
        // A text that is not a valid alias names no store.
        self.aliases.get(&alias.parse().ok()?).copied()
    }

    /// The first of a store's aliases, in name order.
    pub fn alias_of(&self, store_id: StoreId) -> Option<&Alias> {
        self.iter()
            .find(|(_, id)| *id == store_id)
            .map(|(alias, _)| alias)
    }

    /// All aliases, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&Alias, StoreId)> {
        self.aliases
            .iter()
            .map(|(alias, store_id)| (alias, *store_id))
    }

    /// Gives a store of a data directory an alias. Setting an alias that the store already has
    /// succeeds.
    ///
    /// # Errors
    /// [`AliasError::Taken`] if another store has the alias, and errors of reading and writing.
    pub fn set(dir: &Path, alias: &Alias, store_id: StoreId) -> Result<(), AliasError> {
        Self::update(dir, |aliases| {
            match aliases.insert(alias.clone(), store_id) {
                Some(other) if other != store_id => Err(AliasError::Taken {
                    alias: alias.clone(),
                    store_id: other,
                }),
                _ => Ok(()),
            }
        })
    }

    /// Removes an alias and returns the store that it named.
    ///
    /// # Errors
    /// [`AliasError::NotFound`], and errors of reading and writing.
    pub fn remove(dir: &Path, alias: &Alias) -> Result<StoreId, AliasError> {
        Self::update(dir, |aliases| {
            aliases.remove(alias).ok_or_else(|| AliasError::NotFound {
                alias: alias.clone(),
            })
        })
    }

    /// Lets all aliases of a store name another one, in one update. Returns them in name order.
    ///
    /// # Errors
    /// Errors of reading and writing.
    pub fn move_all(dir: &Path, from: StoreId, to: StoreId) -> Result<Vec<Alias>, AliasError> {
        Self::update(dir, |aliases| {
            let named = aliases.iter_mut().filter(|(_, id)| **id == from);
            let moved = named.map(|(alias, id)| {
                *id = to;
                alias.clone()
            });
            Ok(moved.collect())
        })
    }

    /// Updates the file atomically, under the lock of the directory: other processes that update it
    /// wait, at most ten seconds, and a reader sees the contents before or after.
    fn update<T>(
        dir: &Path,
        change: impl FnOnce(&mut BTreeMap<Alias, StoreId>) -> Result<T, AliasError>,
    ) -> Result<T, AliasError> {
        let _locked = DirLock::take(dir, MAX_WAIT)?;
        let mut all = Self::load(dir)?;
        let before = all.clone();
        let changed = change(&mut all.aliases)?;
        if all != before {
            let text = toml::to_string(&all).expect("names and ids are TOML");
            replace_bytes(&dir.join(ALIASES_FILE), [HEADER, &text].concat().as_bytes())?;
        }
        Ok(changed)
    }
}
