//! What the host offers, as it is imported. `docs/guest-abi.md` describes each.

#[link(wasm_import_module = "lattice1")]
unsafe extern "C" {
    /// The length of the value, or -1. It is at `buffer` if it fits into `capacity`; else
    /// [`take`] gets it.
    pub(crate) fn get(key: *const u8, key_len: usize, buffer: *mut u8, capacity: usize) -> i64;
    /// Copies what did not fit into the buffer of the call before.
    pub(crate) fn take(buffer: *mut u8);
    pub(crate) fn put(key: *const u8, key_len: usize, value: *const u8, value_len: usize);
    pub(crate) fn remove(key: *const u8, key_len: usize);
    /// A page of rows: how many bytes, and [`SCAN_ENDED`](super::host::SCAN_ENDED) if the range
    /// ends with them; `-n` if the first row needs `n` bytes.
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
    /// Whether the op is applied; its apply index is then at `out`.
    pub(crate) fn number(op: *const u8, out: *mut u8) -> u32;
    pub(crate) fn stamp(index: u64, out: *mut u8);
    /// The length of the op: stamp and payload, as an entry point gets it. At `buffer` if it fits.
    pub(crate) fn op(index: u64, buffer: *mut u8, capacity: usize) -> i64;
    pub(crate) fn element(
        row: u32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    );
    pub(crate) fn fail(message: *const u8, len: usize) -> !;
}
