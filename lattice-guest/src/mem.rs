//! Comparing bytes, eight at a time. The compiler's own functions take a byte at a time, and comparing
//! keys is much of what a state machine does.

use core::cmp::Ordering;

const WORD: usize = size_of::<u64>();

/// How the first `len` bytes at two addresses compare.
///
/// # Safety
/// So many bytes can be read at both.
unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> Ordering {
    let mut at = 0;
    while len - at >= WORD {
        // SAFETY: so many bytes are left. Big endian words compare as their bytes do.
        let [a, b] = [a, b].map(|word| unsafe { word.add(at).cast::<u64>().read_unaligned() });
        if a != b {
            return u64::from_be(a).cmp(&u64::from_be(b));
        }
        at += WORD;
    }
    while at < len {
        // SAFETY: as above.
        let [a, b] = [a, b].map(|byte| unsafe { byte.add(at).read() });
        if a != b {
            return a.cmp(&b);
        }
        at += 1;
    }
    Ordering::Equal
}

/// As in C. The linker takes it in the place of the compiler's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    i32::from(unsafe { compare(a, b, len) } as i8)
}

/// As in C: whether they differ.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { memcmp(a, b, len) }
}
