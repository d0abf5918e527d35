//! The imported functions of the host. `docs/guest-abi.md` describes each.

#[link(wasm_import_module = "lattice1")]
unsafe extern "C" {
    /// Returns the length of the value, or -1. The value is at `buffer` if it fits into `capacity`;
    /// otherwise [`take`] copies it.
    pub(crate) fn get(key: *const u8, key_len: usize, buffer: *mut u8, capacity: usize) -> i64;
    /// Copies the result that did not fit into the buffer of the previous call.
    pub(crate) fn take(buffer: *mut u8);
    pub(crate) fn put(key: *const u8, key_len: usize, value: *const u8, value_len: usize);
    pub(crate) fn remove(key: *const u8, key_len: usize);
    /// Reads a page: returns its length, with [`SCAN_ENDED`](super::host::SCAN_ENDED) if the range
    /// ends there, or `-n` if the first row needs `n` bytes.
    pub(crate) fn scan(
        flags: u32,
        start: *const u8,
        start_len: usize,
        end: *const u8,
        end_len: usize,
        buffer: *mut u8,
        capacity: usize,
    ) -> i64;
    pub(crate) fn count() -> u64;
    /// Returns whether the op is applied; if so, its apply index is at `out`.
    pub(crate) fn number(op: *const u8, out: *mut u8) -> u32;
    pub(crate) fn stamp(index: u64, out: *mut u8);
    /// The length of the op (stamp and payload, as in an entry point); at `buffer` if it fits.
    pub(crate) fn op(index: u64, buffer: *mut u8, capacity: usize) -> i64;
    pub(crate) fn element(
        row: u32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    );
    /// Writes the BLAKE3 hash of the bytes, 32 bytes, to `out`.
    pub(crate) fn hash(bytes: *const u8, len: usize, out: *mut u8);
    pub(crate) fn fail(message: *const u8, len: usize) -> !;
}
