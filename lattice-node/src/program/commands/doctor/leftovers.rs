//! What killed commands left, and the files that rebuilds and restores replaced.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lattice_registry::Leftover;
use serde_json::{Map, json};

use crate::program::bulk::plural;
use crate::program::commands::file_time;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::human;
use crate::program::output::{escape, json_path, styles};

const NOUNS: (&str, &str) = ("leftover", "leftovers");

/// Lists what is left in `dirs`, and in the data directory if that is examined as a whole.
pub(super) fn leftovers(
    context: &mut Context<'_>,
    dirs: &[PathBuf],
    is_whole: bool,
    is_fixing: bool,
) -> Result<(), Failure> {
    let mut left = context.node.manager().left_over(dirs)?;
    let is_in = |path: &Path| dirs.iter().any(|dir| path.parent() == Some(dir));
    left.retain(|leftover| is_whole || is_in(&leftover.path));
    let now = SystemTime::now();
    let (mut count, mut bytes, mut failed) = (0_u64, 0_u64, None);
    for leftover in &left {
        let removed = match is_fixing {
            true => context.node.manager().remove_leftover(leftover),
            false => Ok(false),
        };
        match removed {
            Ok(removed) => {
                print(context, leftover, now, removed)?;
                if removed || !is_fixing {
                    count += 1;
                    bytes += leftover.bytes;
                }
            }
            Err(error) => {
                print(context, leftover, now, false)?;
                failed.get_or_insert(error);
            }
        }
    }
    // The sum stands after the list, also on a terminal.
    context.out.flush()?;
    let (sum, size) = (plural(count, NOUNS), plural(bytes, ("byte", "bytes")));
    context.out.note(&match (is_fixing, left.is_empty()) {
        (_, true) => "nothing is left over".to_owned(),
        (true, false) => format!("removed {sum}, {size}"),
        (false, false) => format!("{sum}, {size}; `lattice doctor --fix` removes what is listed"),
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn print(
    context: &mut Context<'_>,
    leftover: &Leftover,
    now: SystemTime,
    removed: bool,
) -> Result<(), Failure> {
    let path = &leftover.path;
    let mut object = Map::new();
    json_path(&mut object, "path", path);
    object.extend([
        ("left_by".to_owned(), json!(leftover.kind.name())),
        ("store_id".to_owned(), json!(leftover.store_id)),
        ("bytes".to_owned(), json!(leftover.bytes)),
        ("time".to_owned(), json!(file_time(leftover.modified))),
        ("removed".to_owned(), json!(removed)),
    ]);
    // A clock that was set back makes a file newer than now.
    let age = now
        .duration_since(leftover.modified)
        .unwrap_or(Duration::ZERO);
    context.out.either(object, |out| {
        let kind = format!("{:<14}", leftover.kind.name());
        format!(
            "{}  {:>9}  {:>16}  {}",
            out.paint(styles::TYPE, &kind),
            human::age(age),
            plural(leftover.bytes, ("byte", "bytes")),
            escape(path.as_os_str().as_encoded_bytes())
        )
    })
}
