//! One binary for all integration tests: it links once.

mod apply;
mod methods;
mod model;
mod prepare;
mod support;
