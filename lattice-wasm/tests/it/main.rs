//! Modules and their host.

mod both;
mod conformance;
mod guest;
mod hostile;
mod limits;
mod prices;
