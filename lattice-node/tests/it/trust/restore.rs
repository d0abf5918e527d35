//! `restore` verifies what it places.

use std::fs;

use super::{World, failed, json, noted, ops, with_forged_row, without_first_signature};
use crate::whole::filled;
use crate::{printed, state_db};

#[test]
fn a_copy_with_an_invalid_signature_is_not_restored() {
    let world = World::new();
    let (here, there) = (world.path("here"), world.path("there"));
    // Enough ops that the first one is in the index by author.
    let id = filled(&here, 30_000);
    let copy = world.file("copy.db");
    printed(&here, &["backup", "kv", &copy]);
    without_first_signature(copy.as_ref());
    let before = fs::read(state_db(&here, &id)).unwrap();
    for (dir, arguments) in [
        (&there, &["restore", &copy][..]),
        (&here, &["restore", &copy, "--yes"]),
    ] {
        let said = failed(dir, 4, arguments);
        assert!(
            said.contains("copy.db")
                && said.contains("op at index 0")
                && said.contains("signature"),
            "{said}"
        );
        assert!(!said.contains("copying-"), "{said}");
    }
    // The intact store is the one before.
    assert!(fs::read(state_db(&here, &id)).unwrap() == before);
    assert!(!there.join("stores").exists());
    let left = fs::read_dir(&here).unwrap();
    let left: Vec<_> = left
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        left.iter().all(|name| !name.contains("copying")),
        "{left:?}"
    );
    // On the user's word, it is taken, and what was skipped is said.
    let said = noted(&there, &["restore", &copy, "--trust"]);
    assert!(
        said.contains("no signature was checked") && said.contains("lattice verify"),
        "{said}"
    );
    assert!(
        fs::read_to_string(there.join("known.toml"))
            .unwrap()
            .contains("how = \"trusted\"")
    );
    failed(&there, 4, &["verify", &id]);
}

#[test]
fn a_forged_row_with_a_matching_state_hash_is_not_restored() {
    let world = World::new();
    let (liar, here) = (world.path("liar"), world.path("here"));
    let id = with_forged_row(&liar);
    let file = state_db(&liar, &id);
    let file = file.to_str().unwrap();
    // What `restore` relied on before.
    printed(&here, &["verify", file, "--quick"]);
    let said = failed(&here, 4, &["restore", file]);
    assert!(said.contains("state.db was verified and refused"), "{said}");
    assert!(!here.join("stores").exists());
}

#[test]
fn a_restore_says_what_it_needs_and_enters_the_store() {
    let world = World::new();
    let (here, there) = (world.path("here"), world.path("there"));
    let id = filled(&here, 300);
    let copy = world.file("copy.db");
    printed(&here, &["backup", "kv", &copy]);
    let said = noted(&there, &["restore", &copy]);
    let bytes = fs::metadata(&copy).unwrap().len().to_string();
    let digits: String = said
        .lines()
        .next()
        .unwrap()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    assert!(digits.starts_with(&bytes), "{said}");
    assert!(said.contains("for the verification"), "{said}");
    let known = fs::read_to_string(there.join("known.toml")).unwrap();
    assert!(
        known.contains(&id) && known.contains("how = \"restored\" }"),
        "{known}"
    );
    assert_eq!(noted(&there, &["get", &id, "key 7"]), "");
    assert_eq!(json(&there, &["info", &id])["verified"], true);
    // Quiet means no notes.
    assert_eq!(
        noted(&world.path("other"), &["restore", &copy, "--quiet"]),
        ""
    );
    // A store in the way is not replaced without being asked.
    failed(&there, 2, &["restore", &copy]);
    assert_eq!(ops(&there, &id), 3);
    assert_eq!(json(&there, &["restore", &copy, "--yes"])["verified"], true);
}

#[cfg(feature = "wasm")]
#[test]
fn a_copy_of_an_unknown_type_is_restored_only_on_trust() {
    let world = World::new();
    let (here, there) = (world.path("here"), world.path("there"));
    printed(&here, &["code", "add", &crate::code::module("chat")]);
    let id = printed(&here, &["create", "org.example.chat"]);
    let copy = world.file("chat.db");
    printed(&here, &["backup", id.trim(), &copy]);
    let said = failed(&there, 6, &["restore", &copy]);
    assert!(
        said.contains("cannot be verified here")
            && said.contains("--trust")
            && said.contains("lattice code add"),
        "{said}"
    );
    noted(&there, &["restore", &copy, "--trust"]);
    // With its code, it is verified.
    let other = world.path("other");
    printed(&other, &["code", "add", &crate::code::module("chat")]);
    noted(&other, &["restore", &copy]);
}
