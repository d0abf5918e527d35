use lattice_backend::backend::FileError;

use super::*;
use crate::program::hints::Hints;

fn of_file(error: FileError) -> Failure {
    ManagerError::Peek(error.into()).into()
}

#[test]
fn the_remedy_for_damage_depends_on_the_error_and_not_on_its_message() {
    let (path, detail) = ("my-bundle/state.db".into(), "page 3".into());
    let damaged = of_file(FileError::Damaged { path, detail });
    let damaged = damaged.complete(&Hints::default(), Step::Other);
    assert!(
        damaged.message().contains("`lattice verify STORE`"),
        "{damaged:?}"
    );
    let (path, detail) = ("damaged/notes.txt".into(), "found text".into());
    let no_store = of_file(FileError::NotAStore { path, detail });
    let no_store = no_store.complete(&Hints::default(), Step::Other);
    assert!(!no_store.message().contains("`lattice"), "{no_store:?}");
    let (damaged, no_store) = (damaged.to_json(), no_store.to_json());
    assert_eq!(
        (&damaged["kind"], &no_store["kind"]),
        (&"damaged".into(), &"not_a_store".into())
    );
}

#[test]
fn a_long_message_keeps_its_start_and_its_end() {
    let message = format!("the start {} the end", "\u{1f980}".repeat(2000));
    let shown = bounded(&message);
    assert!(shown.len() < 4200, "{}", shown.len());
    assert!(shown.starts_with("the start"), "{shown}");
    assert!(shown.ends_with("the end"), "{shown}");
    assert_eq!(bounded("short"), "short");
}

#[test]
fn errors_of_the_system_have_a_remedy() {
    for (code, remedy) in [
        (28, "free some space"),
        (122, "free some space"),
        (30, "writable file system"),
        (13, "its owner"),
        (24, "ulimit -n"),
        (27, "ulimit -f"),
    ] {
        let source = io::Error::from_raw_os_error(code);
        let failure = Failure::from(BackendError::storage("committing", source));
        assert!(failure.message().contains(remedy), "{failure:?}");
    }
}

/// What names a path differs: a variable, an option, or the user.
#[test]
fn a_path_that_is_no_directory_has_the_remedy_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let broken = step_to_a_directory("cannot list", Some(&file.join("data")));
    assert!(broken.contains("--data-dir"), "{broken}");
    let other = step_to_a_directory("cannot read file/x", Some(&dir.path().join("new")));
    assert!(other.contains("another path"), "{other}");
    let error = io::Error::from(io::ErrorKind::NotADirectory);
    let failure = Failure::from(error).complete(&Hints::default(), Step::Other);
    let again = failure.complete(&Hints::default(), Step::Other);
    let steps = again.message().matches("another path").count();
    assert_eq!(steps, 1, "{again:?}");
}
