//! Files that are not stores, damaged files, and files in use.

use super::*;

/// The error of a file with these bytes. Peek returns the same one if the part that it reads is
/// missing.
fn refused_bytes(bytes: &[u8]) -> OpenError {
    let store = OnFiles::new();
    std::fs::write(&store.site.path, bytes).unwrap();
    let before = contents(store.dir.path());
    let peeked = store.site.backend.peek_info(&store.site.path);
    assert!(contents(store.dir.path()) == before);
    let error = store.refused();
    if let Err(peeked) = peeked {
        assert_eq!(error.to_string(), peeked.to_string());
    }
    error
}

#[test]
fn that_are_not_databases() {
    let mut rng = lattice_backend::conformance::Rng::new(1);
    for bytes in [
        Vec::new(),
        b"redb".to_vec(),
        rng.bytes(100),
        rng.bytes(100_000),
    ] {
        let error = refused_bytes(&bytes);
        assert!(
            matches!(error, OpenError::File(FileError::NotAStore { .. })),
            "{error:?}"
        );
    }
}

/// Whatever is left of a truncated file: damage, never a panic, and no byte changes.
#[test]
fn that_are_truncated() {
    let whole = std::fs::read(&OnFiles::new().site.path).unwrap();
    for length in [9, 10, 100, 319, 320, 4096, 5000, whole.len() / 2] {
        let error = refused_bytes(&whole[..length]);
        assert!(
            matches!(
                error,
                OpenError::File(FileError::Damaged { .. })
                    | OpenError::Backend {
                        source: BackendError::Damaged { .. },
                        ..
                    }
                    | OpenError::Peek(PeekError::Backend {
                        source: BackendError::Damaged { .. },
                        ..
                    })
            ),
            "cut to {length}: {error:?}"
        );
    }
}

#[test]
fn that_are_directories() {
    let store = OnFiles::new();
    std::fs::remove_file(&store.site.path).unwrap();
    std::fs::create_dir(&store.site.path).unwrap();
    let error = store.refused();
    assert!(
        matches!(&error, OpenError::File(FileError::NotAStore { detail, .. })
            if detail.contains("a directory")),
        "{error:?}"
    );
}

#[test]
fn that_do_not_exist() {
    let mut store = OnFiles::new();
    std::fs::remove_file(&store.site.path).unwrap();
    let missing = store.refused();
    assert!(matches!(
        missing,
        OpenError::File(FileError::NotFound { .. })
    ));
    store.site.path = store.dir.path().join("no directory/state.db");
    let missing = store.refused();
    assert!(matches!(
        missing,
        OpenError::File(FileError::NotFound { .. })
    ));
}

#[test]
fn that_another_handle_writes() {
    let store = OnFiles::new();
    let exclusive = store.site.request().sharing(Sharing::Exclusive);
    let exclusive = store.site.try_open(exclusive).unwrap();
    let error = store.site.try_open(store.site.request()).unwrap_err();
    assert!(
        matches!(error, OpenError::File(FileError::InUse { .. })),
        "{error:?}"
    );
    exclusive.close().unwrap();
    let writer = store.site.open();
    // Writers share the store, and readers can open it.
    let second = store.site.open();
    append(&second, "of the second", "value");
    assert_eq!(get(&writer, "of the second"), Some(b"value".to_vec()));
    append(&writer, "key", "value");
    let mut request = store.site.request();
    request.options.access = Access::ReadOnly;
    let reader = store.site.try_open(request).unwrap();
    assert_eq!(get(&reader, "key"), Some(b"value".to_vec()));
    append(&writer, "key", "later");
    assert_eq!(get(&reader, "key"), Some(b"later".to_vec()));
    append(&second, "key", "last");
    assert_eq!(get(&writer, "key"), Some(b"last".to_vec()));
    assert_whole(&reader);
}

#[test]
fn are_not_created_over_existing_ones() {
    let store = OnFiles::new();
    let before = contents(store.dir.path());
    let (backend, path) = (&*store.site.backend, &store.site.path);
    let made = Store::create(backend, path, &genesis(), &store.site.machine);
    assert!(format!("{made:?}").contains("Exists"), "{made:?}");
    let nowhere = store.dir.path().join("no directory/state.db");
    assert!(Store::create(backend, &nowhere, &genesis(), &store.site.machine).is_err());
    assert!(contents(store.dir.path()) == before);
}
