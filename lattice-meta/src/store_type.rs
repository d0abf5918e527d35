//! The names of store logic.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The shortest store type, in bytes: two one-letter segments and a separator.
pub const MIN_STORE_TYPE_BYTES: usize = 3;
/// The longest store type, in bytes.
pub const MAX_STORE_TYPE_BYTES: usize = 128;

/// The name of the logic that interprets a store, e.g. `core:kvstore` or `org.example.chat`.
///
/// Grammar: `segment (separator segment)+`, where a segment is `[a-z0-9][a-z0-9_-]*` and a
/// separator is `.` or `:`, with at most one `:`; 3 to 128 bytes. Types under `core:` are
/// reserved for Lattice itself.
///
/// ```
/// use lattice_meta::StoreType;
/// assert!("acme.tools:board".parse::<StoreType>().is_ok());
/// assert!("chat".parse::<StoreType>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreType(Arc<str>);

/// Why a text is no store type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreTypeError {
    /// Shorter or longer than a store type can be.
    #[error(
        "a store type has {MIN_STORE_TYPE_BYTES} to {MAX_STORE_TYPE_BYTES} bytes, found {found}"
    )]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Not UTF-8.
    #[error("a store type is ASCII text, found a byte that is no UTF-8 at offset {offset}")]
    Encoding {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// A character that the grammar does not have at this place.
    #[error("a store type's segments are [a-z0-9][a-z0-9_-]*, found {found:?} at offset {offset}")]
    Character {
        /// The character.
        found: char,
        /// Its byte offset.
        offset: usize,
    },
    /// Ends with a separator.
    #[error("a store type ends with a segment, found a separator at its end")]
    TrailingSeparator,
    /// More than one `:`.
    #[error("a store type has at most one ':', found a second one at offset {offset}")]
    SecondColon {
        /// Byte offset of the second colon.
        offset: usize,
    },
    /// No separator at all.
    #[error("a store type has at least two segments, as in `org.example`, found one")]
    OneSegment,
}

impl StoreType {
    /// Checks a text against the grammar.
    pub fn new(text: &str) -> Result<Self, StoreTypeError> {
        check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Checks bytes, as they stand in a `meta` row, against the grammar.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreTypeError> {
        if !(MIN_STORE_TYPE_BYTES..=MAX_STORE_TYPE_BYTES).contains(&bytes.len()) {
            return Err(StoreTypeError::Length { found: bytes.len() });
        }
        let text = core::str::from_utf8(bytes).map_err(|error| StoreTypeError::Encoding {
            offset: error.valid_up_to(),
        })?;
        Self::new(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name stands under `core:`, which is reserved for Lattice's own types.
    pub fn is_core(&self) -> bool {
        self.0.starts_with("core:")
    }
}

fn check(text: &str) -> Result<(), StoreTypeError> {
    if !(MIN_STORE_TYPE_BYTES..=MAX_STORE_TYPE_BYTES).contains(&text.len()) {
        return Err(StoreTypeError::Length { found: text.len() });
    }
    let mut separators = 0_u32;
    let mut colon = false;
    let mut at_segment_start = true;
    for (offset, found) in text.char_indices() {
        match found {
            'a'..='z' | '0'..='9' => at_segment_start = false,
            '_' | '-' if !at_segment_start => {}
            '.' | ':' if !at_segment_start => {
                if found == ':' && core::mem::replace(&mut colon, true) {
                    return Err(StoreTypeError::SecondColon { offset });
                }
                separators += 1;
                at_segment_start = true;
            }
            _ => return Err(StoreTypeError::Character { found, offset }),
        }
    }
    if at_segment_start {
        return Err(StoreTypeError::TrailingSeparator);
    }
    if separators == 0 {
        return Err(StoreTypeError::OneSegment);
    }
    Ok(())
}

impl fmt::Display for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreType({})", self.0)
    }
}

impl FromStr for StoreType {
    type Err = StoreTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for StoreType {
    type Error = StoreTypeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl Serialize for StoreType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StoreType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed where the format can: nothing is allocated for a text that is refused.
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let text = Text::deserialize(deserializer)?;
        Self::new(&text.0).map_err(serde::de::Error::custom)
    }
}
