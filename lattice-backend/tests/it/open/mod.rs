//! Opening: what is refused, with which error, and that a refusal leaves everything as it was.

mod files;
mod plain_redb;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lattice_backend::backend::{
    Access, BackendError, FileError, OpenOptions, PeekError, Sharing, Table, WriteTx,
};
use lattice_backend::engine::open::OpenError;
use lattice_backend::redb::RedbBackend;
use lattice_meta::{GenesisError, MetaError, MetaKey, SchemaVersion};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

use crate::registers::Registers;
use crate::support::*;

/// Names and contents of everything in a directory.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = path.is_file().then(|| std::fs::read(&path).unwrap());
            (path, bytes)
        })
        .collect()
}

struct OnFiles {
    dir: TempDir,
    site: Site,
}

impl OnFiles {
    /// A store with three ops.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(RedbBackend::on_files(), dir.path().join("state.db"));
        let store = site.open();
        for key in ["a", "b", "c"] {
            append(&store, key, "value");
        }
        store.close().unwrap();
        Self { dir, site }
    }

    /// Changes rows in the backend, bypassing the engine.
    fn edit(&self, edit: impl Fn(&mut dyn WriteTx)) -> &Self {
        let options = OpenOptions::read_write();
        let db = self.site.backend.open(&self.site.path, &options).unwrap();
        let mut tx = db.begin_write().unwrap();
        edit(&mut *tx);
        tx.commit().unwrap().wait().unwrap();
        db.close().unwrap();
        self
    }

    fn put_meta(&self, key: &MetaKey, value: &[u8]) -> &Self {
        self.edit(|tx| tx.put(Table::Meta, &key.to_bytes(), value).unwrap())
    }

    /// Opens for reading and for writing in both modes: each is refused alike and changes nothing.
    fn refused(&self) -> OpenError {
        self.refused_as(&Registers::default())
    }

    fn refused_as(&self, machine: &Registers) -> OpenError {
        let before = contents(self.dir.path());
        let exclusive = OpenOptions {
            sharing: Sharing::Exclusive,
            ..OpenOptions::read_write()
        };
        let all = [
            OpenOptions::read_only(),
            OpenOptions::read_write(),
            exclusive,
        ];
        let mut errors = all.map(|options| {
            let mut request = self.site.request().identity(owner());
            request.options = options;
            let error =
                lattice_backend::engine::Engine::open(request, machine.clone()).unwrap_err();
            assert!(
                contents(self.dir.path()) == before,
                "{error:?} changed a byte"
            );
            Some(error)
        });
        let texts = errors.each_ref().map(|error| format!("{error:?}"));
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0], texts[2]);
        errors[0].take().unwrap()
    }

    fn refused_meta(&self) -> MetaError {
        let peeked = self.site.backend.peek_info(&self.site.path).unwrap_err();
        match (self.refused(), peeked) {
            (
                OpenError::Peek(PeekError::Meta { source, .. }),
                PeekError::Meta { source: peeked, .. },
            ) => {
                assert_eq!(source, peeked);
                source
            }
            other => panic!("{other:?}"),
        }
    }

    fn refused_backend(&self) -> String {
        match self.refused() {
            OpenError::Backend { store_id, source } => {
                assert_eq!(store_id, genesis().store_id());
                source.to_string()
            }
            other => panic!("{other:?}"),
        }
    }
}

mod meta {
    use super::*;

    #[test]
    fn rows_that_are_missing() {
        for key in [MetaKey::StoreId, MetaKey::StoreType, MetaKey::SchemaVersion] {
            let store = OnFiles::new();
            store.edit(|tx| {
                tx.remove(Table::Meta, &key.to_bytes()).unwrap().unwrap();
            });
            assert_eq!(store.refused_meta(), MetaError::Missing { key });
        }
    }

    #[test]
    fn rows_of_the_wrong_length() {
        let tip = MetaKey::Tip(owner().public());
        let keys = [
            (MetaKey::StoreId, 16),
            (MetaKey::SchemaVersion, 8),
            (tip, 32),
        ];
        for (key, expected) in keys {
            for found in [0, expected - 1, expected + 1] {
                let store = OnFiles::new();
                store.put_meta(&key, &vec![0; found]);
                let error = store.refused_meta();
                assert_eq!(
                    error,
                    MetaError::Length {
                        key,
                        expected,
                        found
                    }
                );
            }
        }
    }

    #[test]
    fn invalid_types_and_invalid_tip_keys() {
        for text in [
            &b""[..],
            b"one",
            b"Core:store",
            b"a:b:c",
            b"core:\xff",
            &[b'a'; 129],
        ] {
            let store = OnFiles::new();
            store.put_meta(&MetaKey::StoreType, text);
            assert!(matches!(store.refused_meta(), MetaError::StoreType(_)));
        }
        for length in [0, 31, 33] {
            let store = OnFiles::new();
            let key = [&b"tip/"[..], &vec![7; length]].concat();
            store.edit(|tx| tx.put(Table::Meta, &key, &[0; 32]).unwrap());
            assert!(matches!(store.refused_meta(), MetaError::Key(_)));
        }
    }

    #[test]
    fn unknown_rows_are_ignored() {
        let store = OnFiles::new();
        store.edit(|tx| tx.put(Table::Meta, b"color", b"blue").unwrap());
        let info = store.site.open().info().unwrap();
        assert_eq!(info.unknown_keys, [b"color"]);
    }
}

mod identity {
    use super::*;

    #[test]
    fn a_swapped_type() {
        let store = OnFiles::new();
        store.put_meta(&MetaKey::StoreType, b"org.example.other");
        let other = Registers::of_type("org.example.other");
        for machine in [Registers::default(), other] {
            let error = store.refused_as(&machine);
            assert!(
                matches!(&error, OpenError::TypeAgainstGenesis { certified, found, .. }
                    if *certified == Registers::store_type()
                        && found.as_str() == "org.example.other"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_swapped_id() {
        let store = OnFiles::new();
        store.put_meta(&MetaKey::StoreId, &[7; 16]);
        let error = store.refused();
        assert!(
            matches!(&error, OpenError::IdAgainstGenesis { certified, found }
                if *certified == genesis().store_id() && found.as_bytes() == &[7; 16]),
            "{error:?}"
        );
    }

    #[test]
    fn another_store_than_the_one_asked_for() {
        let store = OnFiles::new();
        let before = contents(store.dir.path());
        let mut request = store.site.request();
        request.expected = Some(lattice_meta::StoreId::from_bytes([3; 16]));
        let error = store.site.try_open(request.clone()).unwrap_err();
        assert!(
            matches!(&error, OpenError::OtherStore { found, .. } if *found == genesis().store_id()),
            "{error:?}"
        );
        assert!(contents(store.dir.path()) == before);
        request.expected = Some(genesis().store_id());
        store.site.try_open(request).unwrap();
    }

    #[test]
    fn logic_of_another_type() {
        let machine = Registers::of_type("org.example.other");
        let error = OnFiles::new().refused_as(&machine);
        assert!(matches!(error, OpenError::OtherType { .. }), "{error:?}");
    }

    #[test]
    fn a_damaged_genesis() {
        let bytes = genesis().encode();
        let store = OnFiles::new();
        store.edit(|tx| {
            tx.put(Table::System, b"genesis", &bytes[..bytes.len() - 1])
                .unwrap();
        });
        assert!(matches!(
            store.refused(),
            OpenError::Genesis {
                source: GenesisError::Codec(_),
                ..
            }
        ));
        let newer = [&[2], &bytes[1..]].concat();
        store.edit(|tx| tx.put(Table::System, b"genesis", &newer).unwrap());
        assert!(matches!(
            store.refused(),
            OpenError::Genesis {
                source: GenesisError::Format { found: 2 },
                ..
            }
        ));
        store.edit(|tx| {
            tx.remove(Table::System, b"genesis").unwrap();
        });
        assert!(matches!(store.refused(), OpenError::NoGenesis { .. }));
    }
}

mod logic {
    use super::*;

    #[test]
    fn newer_and_older_schemas() {
        let store = OnFiles::new();
        for (written, newer) in [(5_u64, true), (u64::MAX, true), (1, false), (0, false)] {
            store.put_meta(&MetaKey::SchemaVersion, &written.to_le_bytes());
            match store.refused() {
                OpenError::NewerSchema { newest, found, .. } => {
                    assert!(newer);
                    assert_eq!((newest.get(), found.get()), (4, written));
                }
                OpenError::OlderSchema { oldest, found, .. } => {
                    assert!(!newer);
                    assert_eq!((oldest.get(), found.get()), (2, written));
                }
                other => panic!("{other:?}"),
            }
        }
        store.put_meta(&MetaKey::SchemaVersion, &4_u64.to_le_bytes());
        assert_eq!(store.site.open().schema_version(), SchemaVersion::new(4));
    }
}

/// Damage to Lattice's own rows is found before the file is opened for writing.
mod damage {
    use super::*;

    #[test]
    fn to_the_row_of_counters() {
        let store = OnFiles::new();
        store.edit(|tx| tx.put(Table::System, b"ledger", &[0; 2079]).unwrap());
        let text = store.refused_backend();
        assert!(
            text.contains("a ledger of 2,080 bytes, found 2079 bytes"),
            "{text}"
        );
        // More ops indexed than applied.
        let mut ledger = vec![0; 2080];
        ledger[8] = 1;
        store.edit(|tx| tx.put(Table::System, b"ledger", &ledger).unwrap());
        assert!(store.refused_backend().contains("1 indexed of 0"));
        // More ops applied than exist.
        ledger[0] = 200;
        store.edit(|tx| tx.put(Table::System, b"ledger", &ledger).unwrap());
        let writing = store.site.try_open(store.site.request()).unwrap_err();
        assert!(
            format!("{writing:?}").contains("none under 3"),
            "{writing:?}"
        );
        store.edit(|tx| {
            tx.remove(Table::System, b"ledger").unwrap();
            tx.remove(Table::System, b"logic").unwrap();
        });
        assert!(
            store
                .refused_backend()
                .contains("the version of the store's logic")
        );
    }

    /// Rows that only a writer reads are checked only for a writer, still before any byte changes.
    #[test]
    fn to_the_last_ops_or_to_a_head() {
        let truncate = |tx: &mut dyn WriteTx| {
            let key = 2_u64.to_be_bytes();
            let record = tx.get(Table::Ops, &key).unwrap().unwrap();
            tx.put(Table::Ops, &key, &record[..record.len() - 70])
                .unwrap();
        };
        let bad_head = |tx: &mut dyn WriteTx| {
            tx.put(Table::System, b"frontier/short", &[0; 8]).unwrap();
        };
        let edits: [fn(&mut dyn WriteTx); 2] = [truncate, bad_head];
        for edit in edits {
            let store = OnFiles::new();
            store.edit(edit);
            let before = contents(store.dir.path());
            let error = store.site.try_open(store.site.request()).unwrap_err();
            assert!(
                matches!(
                    &error,
                    OpenError::Backend {
                        source: BackendError::Row { .. },
                        ..
                    }
                ),
                "{error:?}"
            );
            assert!(
                contents(store.dir.path()) == before,
                "the refusal changed a byte"
            );
        }
    }
}
