#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
pub mod entry;
#[cfg(target_arch = "wasm32")]
mod heap;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod mem;
#[cfg(target_arch = "wasm32")]
mod panic;
#[cfg(target_arch = "wasm32")]
mod sys;

pub use lattice_backend as backend;
pub use lattice_meta as meta;

/// Exports a state machine from a module: its manifest, and its functions by the interface's names.
/// The arguments are the type, which implements
/// [`StoreCode`](lattice_backend::machine::manifest::StoreCode), and an expression of that type.
///
/// A list of names as third argument exports only these of the functions that a module may leave
/// out, which are `settle`, `elements`, `prepare`, `query`, `describe`, `migrate` and `convert`:
/// `export!(Words, Words, [prepare, query])`. Every call makes a new instance, which takes less
/// time with fewer exports.
///
/// Outside of a module it expands to a test that compares the manifest with what the state machine
/// reports about itself.
#[macro_export]
macro_rules! export {
    ($machine:ty, $make:expr) => {
        $crate::export!(
            $machine,
            $make,
            [settle, elements, prepare, query, describe, migrate, convert]
        );
    };
    ($machine:ty, $make:expr, [$($name:ident),* $(,)?]) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::entry;

            type Machine = $machine;

            fn machine() -> Machine {
                $make
            }

            const MANIFEST_LEN: usize =
                $crate::backend::machine::manifest::encoded_len::<Machine>();

            // Not `#[used]`, which would put a second copy into the module's data.
            #[unsafe(link_section = "lattice.store")]
            static MANIFEST: [u8; MANIFEST_LEN] =
                $crate::backend::machine::manifest::encode::<Machine, MANIFEST_LEN>();

            const CALLS: &[entry::Call<Machine>] = {
                use $crate::backend::machine::manifest::StoreCode;
                &entry::calls::<Machine, { Machine::METHODS.len() }>()
            };

            #[unsafe(no_mangle)]
            extern "C" fn lattice1_alloc(len: u32) -> u32 {
                entry::alloc(len)
            }

            static READ: entry::Read<Machine> = entry::Read::new();

            #[unsafe(no_mangle)]
            unsafe extern "C" fn lattice1_decode(at: u32, len: u32) -> u64 {
                unsafe { entry::decode(&machine(), &READ, at, len) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn lattice1_apply(at: u32, len: u32) {
                unsafe { entry::apply(&machine(), &READ, at, len) }
            }

            $($crate::export!(@ $name);)*
        };

        #[cfg(all(test, not(target_arch = "wasm32")))]
        mod lattice_manifest {
            use super::*;

            #[test]
            fn says_what_the_machine_says() {
                let machine: $machine = $make;
                $crate::backend::machine::manifest::check(&machine).unwrap();
            }
        }
    };
    (@ settle) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_settle(kind: u32, at: u32, len: u32) {
            unsafe { entry::settle(&machine(), kind, at, len) }
        }
    };
    (@ elements) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_elements(schema: u64, at: u32, len: u32) {
            unsafe { entry::elements(&machine(), schema, at, len) }
        }
    };
    (@ prepare) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_prepare(method: u32, at: u32, len: u32) -> u64 {
            unsafe { entry::prepare(&machine(), CALLS, method, at, len) }
        }
    };
    (@ query) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_query(method: u32, at: u32, len: u32) -> u64 {
            unsafe { entry::query(&machine(), CALLS, method, at, len) }
        }
    };
    (@ describe) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_describe(at: u32, len: u32) -> u64 {
            unsafe { entry::describe(&machine(), at, len) }
        }
    };
    (@ migrate) => {
        #[unsafe(no_mangle)]
        extern "C" fn lattice1_migrate(from: u64) {
            entry::migrate(&machine(), from)
        }
    };
    (@ convert) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn lattice1_convert(at: u32, len: u32) -> u64 {
            unsafe { entry::convert(&machine(), at, len) }
        }
    };
}

/// The names that the author of a store type needs. They include the names of `alloc` that the
/// prelude of `std` has, and `BTreeMap`, since a module has no `std`.
pub mod store_type {
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::collections::BTreeMap;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec::Vec;
    pub use alloc::{format, vec};
    pub use core::ops::Bound;

    pub use lattice_backend::backend::{
        BackendError, Direction, EVERYTHING, PrefixSpan, Result, Row, Span, Table,
    };
    pub use lattice_backend::machine::manifest::{Elements, StoreCode};
    pub use lattice_backend::machine::{
        Args, CallError, Conversion, DataRead, DataWrite, Fields, History, Invalid, Logic,
        LogicError, MachineError, Method, MethodEntry, Param, Query, StateMachine, Step, Value,
        ValueType,
    };
    pub use lattice_backend::op::{ApplyIndex, MAX_OP_BYTES, OpKind, OpRef, OpView, Stamp};
    pub use lattice_backend::params;
    pub use lattice_meta::{
        Hlc, OpId, PubKey, SchemaVersion, StoreType, codec, readable, readable_start,
    };
}
