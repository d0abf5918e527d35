//! Where modules are found, and which of them may run.

use std::fs;
use std::sync::Arc;

use lattice_code::{CodeLibrary, LibraryError, Place, Trusted};
use lattice_kvstore::{KvStore, kv_opener};
use lattice_meta::Cid;
use lattice_registry::{NamedType, Registry};
use lattice_wasm::guests;

use crate::support::{CHAT, of};

fn chat() -> Cid {
    Cid::of(guests::CHAT)
}

#[test]
fn a_library_creates_no_files_until_a_module_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path().join("data"));
    assert_eq!(library.find(&chat()).unwrap(), None);
    assert!(!library.is_trusted(&chat()).unwrap());
    assert_eq!(library.cached().unwrap(), []);
    assert!(library.of_type(&of(CHAT)).unwrap().is_empty());
    assert!(!dir.path().join("data").exists());
}

#[test]
fn an_added_module_is_trusted_and_found_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    let (code, is_new) = library.add(guests::CHAT, "chat.wasm").unwrap();
    assert_eq!((code.cid(), is_new), (chat(), true));
    assert!(!library.add(guests::CHAT, "chat.wasm").unwrap().1);
    let other = CodeLibrary::new(dir.path());
    assert!(other.is_trusted(&chat()).unwrap());
    assert_eq!(other.cached().unwrap(), [chat()]);
    let found = other.find(&chat()).unwrap().unwrap();
    assert_eq!(found.wasm, guests::CHAT);
    assert_eq!(
        found.place,
        Place::Cache(dir.path().join("wasm").join(chat().to_string()))
    );
    assert_eq!(other.code(&chat(), &of(CHAT)).unwrap().cid(), chat());
    let trusted = Trusted::load(dir.path()).unwrap();
    assert!(trusted.added(&chat()).unwrap().ends_with('Z'));
}

/// Each change reads the list and writes it with one more entry.
#[test]
fn threads_that_add_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let modules = [
        guests::CHAT,
        guests::CHAT_HOTFIX,
        guests::CHAT_BROKEN,
        guests::CHAT_V2,
    ];
    std::thread::scope(|threads| {
        for wasm in modules {
            threads.spawn(|| CodeLibrary::new(dir.path()).add(wasm, "a module").unwrap());
        }
    });
    let library = CodeLibrary::new(dir.path());
    for wasm in modules {
        assert!(library.is_trusted(&Cid::of(wasm)).unwrap());
    }
    assert_eq!(library.cached().unwrap().len(), modules.len());
}

/// Every read hashes the cached file: a damaged one is renamed.
#[test]
fn a_damaged_file_of_the_cache_is_set_aside_and_others_are_tried() {
    let (dir, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    CodeLibrary::new(dir.path())
        .add(guests::CHAT, "chat")
        .unwrap();
    let cached = dir.path().join("wasm").join(chat().to_string());
    let mut bytes = guests::CHAT.to_vec();
    bytes[1_000] ^= 1;
    fs::write(&cached, &bytes).unwrap();
    let library = CodeLibrary::new(dir.path()).search_path([others.path().to_path_buf()]);
    let missing = library.code(&chat(), &of(CHAT)).unwrap_err();
    assert!(
        matches!(missing, LibraryError::Missing { .. }),
        "{missing:?}"
    );
    assert!(!cached.exists());
    assert_eq!(fs::read(cached.with_extension("bad")).unwrap(), bytes);
    // A module on the search path, under any name, among other files.
    fs::write(others.path().join("a.wasm"), b"no module").unwrap();
    fs::write(others.path().join("b.wasm"), guests::CHAT).unwrap();
    let found = library.find(&chat()).unwrap().unwrap();
    assert_eq!(found.place, Place::Path(others.path().join("b.wasm")));
    assert!(library.code(&chat(), &of(CHAT)).is_ok());
}

#[test]
fn a_source_supplies_bytes_but_not_trust() {
    let (dir, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = others.path().join("chat");
    fs::write(&file, guests::CHAT).unwrap();
    let library = CodeLibrary::new(dir.path()).files([file.clone()]);
    assert_eq!(
        library.find(&chat()).unwrap().unwrap().place,
        Place::File(file.clone())
    );
    let refused = library.code(&chat(), &of(CHAT)).unwrap_err();
    let named = file.display().to_string();
    assert!(
        matches!(&refused, LibraryError::NotTrusted { cid, found, .. }
            if *cid == chat() && *found == named),
        "{refused:?}"
    );
    // Neither does the cache.
    fs::create_dir_all(dir.path().join("wasm")).unwrap();
    fs::write(
        dir.path().join("wasm").join(chat().to_string()),
        guests::CHAT,
    )
    .unwrap();
    let refused = library.code(&chat(), &of(CHAT)).unwrap_err();
    assert!(
        matches!(refused, LibraryError::NotTrusted { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_kept_module_is_cached_but_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    for bytes in [&b"no module"[..], guests::KVSTORE] {
        library.keep(bytes, "it").unwrap_err();
    }
    assert!(!dir.path().join("wasm").exists());
    assert_eq!(library.keep(guests::CHAT, "chat").unwrap().cid(), chat());
    assert_eq!(library.cached().unwrap(), [chat()]);
    assert!(!library.is_trusted(&chat()).unwrap());
    assert!(!dir.path().join("code.toml").exists());
    let refused = library.code(&chat(), &of(CHAT)).unwrap_err();
    assert!(
        matches!(refused, LibraryError::NotTrusted { .. }),
        "{refused:?}"
    );
    // Keeping a trusted module again does not revoke its trust.
    library.add(guests::CHAT, "chat").unwrap();
    library.keep(guests::CHAT, "chat").unwrap();
    assert!(library.is_trusted(&chat()).unwrap());
}

#[test]
fn the_error_for_a_missing_module_names_every_source() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path()).search_path(["somewhere".into(), "nowhere".into()]);
    let missing = library.code(&chat(), &of(CHAT)).unwrap_err();
    let LibraryError::Missing { cid, looked_in, .. } = &missing else {
        panic!("{missing:?}");
    };
    assert_eq!((*cid, looked_in.len()), (chat(), 3));
    assert!(
        missing.to_string().contains("somewhere, nowhere"),
        "{missing}"
    );
}

#[test]
fn core_types_accept_only_the_modules_that_native_code_names() {
    let dir = tempfile::tempdir().unwrap();
    let refused = CodeLibrary::new(dir.path())
        .add(guests::KVSTORE, "kvstore")
        .unwrap_err();
    assert!(
        matches!(refused, LibraryError::Reserved { .. }),
        "{refused:?}"
    );
    assert!(!dir.path().join("wasm").exists());
    let mut registry = Registry::new();
    registry
        .register(of(KvStore::STORE_TYPE), kv_opener())
        .unwrap();
    let library = CodeLibrary::new(dir.path()).pinned_by(&registry);
    assert!(library.is_trusted(&Cid::of(guests::KVSTORE)).unwrap());
    assert!(library.add(guests::KVSTORE, "kvstore").is_ok());
    let refused = library.add(guests::LOGSTORE, "logstore").unwrap_err();
    assert!(
        matches!(refused, LibraryError::Reserved { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_is_not_a_module_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    let long = vec![0; lattice_wasm::abi::MAX_CODE_BYTES + 1];
    for bytes in [&b""[..], b"no module", &guests::CHAT[..5_000], &long] {
        let refused = library.add(bytes, "it").unwrap_err();
        assert!(
            matches!(refused, LibraryError::Refused { .. }),
            "{refused:?}"
        );
    }
    assert!(!dir.path().join("wasm").exists());
}

#[test]
fn a_module_opens_only_stores_of_its_own_type() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    library.add(guests::CHAT, "chat").unwrap();
    let refused = library.code(&chat(), &of("org.example.other")).unwrap_err();
    assert!(
        matches!(refused, LibraryError::Refused { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_list_that_cannot_be_read_trusts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let library = CodeLibrary::new(dir.path());
    library.add(guests::CHAT, "chat").unwrap();
    let kept = fs::read_to_string(dir.path().join("code.toml")).unwrap();
    for broken in [
        "added = 3".to_owned(),
        "[added]\nbafk = \"2026-11-26\"".to_owned(),
        "[trusted]\n".to_owned(),
        kept.replace("[added]", "[added"),
    ] {
        fs::write(dir.path().join("code.toml"), &broken).unwrap();
        let refused = library.is_trusted(&chat()).unwrap_err();
        assert!(
            matches!(refused, LibraryError::Trust { .. }),
            "{broken}: {refused:?}"
        );
        let refused = library.add(guests::CHAT_V2, "v2").unwrap_err();
        assert!(
            matches!(refused, LibraryError::Trust { .. }),
            "{broken}: {refused:?}"
        );
        // The user has to fix the file, so it is still there.
        assert_eq!(
            fs::read_to_string(dir.path().join("code.toml")).unwrap(),
            broken
        );
    }
}

/// All stores with one content id share the compiled module.
#[test]
fn a_module_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let library = Arc::new(CodeLibrary::new(dir.path()));
    library.add(guests::CHAT, "chat").unwrap();
    let one = library.code(&chat(), &of(CHAT)).unwrap();
    let other = library.code(&chat(), &of(CHAT)).unwrap();
    let checked = library.check(guests::CHAT, "chat").unwrap();
    assert!(std::ptr::eq(one.manifest(), checked.manifest()));
    assert!(std::ptr::eq(one.manifest(), other.manifest()));
}

/// A named file that cannot run is an error; one that is not trusted is skipped.
#[test]
fn files_named_by_the_user_are_preferred_if_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("named");
    let prefer = || {
        let mut registry = Registry::new();
        let library = CodeLibrary::new(dir.path()).files([file.clone()]);
        let preferred = library.prefer_files(&mut registry);
        preferred.map(|()| registry.types().count())
    };
    assert!(matches!(prefer(), Err(LibraryError::Files(_))));
    fs::write(&file, b"no module").unwrap();
    assert!(matches!(prefer(), Err(LibraryError::Refused { .. })));
    fs::write(&file, guests::CHAT).unwrap();
    assert_eq!(prefer().unwrap(), 0);
    CodeLibrary::new(dir.path())
        .add(guests::CHAT, "chat")
        .unwrap();
    assert_eq!(prefer().unwrap(), 1);
    fs::write(dir.path().join("code.toml"), "broken").unwrap();
    assert!(matches!(prefer(), Err(LibraryError::Trust { .. })));
}
