//! The names of store types.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The shortest store type, in bytes: two one-letter segments and a separator.
pub const MIN_STORE_TYPE_BYTES: usize = 3;
/// The longest store type, in bytes.
pub const MAX_STORE_TYPE_BYTES: usize = 128;

/// The name of the logic that interprets a store, for example `core:kvstore` or `org.example.chat`.
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
#[derive(Clone)]
pub struct StoreType(Text);

#[derive(Clone)]
enum Text {
    Constant(&'static str),
    Shared(Arc<str>),
}

/// Why a text is not a store type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreTypeError {
    /// The text is too short or too long.
    #[error(
        "a store type has {MIN_STORE_TYPE_BYTES} to {MAX_STORE_TYPE_BYTES} bytes, found {found}"
    )]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The bytes are not UTF-8.
    #[error("a store type is ASCII text, found a byte that is not UTF-8 at offset {offset}")]
    Encoding {
        /// Offset of the first invalid byte.
        offset: usize,
    },
    /// The grammar does not allow a character at its position.
    #[error("a store type's segments are [a-z0-9][a-z0-9_-]*, found {found:?} at offset {offset}")]
    Character {
        /// The character.
        found: char,
        /// Its byte offset.
        offset: usize,
    },
    /// The text ends with a separator.
    #[error("a store type ends with a segment, found a separator at its end")]
    TrailingSeparator,
    /// The text has more than one `:`.
    #[error("a store type has at most one ':', found a second one at offset {offset}")]
    SecondColon {
        /// Byte offset of the second colon.
        offset: usize,
    },
    /// The text has no separator.
    #[error("a store type has at least two segments, as in `org.example`, found one")]
    OneSegment,
}

impl StoreType {
    /// Checks a text against the grammar.
    pub fn new(text: &str) -> Result<Self, StoreTypeError> {
        check(text)?;
        Ok(Self(Text::Shared(Arc::from(text))))
    }

    /// A store type known at compile time, for constants and statics.
    ///
    /// ```
    /// # use lattice_meta::StoreType;
    /// const CHAT: StoreType = StoreType::constant("org.example.chat");
    /// assert_eq!(CHAT.as_str(), "org.example.chat");
    /// ```
    ///
    /// # Panics
    /// If the text is not a store type. In a constant, that is a compile error.
    pub const fn constant(text: &'static str) -> Self {
        assert!(
            fault(text.as_bytes()).is_none(),
            "a store type has 3 to 128 bytes, two or more segments of [a-z0-9][a-z0-9_-]*, and at most one ':'"
        );
        Self(Text::Constant(text))
    }

    /// Checks the bytes of a `meta` row against the grammar.
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
        match &self.0 {
            Text::Constant(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// Whether the name starts with `core:`, which is reserved for Lattice's own types.
    pub fn is_core(&self) -> bool {
        self.as_str().starts_with("core:")
    }
}

/// How and where a text violates the grammar.
enum Fault {
    Length,
    Character(usize),
    TrailingSeparator,
    SecondColon(usize),
    OneSegment,
}

const fn fault(text: &[u8]) -> Option<Fault> {
    if text.len() < MIN_STORE_TYPE_BYTES || text.len() > MAX_STORE_TYPE_BYTES {
        return Some(Fault::Length);
    }
    let (mut separators, mut colon, mut at_segment_start) = (0_usize, false, true);
    let mut offset = 0;
    while offset < text.len() {
        match text[offset] {
            b'a'..=b'z' | b'0'..=b'9' => at_segment_start = false,
            b'_' | b'-' if !at_segment_start => {}
            b':' if colon && !at_segment_start => return Some(Fault::SecondColon(offset)),
            separator @ (b'.' | b':') if !at_segment_start => {
                colon = colon || separator == b':';
                separators += 1;
                at_segment_start = true;
            }
            _ => return Some(Fault::Character(offset)),
        }
        offset += 1;
    }
    match separators {
        _ if at_segment_start => Some(Fault::TrailingSeparator),
        0 => Some(Fault::OneSegment),
        _ => None,
    }
}

fn check(text: &str) -> Result<(), StoreTypeError> {
    Err(match fault(text.as_bytes()) {
        None => return Ok(()),
        Some(Fault::Length) => StoreTypeError::Length { found: text.len() },
        Some(Fault::Character(offset)) => StoreTypeError::Character {
            // All bytes before the first invalid one are ASCII, so a character starts there.
            found: text[offset..].chars().next().expect("it is in the text"),
            offset,
        },
        Some(Fault::TrailingSeparator) => StoreTypeError::TrailingSeparator,
        Some(Fault::SecondColon(offset)) => StoreTypeError::SecondColon { offset },
        Some(Fault::OneSegment) => StoreTypeError::OneSegment,
    })
}

impl PartialEq for StoreType {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for StoreType {}

impl PartialOrd for StoreType {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StoreType {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for StoreType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreType({})", self.as_str())
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
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StoreType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrows where the format can, so that nothing is allocated for a text that is refused.
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let text = Text::deserialize(deserializer)?;
        Self::new(&text.0).map_err(serde::de::Error::custom)
    }
}
