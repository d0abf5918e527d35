//! The names of files, for the line editor of `lattice shell`. The shells of the system add them
//! themselves.

use std::fs;
use std::path::Path;

use super::Files;
use crate::program::output::escape_text;

/// The files whose names begin with `current`, in order; a directory ends in `/`. Hidden files are
/// offered once the dot is typed.
pub(super) fn named(kind: Files, current: &str) -> Vec<String> {
    if kind == Files::None {
        return Vec::new();
    }
    let (dir, begun) = match current.rfind('/') {
        Some(end) => current.split_at(end + 1),
        None => ("", current),
    };
    let place = match dir {
        "" => Path::new("."),
        dir => Path::new(dir),
    };
    let entries = fs::read_dir(place).map_or_else(|_| Vec::new(), |all| all.flatten().collect());
    let name_of = |entry: &fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_hidden = name.starts_with('.') && !begun.starts_with('.');
        // A name that a terminal could act on is not offered.
        let fits = name.starts_with(begun) && !is_hidden && escape_text(&name) == name;
        // The end of a link counts.
        let is_dir = || entry.path().is_dir();
        match kind {
            _ if !fits => None,
            _ if is_dir() => Some(format!("{dir}{name}/")),
            Files::Dirs => None,
            _ => Some(format!("{dir}{name}")),
        }
    };
    let mut names: Vec<String> = entries.iter().filter_map(name_of).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_offered_by_what_is_typed_of_them() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rows.jsonl", "rows two", ".hidden", "rows\u{1b}[2J"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("rows.d")).unwrap();
        let named = |kind, typed: &str| -> Vec<String> {
            let before = format!("{}/", dir.path().display());
            let found = named(kind, &format!("{before}{typed}"));
            let rest = |name: String| name.strip_prefix(&before).unwrap().to_owned();
            found.into_iter().map(rest).collect()
        };
        assert_eq!(named(Files::All, ""), ["rows two", "rows.d/", "rows.jsonl"]);
        assert_eq!(named(Files::All, "rows.j"), ["rows.jsonl"]);
        assert_eq!(named(Files::All, "."), [".hidden"]);
        assert_eq!(named(Files::Dirs, ""), ["rows.d/"]);
        assert_eq!(named(Files::None, ""), [""; 0]);
        assert_eq!(named(Files::All, "none/"), [""; 0]);
    }
}
