//! Modules and their host.

mod answers;
mod both;
mod conformance;
mod faults;
mod guest;
mod hostile;
mod imports;
mod limits;
mod prices;
