//! Failures of commands that ran in processes of their own.

use super::{Failure, Kind};

impl Failure {
    /// The failure of a command that has printed its error.
    pub(in crate::program) fn printed(kind: Option<Kind>) -> Self {
        Self {
            silent: true,
            ..Self::new(kind.unwrap_or(Kind::Failed), "the command failed")
        }
    }

    /// The same with a message that says where the command stands.
    pub(in crate::program) fn in_script(self, place: &str) -> Self {
        Self {
            silent: false,
            ..self.within(place)
        }
    }
}
