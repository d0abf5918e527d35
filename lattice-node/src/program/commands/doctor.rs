//! `lattice doctor`: lists what killed commands left, and the files that rebuilds and restores
//! replaced; removes them if asked to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lattice_registry::Leftover;
use serde_json::{Map, json};

use crate::program::args;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{escape, json_path, styles};

const NOUNS: (&str, &str) = ("leftover", "leftovers");

pub(super) fn doctor(context: &mut Context<'_>, doctor: &args::Doctor) -> Result<(), Failure> {
    let settings = context.settings.clone();
    settings.note(&mut context.out);
    let left = context.node.manager().left_over(&doctor.dirs)?;
    let now = SystemTime::now();
    let (mut count, mut bytes, mut failed) = (0_u64, 0_u64, None);
    for leftover in &left {
        let removed = match doctor.fix {
            true => context.node.manager().remove_leftover(leftover),
            false => Ok(false),
        };
        match removed {
            Ok(removed) => {
                print(context, leftover, now, removed)?;
                if removed || !doctor.fix {
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
    context.out.note(&match (doctor.fix, left.is_empty()) {
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
    let since_epoch = leftover.modified.duration_since(UNIX_EPOCH);
    let time = since_epoch.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    let mut object = Map::new();
    json_path(&mut object, "path", path);
    object.extend([
        ("left_by".to_owned(), json!(leftover.kind.name())),
        ("store_id".to_owned(), json!(leftover.store_id)),
        ("bytes".to_owned(), json!(leftover.bytes)),
        ("time".to_owned(), json!(time)),
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
            age_text(age),
            plural(leftover.bytes, ("byte", "bytes")),
            escape(path.as_os_str().as_encoded_bytes())
        )
    })
}

/// An age in its greatest unit, rounded down.
fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let text = |seconds| age_text(Duration::from_secs(seconds));
        assert_eq!(text(0), "0 s");
        assert_eq!(text(59), "59 s");
        assert_eq!(text(60), "1 min");
        assert_eq!(text(7_199), "1 h");
        assert_eq!(text(172_799), "47 h");
        assert_eq!(text(172_800), "2 days");
    }
}
