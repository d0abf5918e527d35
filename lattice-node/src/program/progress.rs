//! How far long pieces of work are, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use lattice_backend::Stage;

use super::output::Output;
use crate::{NodeOptions, Watch};

/// A bar that appears once there is something to show.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(out: &Output<'_>) -> Self {
        if !out.shows_progress() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let style = ProgressStyle::with_template("{msg}  {bar:30} {human_pos} of {human_len}");
        let bar = ProgressBar::no_length();
        bar.set_style(style.expect("the template is well formed"));
        Self { bar }
    }

    /// Options that have a node show how far it is.
    pub(super) fn options(&self) -> NodeOptions {
        if self.bar.is_hidden() {
            return NodeOptions::default();
        }
        let bar = self.bar.clone();
        NodeOptions {
            watch: Watch::new(move |progress| {
                bar.set_message(words(progress.stage));
                match progress.total {
                    Some(total) => bar.set_length(total),
                    None => bar.unset_length(),
                }
                bar.set_position(progress.done);
            }),
            ..NodeOptions::default()
        }
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Replay => "replaying ops",
        Stage::Rows => "comparing rows",
        Stage::Migration => "migrating the layout",
        Stage::Transfer => "making ops",
        stage => stage.name(),
    }
}
