//! State machines that panic, and iterators that panic.

use lattice_backend::engine::write::AppendAllError;
use lattice_backend::machine::LogicFault;

use super::*;

const TOLD: &str = "told to panic";

/// A panic in the store type's code does not mean that the store is damaged: the call returns an
/// error, nothing is written, and the handle stays usable.
fn check(site: &Site, break_it: impl Fn(&Store) -> LogicFault) {
    let store = site.open();
    let first = append(&store, "key", "before");
    let message = TOLD.to_owned();
    assert_eq!(break_it(&store), LogicFault::Panic { message });
    site.machine.panics.store(false, Ordering::SeqCst);
    assert!(store.is_usable());
    assert_eq!(history(&store), std::slice::from_ref(&first));
    assert_whole(&store);
    let second = append(&store, "key", "after");
    assert_eq!(second.prev(), Some(first.reference()));
    store.close().unwrap();
    let store = site.open();
    assert_eq!(history(&store), [first, second]);
    assert_whole(&store);
}

fn fault_of(store: &Store, command: Command) -> LogicFault {
    match store.append(command) {
        Err(AppendError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn while_preparing_leave_file_and_handle_intact() {
    check(&Site::redb().0, |store| fault_of(store, Command::Panic));
}

#[test]
fn while_applying_leave_file_and_handle_intact() {
    for site in [Site::redb().0, Site::memory()] {
        check(&site, |store| {
            store.machine().panics.store(true, Ordering::SeqCst);
            fault_of(store, Command::set("key", "value"))
        });
    }
}

#[test]
fn in_append_all_undo_all_of_it() {
    for panics_late in [false, true] {
        check(&Site::redb().0, |store| {
            let good = (0..300).map(|nth| Command::set(format!("{nth}"), "value"));
            let commands = good.chain([Command::Panic]).inspect(|command| {
                // The code panics only when it applies the second command.
                let at = matches!(command, Command::Set(key, _) if key == b"1");
                if at && !panics_late {
                    store.machine().panics.store(true, Ordering::SeqCst);
                }
            });
            let failed = store.append_all(commands.map(Ok::<_, ()>));
            let Err(AppendAllError::Command { index, source }) = failed else {
                panic!("{failed:?}");
            };
            assert_eq!(index, if panics_late { 300 } else { 1 });
            match source {
                AppendError::Fault(fault) => fault,
                other => panic!("{other:?}"),
            }
        });
    }
}

/// The iterator belongs to the caller, and so does its panic. The handle becomes unusable.
#[test]
fn of_an_iterator_leave_the_file_intact() {
    let site = Site::redb().0;
    let store = site.open();
    let first = append(&store, "key", "before");
    let commands = (0..3).map(|nth| match nth {
        2 => std::panic::resume_unwind(Box::new(TOLD)),
        _ => Ok::<_, ()>(Command::set("key", "lost")),
    });
    catch_unwind(AssertUnwindSafe(|| store.append_all(commands))).expect_err("it panics");
    assert!(!store.is_usable());
    let refused = store.append(Command::set("key", "after")).unwrap_err();
    assert!(
        matches!(refused, AppendError::Backend(BackendError::Unusable { .. })),
        "{refused:?}"
    );
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert_eq!(cause, "a write to the store panicked");
    let refused = store.ingest(given([]), &Authors::Any);
    assert!(matches!(
        refused,
        Err(IngestError::Backend(BackendError::Unusable { .. }))
    ));
    assert!(matches!(
        store.state_hash(),
        Err(BackendError::Unusable { .. })
    ));
    store.close().unwrap();
    let store = site.open();
    assert_eq!(history(&store), [first]);
    append(&store, "key", "after");
    assert_whole(&store);
}

/// A panic in one command is an error for its caller only: the rest of the batch is applied.
#[test]
fn reach_no_other_thread_of_the_batch() {
    let store = Arc::new(replica(1));
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for nth in 0..20 {
                    if thread == 0 {
                        fault_of(store, Command::Panic);
                    } else {
                        store.append(Command::set([thread], [nth])).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(store.op_count().unwrap(), 7 * 20);
    assert_whole(&store);
}
