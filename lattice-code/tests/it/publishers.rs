//! Releases that a catalogue announces: first use, trust, and what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lattice_backend::backend::Cause;
use lattice_backend::op::SecretKey;
use lattice_backend::redb::RedbBackend;
use lattice_code::releases::{Filter, Publish, ReleaseStore};
use lattice_code::{
    Announced, Because, Catalogue, CodeLibrary, DirectorySource, LibraryError, Place,
};
use lattice_meta::{Cid, PubKey, StoreType};
use lattice_registry::{ManagerError, ManagerOptions, Registry, ResolveError, StoreManager};
use lattice_wasm::guests;

use crate::support::{CHAT, of};

/// A registry in memory; its author is the publisher.
#[derive(Debug)]
struct Registered(ReleaseStore);

impl Catalogue for Registered {
    fn releases(&self, store_type: &StoreType) -> Result<Announced, Cause> {
        let filter = Filter {
            store_type: Some(store_type.clone()),
            ..Filter::default()
        };
        Ok(Announced {
            releases: self.0.releases(&filter)?,
            unreadable: Vec::new(),
        })
    }
}

fn registered(modules: &[&[u8]]) -> (Registered, PubKey) {
    let store = ReleaseStore::in_memory().unwrap();
    for (release, wasm) in (1..).zip(modules) {
        let published = Publish {
            store_type: of(CHAT),
            release,
            cid: Cid::of(wasm),
            length: u32::try_from(wasm.len()).unwrap(),
            abi: 1,
            schemas: (1, 1),
            replaces: None,
            notes: String::new(),
        };
        store.publish(&published).unwrap();
    }
    let publisher = store.releases(&Filter::default()).unwrap()[0].publisher;
    (Registered(store), publisher)
}

fn manager(dir: &std::path::Path, library: CodeLibrary) -> (Arc<CodeLibrary>, StoreManager) {
    let library = Arc::new(library);
    let mut registry = Registry::new();
    library.attach(&mut registry);
    let backend = Arc::new(RedbBackend::on_files());
    let options = ManagerOptions::new(SecretKey::from_bytes(&[7; 32]));
    let manager = StoreManager::new(dir, backend, registry, options);
    (library, manager)
}

#[test]
fn the_user_is_asked_once_and_a_refusal_trusts_nothing() {
    for answer in [false, true] {
        let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cid = Cid::of(guests::CHAT);
        std::fs::write(shared.path().join(cid.to_string()), guests::CHAT).unwrap();
        let (catalogue, publisher) = registered(&[guests::CHAT]);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let library = CodeLibrary::new(dir.path())
            .catalogue(catalogue)
            .source(DirectorySource::new(shared.path()))
            .ask(move |release| {
                count.fetch_add(1, Ordering::SeqCst);
                assert_eq!(release.publisher, publisher);
                answer
            });
        let (library, manager) = manager(dir.path(), library);
        let created = manager.create(&of(CHAT));
        if !answer {
            let Err(ManagerError::Resolve(ResolveError::Resolver { source, .. })) = created else {
                panic!("{created:?}");
            };
            let error = source.downcast_ref::<LibraryError>().unwrap();
            assert!(
                matches!(error, LibraryError::NoPublisher { publishers, .. }
                    if *publishers == [publisher]),
                "{error:?}"
            );
            assert!(!dir.path().join("code.toml").exists());
            continue;
        }
        created.unwrap();
        manager.create(&of(CHAT)).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let trust = library.trusted().unwrap().of_type(&of(CHAT));
        assert_eq!(trust.publisher, Some(publisher));
        let because = library.because(&cid, &of(CHAT)).unwrap();
        assert!(
            matches!(because, Some(Because::Published { release: 1, .. })),
            "{because:?}"
        );
        // The store records the module, so it was copied into the cache.
        let found = library.find(&cid).unwrap().unwrap();
        assert!(matches!(found.place, Place::Cache(_)), "{found:?}");
    }
}

#[test]
fn another_publisher_is_not_offered_where_one_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (catalogue, _) = registered(&[guests::CHAT]);
    let library = CodeLibrary::new(dir.path())
        .catalogue(catalogue)
        .ask(|_| panic!("the user was asked"));
    let mut trust = library.trusted().unwrap().of_type(&of(CHAT));
    trust.publisher = Some(SecretKey::from_bytes(&[9; 32]).public());
    library
        .change_type(&of(CHAT), |it| *it = trust.clone())
        .unwrap();
    let (_, manager) = manager(dir.path(), library);
    assert!(manager.create(&of(CHAT)).is_err());
}

#[test]
fn pins_and_the_last_two_releases_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let modules = [guests::CHAT_BROKEN, guests::CHAT, guests::CHAT_HOTFIX];
    let (catalogue, publisher) = registered(&modules);
    let library = CodeLibrary::new(dir.path()).catalogue(catalogue);
    assert!(library.wanted().unwrap().is_empty());
    let mut trust = library.trusted().unwrap().of_type(&of(CHAT));
    trust.publisher = Some(publisher);
    library
        .change_type(&of(CHAT), |it| *it = trust.clone())
        .unwrap();
    let last = [guests::CHAT, guests::CHAT_HOTFIX].map(Cid::of);
    assert_eq!(library.wanted().unwrap(), last.into_iter().collect());
    trust.pin = Some(Cid::of(guests::CHAT_BROKEN));
    trust.policy = lattice_code::Policy::Pinned;
    library
        .change_type(&of(CHAT), |it| *it = trust.clone())
        .unwrap();
    assert_eq!(library.wanted().unwrap().len(), 3);
}

#[test]
fn a_directory_is_a_source_whose_modules_are_hashed() {
    let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cid = Cid::of(guests::CHAT);
    let library =
        CodeLibrary::new(dir.path()).source(DirectorySource::new(shared.path().join("later")));
    assert!(library.find(&cid).unwrap().is_none());
    let later = shared.path().join("later");
    std::fs::create_dir(&later).unwrap();
    let file = later.join(format!("{cid}.wasm"));
    std::fs::write(&file, guests::CHAT_HOTFIX).unwrap();
    let error = library.find(&cid).unwrap_err();
    assert!(matches!(error, LibraryError::Source { .. }), "{error:?}");
    std::fs::write(&file, guests::CHAT).unwrap();
    assert_eq!(library.find(&cid).unwrap().unwrap().wasm, guests::CHAT);
}
