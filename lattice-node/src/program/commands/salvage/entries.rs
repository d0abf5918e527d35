//! The entries of a damaged log.

use lattice_logstore::{Entry, Selection};
use serde_json::{Map, json};

use super::{Rows, Sources, doubt, typed};
use crate::LogStore;
use crate::program::failure::Failure;
use crate::program::output::json_bytes;

pub(super) fn write(sources: &Sources, rows: &mut Rows<'_, '_>) -> Result<(), Failure> {
    let replay: Option<LogStore> = typed(sources.replay.as_ref());
    let stored: Option<LogStore> = typed(sources.stored.as_ref());
    if let Some(replay) = &replay {
        for entry in replay.read(Selection::all())? {
            let entry = entry?;
            let found = stored.as_ref().map(|stored| stored.get(entry.position()));
            let doubt = match found {
                Some(Ok(Some(found))) if found == entry => None,
                Some(Ok(Some(_))) => Some(doubt::DIFFERS),
                Some(Err(_)) => Some(doubt::UNREADABLE),
                Some(Ok(None)) => Some(doubt::ONLY_HISTORY),
                None => Some(sources.unstored()),
            };
            put(rows, &entry, doubt)?;
        }
        return Ok(());
    }
    let Some(stored) = &stored else {
        return Ok(());
    };
    let mut last = None;
    let mut is_cut = false;
    for entry in stored.read(Selection::all())? {
        let Ok(entry) = entry else {
            is_cut = true;
            break;
        };
        put(rows, &entry, sources.alone)?;
        last = Some(entry.position());
    }
    if !is_cut {
        return Ok(());
    }
    // The entries after the damage, from the end.
    let mut first = None;
    let mut after = Vec::new();
    for entry in stored.read(Selection::all().newest_first())? {
        let Ok(entry) = entry else { break };
        if Some(entry.position()) == last {
            break;
        }
        first = Some(entry.position());
        after.push(entry);
    }
    for entry in after.iter().rev() {
        put(rows, entry, sources.alone)?;
    }
    let start = last.map_or("the start".to_owned(), |last| last.to_string());
    let end = first.map_or("the end".to_owned(), |first| first.to_string());
    rows.missing(format!("entries between {start} and {end}"));
    Ok(())
}

fn put(rows: &mut Rows<'_, '_>, entry: &Entry, doubt: Option<&str>) -> Result<(), Failure> {
    let mut row = Map::from_iter([
        ("time".to_owned(), json!(entry.time_ms())),
        ("author".to_owned(), json!(entry.author)),
    ]);
    json_bytes(&mut row, "content", &entry.content);
    rows.row(row, doubt)
}
