//! Fixed-size byte newtypes and their hexadecimal text.

use data_encoding::HEXLOWER_PERMISSIVE;

/// Why a text is not the hexadecimal form of an id, key or hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseHexError {
    /// The text has the wrong number of characters.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// Digits of the full form.
        expected: usize,
        /// Bytes in the given text.
        found: usize,
    },
    /// The text contains a character other than `0-9a-fA-F`.
    #[error("expected hexadecimal digits only, found something else at offset {offset}")]
    Digit {
        /// Byte offset of the first character that is not a digit.
        offset: usize,
    },
}

/// Decodes exactly `N` bytes from `2 * N` hexadecimal digits of either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    if text.len() != 2 * N {
        return Err(ParseHexError::Length {
            expected: 2 * N,
            found: text.len(),
        });
    }
    let mut bytes = [0; N];
    HEXLOWER_PERMISSIVE
        .decode_mut(text.as_bytes(), &mut bytes)
        .map_err(|partial| ParseHexError::Digit {
            offset: partial.error.position,
        })?;
    Ok(bytes)
}

/// Defines a newtype over `[u8; $len]`. It is ordered by its bytes, formatted and parsed as
/// lower-case hexadecimal, and serialized as raw bytes without a length (as hexadecimal text in
/// human-readable formats).
macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the raw bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Takes the raw bytes of a slice; `None` if its length differs from [`Self::LEN`].
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::ParseHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::hex::decode(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <alloc::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; $len]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
pub(crate) use byte_newtype;
