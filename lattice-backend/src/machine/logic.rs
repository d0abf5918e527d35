//! The self-description of a store type's code.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use lattice_meta::{SchemaVersion, StoreType, StoreTypeError};

/// The longest logic version, in bytes.
pub const MAX_LOGIC_VERSION_BYTES: usize = 64;

/// A fingerprint of the code that computes a store's state. Its maintainer changes it with every
/// change of that code, so that a store knows which logic computed its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicVersion(Cow<'static, str>);

/// Why a text does not name a logic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogicError {
    /// The version is not 1 to 64 bytes of visible ASCII.
    #[error(
        "a logic version is 1 to {MAX_LOGIC_VERSION_BYTES} visible ASCII characters, found {found:?}"
    )]
    Version {
        /// The given text, at most 80 characters.
        found: String,
    },
    /// The store type does not follow the grammar of store types.
    #[error(transparent)]
    StoreType(#[from] StoreTypeError),
}

impl LogicVersion {
    /// Takes 1 to 64 visible ASCII characters, for example a name and a number, or a hash.
    ///
    /// # Errors
    /// [`LogicError::Version`] for anything else.
    pub fn new(text: &str) -> Result<Self, LogicError> {
        if is_version(text.as_bytes()) {
            Ok(Self(String::from(text).into()))
        } else {
            Err(LogicError::Version {
                found: text.chars().take(80).collect(),
            })
        }
    }

    /// A version known at compile time, for constants and statics.
    ///
    /// # Panics
    /// If the text is not a logic version. In a constant, that is a compile error.
    pub const fn constant(text: &'static str) -> Self {
        assert!(
            is_version(text.as_bytes()),
            "a logic version is 1 to 64 visible ASCII characters"
        );
        Self(Cow::Borrowed(text))
    }

    /// The version's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_version(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() && text[at].is_ascii_graphic() {
        at += 1;
    }
    at == text.len() && 0 < at && at <= MAX_LOGIC_VERSION_BYTES
}

impl fmt::Display for LogicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Describes the code of a store type: the type, the layouts that it opens, its version, and the
/// other versions that compute the same state.
///
/// ```
/// use lattice_backend::machine::Logic;
/// use lattice_meta::SchemaVersion;
///
/// // In most store types it is a static, which costs nothing to make a machine with.
/// static LOGIC: Logic = Logic::constant("org.example.chat", "chat/3")
///     .schemas(SchemaVersion::new(1)..=SchemaVersion::new(2));
/// assert_eq!(LOGIC.store_type().as_str(), "org.example.chat");
///
/// let same = Logic::new("org.example.chat", "chat/4")?.equal_to("chat/3")?;
/// assert!(same.computes_as("chat/3") && !same.computes_as("chat/2"));
/// # Ok::<(), lattice_backend::machine::LogicError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logic {
    store_type: StoreType,
    schemas: RangeInclusive<SchemaVersion>,
    version: LogicVersion,
    equal: Cow<'static, [LogicVersion]>,
}

impl Logic {
    /// Describes code for stores of a type, with layout 1 only.
    ///
    /// # Errors
    /// See [`LogicError`].
    pub fn new(store_type: &str, version: &str) -> Result<Self, LogicError> {
        let first = SchemaVersion::new(1);
        Ok(Self {
            store_type: store_type.parse()?,
            schemas: first..=first,
            version: LogicVersion::new(version)?,
            equal: Cow::Borrowed(&[]),
        })
    }

    /// Code with a type and a version known at compile time, with layout 1 only; for constants and
    /// statics.
    ///
    /// # Panics
    /// If one of the texts is malformed. In a constant, that is a compile error.
    pub const fn constant(store_type: &'static str, version: &'static str) -> Self {
        Self::constant_with(store_type, version, &[])
    }

    /// As [`constant`](Self::constant), with the versions that it is [equal to](Self::equal_to).
    ///
    /// # Panics
    /// As above.
    pub const fn constant_with(
        store_type: &'static str,
        version: &'static str,
        equal_to: &'static [LogicVersion],
    ) -> Self {
        let first = SchemaVersion::new(1);
        Self {
            store_type: StoreType::constant(store_type),
            schemas: RangeInclusive::new(first, first),
            version: LogicVersion::constant(version),
            equal: Cow::Borrowed(equal_to),
        }
    }

    /// Sets the layouts that the code opens. It writes the last one, and migrates earlier ones to
    /// it.
    #[must_use]
    pub const fn schemas(mut self, schemas: RangeInclusive<SchemaVersion>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Names another version that computes the same state from every history, as the conformance
    /// suite has shown. A store with a state that this version computed opens without a replay, and
    /// keeps its record of that version, so that two programs with the two versions can alternate.
    ///
    /// # Errors
    /// [`LogicError::Version`].
    pub fn equal_to(mut self, version: &str) -> Result<Self, LogicError> {
        self.equal.to_mut().push(LogicVersion::new(version)?);
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

    /// The oldest layout that it opens.
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

    /// Whether this code computes the same state as the recorded version: it is that version or is
    /// equal to it.
    pub fn computes_as(&self, recorded: &str) -> bool {
        let mut known = core::iter::once(&self.version).chain(self.equals());
        known.any(|version| version.as_str() == recorded)
    }
}
