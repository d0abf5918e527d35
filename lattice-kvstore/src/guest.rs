//! The module that this state machine makes, which computes the same state: the suite for state
//! machines compares them call by call. A module does not know its own content id, so this is left
//! out of it.

/// The content id of `core:kvstore` as a module.
pub(crate) fn cid() -> &'static str {
    include_str!("guest.cid").trim_ascii_end()
}
