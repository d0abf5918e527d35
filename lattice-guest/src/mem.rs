//! Compares bytes, eight at a time. The compiler's own functions compare one byte at a time, and a
//! state machine spends much of its time on comparing keys.
//!
//! The two functions must not share a body. LLVM merges functions with equal bodies, and then takes
//! the result of `memcmp` for that of `bcmp`, which says only whether the bytes differ.

use core::cmp::Ordering;

const WORD: usize = size_of::<u64>();

/// The first pair of differing words of two blocks of `len` bytes.
///
/// # Safety
/// `len` bytes, a word or more, are readable at both addresses.
#[inline(always)]
unsafe fn first_difference(a: *const u8, b: *const u8, len: usize) -> Option<[u64; 2]> {
    // The last word may overlap the one before, which is equal in both blocks.
    let last = len - WORD;
    let mut at = 0;
    loop {
        // SAFETY: the word ends at or before `len`.
        let word_a = unsafe { a.add(at).cast::<u64>().read_unaligned() };
        // SAFETY: as above.
        let word_b = unsafe { b.add(at).cast::<u64>().read_unaligned() };
        if word_a != word_b {
            return Some([word_a, word_b]);
        }
        if at == last {
            return None;
        }
        at = (at + WORD).min(last);
    }
}

/// The first pair of differing bytes.
///
/// # Safety
/// `len` bytes are readable at both addresses.
#[inline(always)]
unsafe fn first_byte(a: *const u8, b: *const u8, len: usize) -> Option<[u8; 2]> {
    let mut at = 0;
    while at < len {
        // SAFETY: as the caller promises.
        let byte_a = unsafe { a.add(at).read() };
        // SAFETY: as above.
        let byte_b = unsafe { b.add(at).read() };
        if byte_a != byte_b {
            return Some([byte_a, byte_b]);
        }
        at += 1;
    }
    None
}

/// As in C. The linker uses it instead of the compiler's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    let order = match len >= WORD {
        // Big endian words compare in the order of their bytes.
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

/// As in C: nonzero if the bytes differ.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    let differ = match len >= WORD {
        true => unsafe { first_difference(a, b, len) }.is_some(),
        false => unsafe { first_byte(a, b, len) }.is_some(),
    };
    i32::from(differ)
}
