//! `lattice tour`: a guided walk on real data.

mod builds;
mod guide;
#[cfg(feature = "wasm")]
mod modules;
mod packages;
mod proof;
mod replicas;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::context::Context;
use super::failure::Failure;
use guide::Guide;

/// Runs the tour in a temporary directory, or in a new one that is kept.
pub(super) fn run(context: &mut Context<'_>, keep: Option<&Path>) -> Result<(), Failure> {
    let started = Instant::now();
    let place = Place::new(keep)?;
    let mut guide = Guide::new(context, place.dir());
    guide.say(
        "Lattice keeps stores that describe themselves. This walk makes two of them from real data, \
         forgets what they are, finds out again from the files alone, lets two replicas of one store \
         part and meet, has history prove the state, and runs a store type that comes as a file. \
         Commands after a $ are run as they stand there; calls after a > are made in a program.",
    )?;
    let stores = walk::make(&mut guide)?;
    walk::rediscover(&mut guide, &stores)?;
    replicas::part_and_meet(&mut guide, &stores)?;
    proof::prove(&mut guide, &stores)?;
    #[cfg(feature = "wasm")]
    {
        modules::add_and_move(&mut guide)?;
        modules::fix(&mut guide)?;
    }
    walk::look_back(&mut guide, &stores)?;
    guide.close(started.elapsed(), keep)?;
    place.leave()
}

/// The directory of the tour.
enum Place {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = keep else {
            return Ok(Self::Temporary(
                tempfile::Builder::new().prefix("lattice-tour-").tempdir()?,
            ));
        };
        // An existing directory may contain the user's stores.
        fs::create_dir(dir).map_err(|error| {
            Failure::usage(format!(
                "cannot make {} for the tour: {error}",
                dir.display()
            ))
        })?;
        Ok(Self::Kept(dir.to_path_buf()))
    }

    fn dir(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    fn leave(self) -> Result<(), Failure> {
        match self {
            Self::Temporary(dir) => Ok(dir.close()?),
            Self::Kept(_) => Ok(()),
        }
    }
}
