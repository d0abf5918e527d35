//! Content ids: hashes that name bytes.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Version 1, content as raw bytes.
const VERSION: u8 = 0x01;
const RAW: u8 = 0x55;
const DIGEST_LEN: u8 = 32;
/// The multibase prefix of lower-case base32 without padding.
const BASE32: char = 'b';
/// The length of the text: the prefix, and 36 bytes in base32.
const TEXT_LEN: usize = 59;

/// The hash function of a content id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CidHash {
    /// BLAKE3 with 256 bits, which Lattice uses to name code.
    Blake3,
    /// SHA2-256, which other systems use.
    Sha256,
}

impl CidHash {
    /// The hash's code in the multicodec table.
    const fn code(self) -> u8 {
        match self {
            Self::Blake3 => 0x1e,
            Self::Sha256 => 0x12,
        }
    }
}

/// A content id, version 1, of raw bytes with a 256-bit hash; see
/// <https://github.com/multiformats/cid>. The text is 59 characters of lower-case base32, which fit
/// into a logic version and a file name.
///
/// ```
/// use lattice_meta::Cid;
///
/// let cid = Cid::of(b"code");
/// assert!(cid.is_of(b"code") && !cid.is_of(b"Code"));
/// assert_eq!(cid.to_string().parse::<Cid>()?, cid);
/// # Ok::<(), lattice_meta::CidError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    hash: CidHash,
    digest: [u8; 32],
}

/// Why bytes or a text are not a content id that Lattice accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// The text has the wrong length.
    #[error("a content id has {TEXT_LEN} characters, found {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The text is not lower-case base32 with the prefix.
    #[error("a content id is `b` and lower-case base32, found something else at offset {offset}")]
    Base32 {
        /// Byte offset of the first invalid character.
        offset: usize,
    },
    /// The bytes have the wrong length.
    #[error("a content id has {} bytes, found {found}", Cid::LEN)]
    Bytes {
        /// Bytes found.
        found: usize,
    },
    /// The id has an unsupported version, content type, hash function or digest length.
    #[error(
        "expected a content id of version 1, raw bytes (0x55), BLAKE3 (0x1e) or SHA2-256 (0x12) of \
         32 bytes, found the header {found:02x?}"
    )]
    Unsupported {
        /// The first four bytes.
        found: [u8; 4],
    },
}

impl Cid {
    /// Length in bytes.
    pub const LEN: usize = 36;

    /// The content id of `content`, with BLAKE3.
    pub fn of(content: &[u8]) -> Self {
        Self::from_digest(CidHash::Blake3, *blake3::hash(content).as_bytes())
    }

    /// The content id for a digest.
    pub const fn from_digest(hash: CidHash, digest: [u8; 32]) -> Self {
        Self { hash, digest }
    }

    /// The hash function.
    pub const fn hash(&self) -> CidHash {
        self.hash
    }

    /// The digest of the content.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether this is the content id of `content`.
    pub fn is_of(&self, content: &[u8]) -> bool {
        match self.hash {
            CidHash::Blake3 => blake3::hash(content) == self.digest,
            CidHash::Sha256 => Sha256::digest(content)[..] == self.digest,
        }
    }

    /// The binary form: version, content type, hash, digest length, digest.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&[VERSION, RAW, self.hash.code(), DIGEST_LEN]);
        bytes[4..].copy_from_slice(&self.digest);
        bytes
    }

    /// Decodes the binary form.
    ///
    /// # Errors
    /// [`CidError::Bytes`] and [`CidError::Unsupported`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        let bytes: &[u8; Self::LEN] = bytes
            .try_into()
            .map_err(|_| CidError::Bytes { found: bytes.len() })?;
        let (header, digest) = bytes
            .split_first_chunk::<4>()
            .expect("36 bytes begin with 4");
        let hash = [CidHash::Blake3, CidHash::Sha256].into_iter();
        let mut hash = hash.filter(|hash| *header == [VERSION, RAW, hash.code(), DIGEST_LEN]);
        let hash = hash
            .next()
            .ok_or(CidError::Unsupported { found: *header })?;
        let digest = digest.try_into().expect("36 bytes less 4 are 32");
        Ok(Self { hash, digest })
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TEXT_LEN);
        text.push(BASE32);
        BASE32_NOPAD.encode_append(&self.to_bytes(), &mut text);
        text.make_ascii_lowercase();
        f.pad(&text)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

impl FromStr for Cid {
    type Err = CidError;

    /// Parses the canonical text of an id; refuses other bases, upper case and padding.
    fn from_str(text: &str) -> Result<Self, CidError> {
        if text.len() != TEXT_LEN {
            return Err(CidError::Length { found: text.len() });
        }
        let is_base32 = |byte: &u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
        let broken = match text.strip_prefix(BASE32) {
            None => Some(0),
            Some(digits) => digits
                .bytes()
                .position(|byte| !is_base32(&byte))
                .map(|at| at + 1),
        };
        if let Some(offset) = broken {
            return Err(CidError::Base32 { offset });
        }
        let digits = text[1..].to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(digits.as_bytes());
        let bytes = bytes.map_err(|error| CidError::Base32 {
            offset: error.position + 1,
        })?;
        Self::from_bytes(&bytes)
    }
}
