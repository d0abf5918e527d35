//! Stores whose code comes as modules.

use super::*;
use crate::code::{CHAT, cid, module};

const TALLY: &str = "org.example.tally";

/// A data directory in which the code of a store is one module, and then only another one.
fn switched(store_type: &str, from: &str, to: &str, call: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    printed(path, &["code", "add", &module(from)]);
    printed(path, &["create", store_type, "--alias", "s"]);
    printed(path, call);
    printed(path, &["code", "remove", &module(from)]);
    printed(path, &["code", "add", &module(to)]);
    dir
}

const POST: [&str; 5] = ["call", "s", "post", "room=tea", "text=hi"];
const READ: [&str; 4] = ["call", "s", "read", "room=tea"];

#[test]
fn an_equal_module_is_proven_and_recorded() {
    let dir = switched(CHAT, "chat", "chat_hotfix", &POST);
    let dir = dir.path();
    reads_history(dir, 1);
    for words in [&READ[..], &["verify", "s"]] {
        let (_, _, message) = refused(dir, words);
        assert_eq!(command_of(&message), ["upgrade", "s"], "{message}");
    }
    let (code, kind, _) = refused(dir, &READ);
    assert_eq!((code, &*kind), (1, "needs_upgrade"));
    let done = &json(dir, &["upgrade", "s"])[0];
    assert_eq!(
        (&done["outcome"], &done["ops"]),
        (&"upgraded".into(), &1.into())
    );
    assert_eq!(
        (&done["recorded"], &done["logic_version"]),
        (&cid("chat").into(), &cid("chat_hotfix").into())
    );
    assert!(printed(dir, &READ).contains("hi"));
    assert!(printed(dir, &["verify", "s"]).starts_with("ok"));
}

#[test]
fn a_module_that_computes_another_state_is_refused_and_the_store_can_be_rebuilt() {
    let dir = switched(CHAT, "chat", "chat_broken", &POST);
    let dir = dir.path();
    let (code, kind, message) = refused(dir, &["upgrade", "s"]);
    assert_eq!((code, &*kind), (4, "damaged"), "{message}");
    let prove = command_of(&message);
    assert_eq!(prove, ["code", "prove", "s", &cid("chat_broken")]);
    assert_eq!(run(dir, &prove).status.code(), Some(4));
    assert!(message.contains("`lattice rebuild s`"), "{message}");
    reads_history(dir, 1);
    // The refusal is remembered; the module that the store records is what helps, or a rebuild.
    let (code, kind, message) = refused(dir, &READ);
    assert_eq!((code, &*kind), (6, "unknown_type"), "{message}");
    assert!(message.contains("`lattice code add FILE`"), "{message}");
    printed(dir, &["rebuild", "s"]);
    assert!(printed(dir, &READ).contains("HI"));
    assert!(printed(dir, &["verify", "s"]).starts_with("ok"));
}

#[test]
fn an_older_layout_is_migrated_and_a_newer_one_refused() {
    let add = ["call", "s", "add", "name=nut", "number:=5"];
    let sum = ["call", "s", "sum", "name=nut"];
    let dir = switched(TALLY, "tally_v1", "tally", &add);
    let dir = dir.path();
    reads_history(dir, 1);
    let before = &json(dir, &["info", "s"])[0];
    assert_eq!(
        (&before["schema_version"], &before["needs_upgrade"]),
        (&1.into(), &true.into())
    );
    let (code, kind, message) = refused(dir, &sum);
    assert_eq!((code, &*kind), (1, "needs_upgrade"), "{message}");
    assert_eq!(command_of(&message), ["upgrade", "s"], "{message}");
    let dry = &json(dir, &["upgrade", "s", "--dry-run"])[0];
    assert_eq!(
        (
            &dry["outcome"],
            &dry["recorded_schema"],
            &dry["schema_version"]
        ),
        (&"upgradable".into(), &1.into(), &2.into())
    );
    assert_eq!(json(dir, &["info", "s"])[0]["schema_version"], 1);
    let done = &json(dir, &["upgrade", "s"])[0];
    assert_eq!(
        (
            &done["outcome"],
            &done["recorded_schema"],
            &done["schema_version"]
        ),
        (&"upgraded".into(), &1.into(), &2.into())
    );
    assert_eq!(done["state_hash"], before["state_hash"]);
    assert_eq!(printed(dir, &sum).trim(), "5");
    assert!(printed(dir, &["verify", "s"]).starts_with("ok"));

    // The older module does not read the new layout.
    printed(dir, &["code", "remove", &module("tally")]);
    printed(dir, &["code", "add", &module("tally_v1")]);
    reads_history(dir, 1);
    let newer = ["upgrade", "s", &module("tally_v1")];
    let (code, kind, message) = refused(dir, &newer);
    assert_eq!((code, &*kind), (6, "newer"), "{message}");
}
