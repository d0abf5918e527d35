//! The journal, by an adversary: what it must find, survive and refuse.

mod golden;
mod support;
