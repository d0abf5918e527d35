//! Many commands in one transaction: all of them or none.

use std::convert::Infallible;

use lattice_backend::backend::OpenOptions;
use lattice_backend::engine::write::AppendAllError;

use super::*;
use crate::late::{Flaw, Late};

type Source = Box<dyn Iterator<Item = Result<Command, &'static str>>>;

fn commands(count: u64) -> impl Iterator<Item = Result<Command, &'static str>> {
    (0..count).map(|nth| Ok(Command::set(format!("key {}", nth % 300), format!("{nth}"))))
}

#[test]
fn all_are_applied_in_one_transaction() {
    let backend = Late::new(Flaw::None);
    let site = Site::new(backend.clone(), "state.db");
    let store = site.open();
    // More ops than an index step, so that the tail is written too.
    assert_eq!(store.append_all(&mut commands(700)).unwrap(), 700);
    assert_eq!(backend.commits(), 1);
    assert_eq!(store.op_count().unwrap(), 700);
    assert_eq!(get(&store, "key 99"), Some(b"699".to_vec()));
    append(&store, "key 99", "after");
    assert_whole(&store);
    store.close().unwrap();
    assert_whole(&site.open());
}

/// The call ends early at every place, for either reason. The store is unchanged, in memory and on
/// disk, and its pending ops are still there.
#[test]
fn a_call_that_ends_early_changes_nothing() {
    for early in [0, 1, 5, 300] {
        for refused in [false, true] {
            let (site, _) = Site::redb();
            let store = site.open();
            append(&store, "kept", "value");
            let others = chain(&secret(2), 2);
            ingest(&store, &[&others[1]]);
            let before = (store.state_hash().unwrap(), store.frontier().unwrap());
            let last = if refused {
                Ok(Command::Raw(vec![0]))
            } else {
                Err("the source")
            };
            let mut source: Source = Box::new(commands(early).chain([last]).chain(commands(9)));
            match store.append_all(&mut source) {
                Err(AppendAllError::Source(error)) => {
                    assert_eq!((error, refused), ("the source", false))
                }
                Err(AppendAllError::Command { index, source }) => {
                    assert_eq!((index, refused), (early, true));
                    assert!(matches!(source, AppendError::Invalid(None)), "{source:?}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(
                (store.state_hash().unwrap(), store.frontier().unwrap()),
                before
            );
            assert_eq!(store.pending_ops(), 1);
            ingest(&store, &[&others[0]]);
            assert_eq!(store.pending_ops(), 0);
            append(&store, "kept", "again");
            assert_whole(&store);
            store.close().unwrap();
            assert_whole(&site.open());
        }
    }
}

#[test]
fn an_empty_iterator_appends_no_op() {
    let store = replica(1);
    assert_eq!(store.append_all(&mut commands(0)).unwrap(), 0);
    assert_eq!(store.op_count().unwrap(), 0);
}

#[test]
fn a_read_only_store_is_refused_before_a_command_is_read() {
    let (site, _) = Site::redb();
    let mut request = site.request();
    request.options = OpenOptions::read_only();
    let store = site.try_open(request).unwrap();
    let mut source = std::iter::from_fn(|| -> Option<Result<Command, Infallible>> {
        panic!("no command is asked for")
    });
    let refused = store.append_all(&mut source).unwrap_err();
    assert!(
        matches!(
            refused,
            AppendAllError::Command {
                source: AppendError::Backend(BackendError::ReadOnly),
                ..
            }
        ),
        "{refused:?}"
    );
}
