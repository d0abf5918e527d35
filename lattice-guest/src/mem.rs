//! Comparing bytes, eight at a time. The compiler's own functions take a byte at a time, and comparing
//! keys is much of what a state machine does.
//!
//! The two functions must not share a body. LLVM merges functions with the same body, and then takes
//! what `memcmp` gives for what `bcmp` gives, which says only whether the bytes differ.

use core::cmp::Ordering;

const WORD: usize = size_of::<u64>();

/// The first pair of words that differ, of two blocks of so many bytes.
///
/// # Safety
/// So many bytes, a word or more, can be read at both.
#[inline(always)]
unsafe fn first_difference(a: *const u8, b: *const u8, len: usize) -> Option<[u64; 2]> {
    // The last word may overlap the one before, which is the same in both.
    let last = len - WORD;
    let mut at = 0;
    loop {
        // SAFETY: a word ends at `len` or before.
        let [a, b] = [a, b].map(|bytes| unsafe { bytes.add(at).cast::<u64>().read_unaligned() });
        if a != b {
            return Some([a, b]);
        }
        if at == last {
            return None;
        }
        at = (at + WORD).min(last);
    }
}

/// The first pair of bytes that differ.
///
/// # Safety
/// So many bytes can be read at both.
#[inline(always)]
unsafe fn first_byte(a: *const u8, b: *const u8, len: usize) -> Option<[u8; 2]> {
    let mut at = 0;
    while at < len {
        // SAFETY: as the caller promises.
        let [a, b] = [a, b].map(|bytes| unsafe { bytes.add(at).read() });
        if a != b {
            return Some([a, b]);
        }
        at += 1;
    }
    None
}

/// As in C. The linker takes it in the place of the compiler's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    let order = match len >= WORD {
        // Big endian words compare as their bytes do.
        true => match unsafe { first_difference(a, b, len) } {
            Some([a, b]) => u64::from_be(a).cmp(&u64::from_be(b)),
            None => Ordering::Equal,
        },
        false => match unsafe { first_byte(a, b, len) } {
            Some([a, b]) => a.cmp(&b),
            None => Ordering::Equal,
        },
    };
    i32::from(order as i8)
}

/// As in C: whether they differ.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    let differ = match len >= WORD {
        true => unsafe { first_difference(a, b, len) }.is_some(),
        false => unsafe { first_byte(a, b, len) }.is_some(),
    };
    i32::from(differ)
}
