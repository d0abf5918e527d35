//! Stores whose journal is not beside them.

use lattice_backend::backend::Table;

use crate::{edit, lattice, printed, state_db};

/// The row of a store with a journal that has begun: version 1, open, then the salt, what is
/// folded, the number of the last transaction, and the chain value.
fn open_mark() -> Vec<u8> {
    let mut mark = vec![1, 1, 0, 0, 0, 0, 0, 0];
    mark.extend([7; 16]);
    mark.extend([0; 16]);
    mark.extend([7; 16]);
    mark
}

#[test]
fn a_missing_journal_is_damage_until_a_rebuild_gives_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let id = printed(dir.path(), &["create", "core:kvstore"]);
    let id = id.trim();
    printed(dir.path(), &["put", id, "key", "value"]);
    let file = state_db(dir.path(), id);
    edit(&file, |tx| {
        tx.put(Table::System, b"journal", &open_mark()).unwrap();
    });
    let file = file.to_str().unwrap();
    // What a file says of itself is never in the journal.
    assert!(printed(dir.path(), &["peek", file]).contains(id));
    for words in [
        &["get", id, "key"][..],
        &["put", id, "key", "other"],
        &["info", id],
        &["verify", id],
        &["backup", id, "copy.db"],
    ] {
        let output = lattice(dir.path(), words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{words:?}: {text}");
        assert!(text.contains("state.db.journal-0"), "{words:?}: {text}");
        assert!(text.contains("`lattice rebuild "), "{words:?}: {text}");
    }
    // What the file itself has can be taken out.
    let salvaged = lattice(dir.path(), &["salvage", id]);
    assert_eq!(salvaged.status.code(), Some(4));
    let rows = String::from_utf8(salvaged.stdout).unwrap();
    assert_eq!(
        rows,
        "{\"key\":\"key\",\"value\":\"value\",\"doubt\":null}\n"
    );
    let said = String::from_utf8(salvaged.stderr).unwrap();
    assert!(said.contains("missing: the newest writes"), "{said}");
    let doctor = lattice(dir.path(), &["--json", "doctor"]);
    assert_eq!(doctor.status.code(), Some(4));
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(found.contains("\"finding\":\"journal\""), "{found}");
    let command = format!("\"mended_by\":\"lattice rebuild {id}\"");
    assert!(found.contains(&command), "{found}");
    let rebuilt = lattice(dir.path(), &["rebuild", id]);
    let text = String::from_utf8(rebuilt.stderr).unwrap();
    assert!(text.contains("writes that only it had are lost"), "{text}");
    assert_eq!(printed(dir.path(), &["get", id, "key"]), "value");
    assert!(printed(dir.path(), &["verify", id]).starts_with("ok: "));
}
