//! The interface between a module and its host, version 1: names, signatures and limits.
//! `docs/guest-abi.md` describes it.

use wasmparser::ValType::{self, I32, I64};

/// The name of the module that all imports come from.
pub(crate) const IMPORT_MODULE: &str = "lattice1";
/// Prefix of the names of exported functions.
pub(crate) const EXPORT_PREFIX: &str = "lattice1_";
/// Name of the exported memory.
pub(crate) const MEMORY: &str = "memory";

/// Maximum length of a module, in bytes.
pub const MAX_CODE_BYTES: usize = 1 << 20;
/// Maximum initial size of a memory, in pages of 64 KiB.
pub(crate) const MAX_FIRST_PAGES: u64 = 256;
/// Maximum size of a memory, in pages of 64 KiB: 128 MiB.
pub const MAX_PAGES: usize = 2_048;
/// Size of a page, in bytes.
pub(crate) const PAGE_BYTES: usize = 65_536;
/// Maximum number of elements of the table.
pub(crate) const MAX_TABLE: u64 = 4_096;
pub(crate) const MAX_TYPES: u32 = 512;
pub(crate) const MAX_PARAMS: usize = 16;
pub(crate) const MAX_RESULTS: usize = 2;
pub(crate) const MAX_FUNCTIONS: u32 = 10_000;
pub(crate) const MAX_GLOBALS: u32 = 256;
pub(crate) const MAX_EXPORTS: u32 = 256;
pub(crate) const MAX_SEGMENTS: u32 = 1_024;
pub(crate) const MAX_LOCALS: u32 = 512;
pub(crate) const MAX_BRANCHES: u32 = 1_024;
pub(crate) const MAX_NESTING: u32 = 512;
pub(crate) const MAX_BODY_BYTES: usize = 256 << 10;
/// Maximum depth of nested calls while a module runs.
pub(crate) const MAX_CALL_DEPTH: usize = 1_000;
/// Size of the value stack while a module runs, in bytes.
pub(crate) const MAX_STACK_BYTES: usize = 1_000_000;

/// Gas that each op may use; an instruction costs at least one.
pub const BASE_GAS: u64 = 50_000_000;
/// Gas for each byte of a payload, or of the arguments of a call.
pub const GAS_PER_BYTE: u64 = 2_048;
/// Gas earned by each row that the host passes in.
pub const GAS_PER_ROW: u64 = 20_000;
/// Gas earned by each byte of a row that the host passes in.
pub const GAS_PER_ROW_BYTE: u64 = 64;
/// Number of rows that earn gas, in addition to one for each byte of the payload and 16 for each
/// row of the longest range.
pub const BASE_EARNING_ROWS: u64 = 1 << 16;
/// How many times the rows of the longest range earn gas.
pub const EARNING_PASSES: u64 = 16;
/// Bytes that one bulk memory instruction, or one call of the host, handles for one gas.
pub(crate) const BULK_BYTES_PER_GAS: u32 = 16;

/// Cost of a call of the host in gas, in addition to one for each 16 bytes that it passes or
/// receives.
pub const GAS_PER_CALL: u64 = 100;
/// Additional cost of an element in gas: the host hashes it.
pub const GAS_PER_ELEMENT: u64 = 500;

/// Bytes that the host hashes for one gas, in addition to what reading them costs.
pub const BYTES_HASHED_PER_GAS: u64 = 2;

/// Maximum number of elements of a row.
pub const MAX_ELEMENTS: u64 = 1 << 16;
/// Maximum length of a message of a module, in bytes; a longer one is truncated.
pub const MAX_MESSAGE_BYTES: usize = 1_024;
/// Maximum number of lines that a module may log in one call.
pub(crate) const MAX_LOG_LINES: u32 = 64;

/// Set in the result of `scan` if the range ends with the page.
pub(crate) const SCAN_ENDED: i64 = 1 << 62;

/// An imported or exported function: name, parameters, results.
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [ValType],
    pub(crate) results: &'static [ValType],
}

const fn signature(
    name: &'static str,
    params: &'static [ValType],
    results: &'static [ValType],
) -> Signature {
    Signature {
        name,
        params,
        results,
    }
}

/// The functions that a module may import.
pub(crate) const IMPORTS: &[Signature] = &[
    signature("get", &[I32, I32, I32, I32], &[I64]),
    signature("take", &[I32], &[]),
    signature("put", &[I32, I32, I32, I32], &[]),
    signature("remove", &[I32, I32], &[]),
    signature("scan", &[I32, I32, I32, I32, I32, I32, I32], &[I64]),
    signature("count", &[], &[I64]),
    signature("number", &[I32, I32], &[I32]),
    signature("stamp", &[I64, I32], &[]),
    signature("op", &[I64, I32, I32], &[I64]),
    signature("hash", &[I32, I32, I32], &[]),
    signature("element", &[I32, I32, I32, I32, I32], &[]),
    signature("fail", &[I32, I32], &[]),
    signature("log", &[I32, I32, I32], &[]),
];

/// An exported function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    Alloc,
    Decode,
    Apply,
    Settle,
    Elements,
    Prepare,
    Query,
    Describe,
    Migrate,
    Convert,
}

impl Export {
    pub(crate) const ALL: [Self; 10] = [
        Self::Alloc,
        Self::Decode,
        Self::Apply,
        Self::Settle,
        Self::Elements,
        Self::Prepare,
        Self::Query,
        Self::Describe,
        Self::Migrate,
        Self::Convert,
    ];

    pub(crate) const fn signature(self) -> Signature {
        match self {
            Self::Alloc => signature("lattice1_alloc", &[I32], &[I32]),
            Self::Decode => signature("lattice1_decode", &[I32, I32], &[I64]),
            Self::Apply => signature("lattice1_apply", &[I32, I32], &[]),
            Self::Settle => signature("lattice1_settle", &[I32, I32, I32], &[]),
            Self::Elements => signature("lattice1_elements", &[I64, I32, I32], &[]),
            Self::Prepare => signature("lattice1_prepare", &[I32, I32, I32], &[I64]),
            Self::Query => signature("lattice1_query", &[I32, I32, I32], &[I64]),
            Self::Describe => signature("lattice1_describe", &[I32, I32], &[I64]),
            Self::Migrate => signature("lattice1_migrate", &[I64], &[]),
            Self::Convert => signature("lattice1_convert", &[I32, I32], &[I64]),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.signature().name
    }
}
