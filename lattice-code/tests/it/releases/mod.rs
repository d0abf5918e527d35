//! Registries: payloads, rows, calls by name, the handle, replicas.

mod conformance;
mod golden;
mod machine;
mod methods;
mod payload;
mod replicas;
mod rows;
mod store;
mod support;
