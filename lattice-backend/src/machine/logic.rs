//! What the code of a store type says of itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use lattice_meta::{SchemaVersion, StoreType, StoreTypeError};

/// The longest logic version, in bytes.
pub const MAX_LOGIC_VERSION_BYTES: usize = 64;

/// A fingerprint of the code that computes a store's state. Its maintainer changes it whenever
/// that code changes, so that a store knows which logic its state was computed with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicVersion(String);

/// A text that is not a logic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogicError {
    /// The version is not 1 to 64 bytes of visible ASCII.
    #[error(
        "a logic version is 1 to {MAX_LOGIC_VERSION_BYTES} visible ASCII characters, found {found:?}"
    )]
    Version {
        /// What was given, at most 80 characters of it.
        found: String,
    },
    /// The store type does not follow the grammar of store types.
    #[error(transparent)]
    StoreType(#[from] StoreTypeError),
}

impl LogicVersion {
    /// Takes 1 to 64 visible ASCII characters, e.g. a name and a number or a hash.
    ///
    /// # Errors
    /// [`LogicError::Version`] for anything else.
    pub fn new(text: &str) -> Result<Self, LogicError> {
        let fits = (1..=MAX_LOGIC_VERSION_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(LogicError::Version {
                found: text.chars().take(80).collect(),
            })
        }
    }

    /// The fingerprint's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the code of a store type says of itself: the type, the layouts that it opens, its version,
/// and the versions that it computes the same state as.
///
/// ```
/// use lattice_backend::machine::Logic;
/// use lattice_meta::SchemaVersion;
///
/// let logic = Logic::new("org.example.chat", "chat/3")?
///     .schemas(SchemaVersion::new(1)..=SchemaVersion::new(2))
///     .equal_to("chat/2")?;
/// assert_eq!(logic.store_type().as_str(), "org.example.chat");
/// assert!(logic.computes_as("chat/2") && !logic.computes_as("chat/1"));
/// # Ok::<(), lattice_backend::machine::LogicError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logic {
    store_type: StoreType,
    schemas: RangeInclusive<SchemaVersion>,
    version: LogicVersion,
    equal: Vec<LogicVersion>,
}

impl Logic {
    /// Code for stores of a type, under a version, with the one layout 1.
    ///
    /// # Errors
    /// See [`LogicError`].
    pub fn new(store_type: &str, version: &str) -> Result<Self, LogicError> {
        let first = SchemaVersion::new(1);
        Ok(Self {
            store_type: store_type.parse()?,
            schemas: first..=first,
            version: LogicVersion::new(version)?,
            equal: Vec::new(),
        })
    }

    /// The layouts that it opens: it writes the last one, and migrates the earlier ones to it.
    #[must_use]
    pub fn schemas(mut self, schemas: RangeInclusive<SchemaVersion>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Names another version that computes the same state from every history, as the conformance
    /// suite has shown. A store that was computed by it opens without a replay, and keeps its
    /// record of that version, so that two programs with the two versions can take turns.
    ///
    /// # Errors
    /// [`LogicError::Version`].
    pub fn equal_to(mut self, version: &str) -> Result<Self, LogicError> {
        self.equal.push(LogicVersion::new(version)?);
        Ok(self)
    }

    /// The store type.
    pub fn store_type(&self) -> &StoreType {
        &self.store_type
    }

    /// The version of the code.
    pub fn version(&self) -> &LogicVersion {
        &self.version
    }

    /// The earliest layout that it opens.
    pub fn oldest_schema(&self) -> SchemaVersion {
        *self.schemas.start()
    }

    /// The layout that it writes.
    pub fn newest_schema(&self) -> SchemaVersion {
        *self.schemas.end()
    }

    /// The other versions that compute the same state.
    pub fn equals(&self) -> &[LogicVersion] {
        &self.equal
    }

    /// Whether a state that the recorded version computed is one that this code computes: it is
    /// this version, or one that this version is equal to.
    pub fn computes_as(&self, recorded: &str) -> bool {
        let mut known = core::iter::once(&self.version).chain(&self.equal);
        known.any(|version| version.as_str() == recorded)
    }
}
