//! Suites that test any storage engine and any state machine, for use in the tests of whoever
//! writes one.
//!
//! Both panic with a message that says what was expected. What is random in them is drawn from a
//! seed that the message carries, so that a failure can be run again alone.
//!
//! An engine, here on a fresh path for every check:
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//! use lattice_backend::conformance;
//! use lattice_backend::backend::MemoryBackend;
//!
//! conformance::backend(|| (Arc::new(MemoryBackend::new()), PathBuf::from("state.db")));
//! ```
//!
//! A state machine that keeps a set of byte strings to which elements are only added:
//!
//! ```
//! use core::ops::RangeInclusive;
//! use lattice_backend::conformance::{MachineSuite, Rng};
//! use lattice_backend::*;
//! use lattice_meta::{SchemaVersion, StoreType};
//!
//! struct GrowSet(StoreType);
//!
//! impl StateMachine for GrowSet {
//!     type Command = Vec<u8>;
//!     type Refusal = core::convert::Infallible;
//!
//!     fn store_type(&self) -> &StoreType {
//!         &self.0
//!     }
//!     fn schemas(&self) -> RangeInclusive<SchemaVersion> {
//!         SchemaVersion::new(1)..=SchemaVersion::new(1)
//!     }
//!     fn logic_version(&self) -> LogicVersion {
//!         LogicVersion::new("growset-1").expect("it is visible ASCII")
//!     }
//!     fn methods(&self) -> &'static [Method] {
//!         &[]
//!     }
//!     fn prepare(
//!         &self,
//!         element: &Vec<u8>,
//!         _: &dyn DataRead,
//!         _: &dyn History,
//!     ) -> lattice_backend::backend::Result<Result<Vec<u8>, Self::Refusal>> {
//!         Ok(Ok(element.clone()))
//!     }
//!     fn apply(
//!         &self,
//!         op: &OpView<'_>,
//!         data: &mut dyn DataWrite,
//!         _: &dyn History,
//!     ) -> lattice_backend::backend::Result<Effect> {
//!         if op.payload.is_empty() || op.payload.len() > MAX_KEY_BYTES {
//!             return Ok(Effect::Void);
//!         }
//!         data.put(op.payload, b"")?;
//!         Ok(Effect::Applied)
//!     }
//!     fn command(&self, _: Args) -> Result<Vec<u8>, CallError> {
//!         unreachable!("it has no methods")
//!     }
//!     fn query(
//!         &self,
//!         _: Args,
//!         _: &dyn DataRead,
//!         _: &dyn History,
//!     ) -> lattice_backend::backend::Result<Result<Value, CallError>> {
//!         unreachable!("it has no methods")
//!     }
//! }
//!
//! let store_type: StoreType = "org.example.growset".parse()?;
//! MachineSuite::new(move || GrowSet(store_type.clone()), |rng: &mut Rng| {
//!     let length = 1 + rng.below(3);
//!     rng.bytes(length)
//! })
//! .histories(4)
//! .run();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod cost;
mod counting;
mod machine;
mod rng;

pub use backend::backend;
pub use cost::{Cost, CostSuite, Delivery, Forge, Found, Shape};
pub use counting::{CountingBackend, Work};
pub use machine::{HostilePayloads, MachineSuite, MigrationSuite};
pub use rng::Rng;
