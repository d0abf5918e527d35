//! What a chapter of the tour is.

use super::guide::Guide;
use crate::program::failure::Failure;

/// Runs the steps of a chapter.
type Show = fn(&mut Guide<'_, '_>) -> Result<(), Failure>;

/// A chapter of the tour.
#[derive(Clone, Copy)]
pub(super) struct Chapter {
    pub(super) title: &'static str,
    pub(super) show: Show,
}

/// A chapter with its title.
pub(super) const fn chapter(title: &'static str, show: Show) -> Chapter {
    Chapter { title, show }
}
