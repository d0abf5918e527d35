//! Suites with which authors of backends and state machines test their code.
//!
//! | suite | checks | does not check |
//! | --- | --- | --- |
//! | [`backend()`] | transactions, ranges, locks and snapshots of a backend | crash safety |
//! | [`MachineSuite`] | replicas are equal, for all orders and payloads | the meaning of commands |
//! | [`MigrationSuite`] | a newer layout keeps the state | a way back to older code |
//! | [`CostSuite`] | the work per op does not grow with the history, for given shapes | time |
//!
//! All suites panic with a message that says what was expected and found. Random choices come from
//! a seed that the message contains, so that a failure can be rerun alone. [`MachineSuite`] shrinks
//! a failure to the ops that show it.
//!
//! # Profile
//!
//! Cargo builds dependencies without optimisation in tests unless the workspace configures it. The
//! suites need
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 2
//! ```
//!
//! With it, [`MachineSuite`] takes a fraction of a second for the state machine below. Without it,
//! the suite takes two to five seconds, nearly all of them for signatures and hashes of the few
//! histories that are delivered to stores. `LATTICE_SUITE=long` in the environment, or
//! [`MachineSuite::thorough`], tries ten times as many histories in twice as many orders, for
//! nightly runs. Suites report their progress on standard error after two seconds;
//! `cargo test -- --nocapture` shows it.
//!
//! # Examples
//!
//! A backend, here on a fresh path for every check:
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
//! A state machine that keeps a grow-only set of byte strings:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use lattice_backend::backend::Result;
//! use lattice_backend::conformance::{MachineSuite, Rng};
//! use lattice_backend::machine::{
//!     DataRead, DataWrite, History, Invalid, Logic, MachineError, StateMachine,
//! };
//! use lattice_backend::op::OpView;
//!
//! struct GrowSet(Logic);
//!
//! impl StateMachine for GrowSet {
//!     type Command = Vec<u8>;
//!     type Refusal = Infallible;
//!     type Payload<'a> = &'a [u8];
//!
//!     fn logic(&self) -> &Logic {
//!         &self.0
//!     }
//!
//!     fn decode<'a>(&self, payload: &'a [u8]) -> Result<&'a [u8], Invalid> {
//!         match payload.len() {
//!             1..=4096 => Ok(payload),
//!             found => Err(Invalid::new(format!("expected 1 to 4,096 bytes, found {found}"))),
//!         }
//!     }
//!
//!     fn prepare(
//!         &self,
//!         element: &Vec<u8>,
//!         _: &dyn DataRead,
//!         _: &dyn History,
//!     ) -> Result<Vec<u8>, MachineError<Infallible>> {
//!         Ok(element.clone())
//!     }
//!
//!     fn apply(
//!         &self,
//!         _: &OpView<'_>,
//!         element: &[u8],
//!         data: &mut dyn DataWrite,
//!         _: &dyn History,
//!     ) -> Result<()> {
//!         data.put(element, b"")
//!     }
//! }
//!
//! let logic = Logic::new("org.example.growset", "growset/1")?;
//! MachineSuite::new(move || GrowSet(logic.clone()), |rng: &mut Rng| {
//!     let length = 1 + rng.below(3);
//!     rng.bytes(length)
//! })
//! .histories(4)
//! .run();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod broke;
mod cost;
mod counting;
mod machine;
mod mutations;
mod rng;

pub use backend::backend;
pub use cost::{Cost, CostSuite, Delivery, Forge, Found, Shape};
pub use counting::{CountingBackend, Work};
pub use machine::{HostilePayloads, MachineSuite, MigrationSuite};
pub use mutations::{Mutation, RowMap, create_of, mutations, rows_of};
pub use rng::Rng;
