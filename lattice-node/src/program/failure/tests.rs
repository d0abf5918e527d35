use super::*;

fn of_file(error: FileError) -> Failure {
    ManagerError::Peek(error.into()).into()
}

#[test]
fn the_remedy_for_damage_depends_on_the_error_and_not_on_its_message() {
    let (path, detail) = ("my-bundle/state.db".into(), "page 3".into());
    let damaged = of_file(FileError::Damaged { path, detail });
    assert!(
        damaged.message().contains("`lattice verify`"),
        "{damaged:?}"
    );
    let (path, detail) = ("damaged/notes.txt".into(), "found text".into());
    let no_store = of_file(FileError::NotAStore { path, detail });
    assert!(!no_store.message().contains("`lattice"), "{no_store:?}");
    let (damaged, no_store) = (damaged.to_json(), no_store.to_json());
    assert_eq!(
        (&damaged["kind"], &no_store["kind"]),
        (&"damaged".into(), &"damaged".into())
    );
}
