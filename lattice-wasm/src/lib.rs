#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod abi;
mod ahead;
mod code;
mod error;
pub mod guests;
mod host;
mod instance;
mod machine;
mod store;
mod text;
mod validate;

pub use code::Code;
pub use error::CodeError;
pub use machine::{WasmCommand, WasmMachine, WasmPayload, WasmRefusal};
pub use store::{WasmStore, WasmStoreOpener, wasm_store_opener};
pub use validate::read_manifest;
