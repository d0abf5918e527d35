//! Short unsigned integers in rows: LEB128, seven bits per byte, least significant first.
//!
//! Numbers below 2^63 have exactly one encoding, the shortest, of 1 to 9 bytes; no other encoding
//! can be read.

use alloc::vec::Vec;

use unsigned_varint::{decode, encode};

/// The most bytes of an encoding.
pub const MAX_LEN: usize = 9;

/// Appends a number. A number of 2^63 or more cannot be read back.
pub fn append(number: u64, bytes: &mut Vec<u8>) {
    let mut buffer = encode::u64_buffer();
    bytes.extend_from_slice(encode::u64(number, &mut buffer));
}

/// Splits a number off the start of `rest`; `None` if there is no canonical encoding of one.
///
/// ```
/// use lattice_meta::varint;
/// let mut bytes = Vec::new();
/// varint::append(300, &mut bytes);
/// assert_eq!(bytes, [0b1010_1100, 0b10]);
/// assert_eq!(varint::take(&mut &bytes[..]), Some(300));
/// assert_eq!(varint::take(&mut &b"\x80\x00"[..]), None, "0 is one byte");
/// ```
#[inline]
pub fn take(rest: &mut &[u8]) -> Option<u64> {
    // Most numbers are short.
    if let Some((&byte, behind)) = rest.split_first()
        && byte < 0x80
    {
        *rest = behind;
        return Some(byte.into());
    }
    let (number, behind) = decode::u64(rest).ok()?;
    // A tenth byte can hold bits that the decoder ignores.
    if rest.len() - behind.len() > MAX_LEN {
        return None;
    }
    *rest = behind;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_have_one_encoding(number in (0..64_u32).prop_flat_map(|bits| 0..=u64::MAX >> 1 >> bits)) {
            let mut bytes = Vec::new();
            append(number, &mut bytes);
            prop_assert!(bytes.len() <= MAX_LEN);
            let mut rest = &bytes[..];
            prop_assert_eq!(take(&mut rest), Some(number));
            prop_assert_eq!(rest.len(), 0);
            for end in 0..bytes.len() {
                prop_assert_eq!(take(&mut &bytes[..end]), None);
            }
        }

        #[test]
        fn decoded_bytes_are_canonical(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            if let Some(number) = take(&mut rest) {
                let mut again = Vec::new();
                append(number, &mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
            } else {
                prop_assert_eq!(rest, &bytes[..]);
            }
        }
    }

    #[test]
    fn numbers_of_64_bits_are_refused() {
        for number in [1 << 63, u64::MAX] {
            let mut bytes = Vec::new();
            append(number, &mut bytes);
            assert_eq!(take(&mut &bytes[..]), None);
        }
        assert_eq!(take(&mut &[0xff; 9][..]), None);
        assert_eq!(
            take(&mut &[[0xff; 9].as_slice(), &[0x7f]].concat()[..]),
            None
        );
    }
}
