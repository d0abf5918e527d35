//! Tests of this crate's public API, in one binary.
// Clippy exempts tests, but not their helpers.
#![allow(clippy::unwrap_used)]

mod golden;
mod registers;
mod support;
mod upgrade;
mod verify;

mod arguments;
mod bundle;
mod conformance;
mod copied;
mod cost;
mod damage;
mod engine;
mod events;
mod exchange;
mod failures;
mod faulty;
mod held;
mod ingest;
mod journal;
mod late;
mod limits;
mod logic;
mod open;
mod ops;
mod peek;
mod power;
mod progress;
mod replica;
mod turns;
mod values;
