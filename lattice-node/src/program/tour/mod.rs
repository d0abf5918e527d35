//! `lattice tour`: a guided tour on real data, in chapters that fit a screen.

mod builds;
mod chapter;
mod guide;
#[cfg(feature = "wasm")]
mod modules;
mod packages;
mod proof;
mod replicas;
mod stores;

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use super::args::Tour;
use super::context::{Context, Host};
use super::failure::Failure;
use chapter::Chapter;
use guide::{Guide, Next};
use lattice_registry::files::Making;

/// Runs the tour in a temporary directory, or in a new one that is kept.
pub(super) fn run(context: &mut Context<'_>, args: &Tour) -> Result<(), Failure> {
    let waits = !args.no_pause
        && context.host == Host::Process
        && context.out.is_terminal()
        && !context.out.is_json()
        && io::stdin().is_terminal();
    let answers: Option<Box<dyn BufRead>> = match waits {
        true => Some(Box::new(io::stdin().lock())),
        false => None,
    };
    show(context, args.keep.as_deref(), answers)
}

fn show(
    context: &mut Context<'_>,
    keep: Option<&Path>,
    answers: Option<Box<dyn BufRead>>,
) -> Result<(), Failure> {
    let place = Place::new(keep)?;
    let chapters = chapters();
    let mut guide = Guide::new(context, place.dir(), answers);
    guide.say(
        "Each file of a Lattice store says which store it is, of which type, and which code reads \
         it. This tour creates stores from real data, copies, merges, verifies and upgrades them. \
         `alice$` is the shell of a user, whose data directory is `alice`; you can type the \
         commands, too. `>` is a Rust call, of a program that uses the library.",
    )?;
    let mut shown = 0;
    for chapter in &chapters {
        if guide.before_chapter(shown, chapters.len())? == Next::Leave {
            break;
        }
        shown += 1;
        guide.heading(shown, chapter.title)?;
        (chapter.show)(&mut guide)?;
    }
    guide.close(shown, chapters.len(), keep)?;
    place.leave()
}

/// The chapters in order. Each one finds what those before it have left in the tour's directory.
fn chapters() -> Vec<Chapter> {
    let all = [
        stores::CHAPTERS,
        replicas::CHAPTERS,
        proof::CHAPTERS,
        #[cfg(feature = "wasm")]
        modules::CHAPTERS,
        stores::LAST,
    ];
    all.concat()
}

/// The directory of the tour.
enum Place {
    Temporary(tempfile::TempDir, Making),
    Kept(PathBuf),
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = keep else {
            let dir = tempfile::Builder::new().prefix("lattice-tour-").tempdir()?;
            let making = Making::temporary(dir.path());
            return Ok(Self::Temporary(dir, making));
        };
        // An existing directory may contain the user's stores.
        fs::create_dir(dir).map_err(|error| {
            Failure::usage(format!(
                "cannot create {} for the tour: {error}",
                dir.display()
            ))
        })?;
        Ok(Self::Kept(dir.to_path_buf()))
    }

    fn dir(&self) -> &Path {
        match self {
            Self::Temporary(dir, _) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    fn leave(self) -> Result<(), Failure> {
        match self {
            Self::Temporary(dir, _making) => Ok(dir.close()?),
            Self::Kept(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;
    use std::io::Cursor;

    use clap::Parser;

    use super::super::Shared;
    use super::super::args::Args;
    use super::super::output::Output;
    use super::*;
    use crate::core_registry;

    /// What the tour prints for a user who types these answers.
    fn shown(answers: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        let keep = home.path().join("tour");
        let args = ["lattice", "--data-dir", "none", "tour"];
        let args = Args::try_parse_from(args).unwrap();
        let printed = RefCell::new(Vec::new());
        let out = Output::on_terminal(Shared(&printed), Shared(&printed), &args.global);
        let registry = core_registry().unwrap();
        let mut context = Context::new(Host::Tour, &args.global, registry, out).unwrap();
        show(
            &mut context,
            Some(&keep),
            Some(Box::new(Cursor::new(answers.to_owned()))),
        )
        .unwrap();
        context.finish().unwrap();
        drop(context);
        String::from_utf8(printed.into_inner()).unwrap()
    }

    #[test]
    fn enter_shows_the_next_chapter_and_q_leaves() {
        let all = chapters().len();
        for (answers, count) in [
            ("q\n", 1),
            ("\nq\n", 2),
            ("\n\n Q \n\n", 3),
            ("\n", 2),
            ("", 1),
        ] {
            let text = shown(answers);
            let begun = |number: usize| text.contains(&format!("\n{number}. "));
            assert!(begun(count) && !begun(count + 1), "{answers:?}: {text}");
            let question = format!("-- Enter: chapter {} of {all}   q: leave -- ", count + 1);
            assert!(text.contains(&question), "{answers:?}: {text}");
            let ended = format!("{count} of {all} chapters took ");
            assert!(text.contains(&ended), "{answers:?}: {text}");
        }
    }
}
