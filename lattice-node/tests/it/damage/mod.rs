//! Damaged stores: a few through the program, thousands through the library.

mod case;
mod kinds;
mod random;
mod rows;
pub(crate) mod stores;

use std::fs;

use crate::{lattice, printed};

/// Changes bytes all over the file, one or many at a time. Every command must end with its exit
/// code, and no text of the backend's panics may appear.
#[test]
fn damage_is_an_error_with_its_code_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let id = printed(dir.path(), &["create", "core:kvstore"])
        .trim()
        .to_owned();
    for nth in 0..40 {
        printed(dir.path(), &["put", &id, &format!("key {nth}"), "value"]);
    }
    let file = dir.path().join("stores").join(&id).join("state.db");
    let whole = fs::read(&file).unwrap();
    let mut damaged_ends = 0;
    for round in 0..24 {
        let mut bytes = whole.clone();
        let step = [997, 4099, 31, 7919][round % 4];
        for at in (64 + round * 13..bytes.len()).step_by(step) {
            bytes[at] ^= 0x5a;
        }
        if round % 6 == 5 {
            bytes.truncate(whole.len() * 2 / 3);
        }
        for command in [
            &["peek", &id][..],
            &["list"],
            &["info", &id],
            &["export", &id],
            &["get", &id, "key 7"],
            &["put", &id, "key 7", "value"],
        ] {
            fs::write(&file, &bytes).unwrap();
            let ended = lattice(dir.path(), command);
            let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
            let code = ended.status.code();
            assert!(
                matches!(code, Some(0 | 3 | 4)),
                "{command:?}: {code:?} {errors}"
            );
            assert!(!errors.contains("panicked"), "{command:?}: {errors}");
            assert!(!errors.contains("internal error"), "{command:?}: {errors}");
            damaged_ends += usize::from(code == Some(4));
        }
    }
    assert!(damaged_ends > 40, "only {damaged_ends} commands saw damage");
}
