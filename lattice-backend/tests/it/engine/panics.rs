//! State machines that panic.

use super::*;

fn check(site: &Site, break_it: impl Fn(&Store) + std::panic::UnwindSafe) {
    let store = site.open();
    let first = append(&store, "key", "before");
    catch_unwind(AssertUnwindSafe(|| break_it(&store))).expect_err("it panics");
    site.machine.panics.store(false, Ordering::SeqCst);
    assert!(!store.is_usable());
    let refused = store.append(Command::set("key", "after")).unwrap_err();
    assert!(
        matches!(refused, AppendError::Backend(BackendError::Unusable)),
        "{refused:?}"
    );
    let refused = store.ingest(&mut std::iter::empty(), &Authors::Any);
    assert!(matches!(refused, Err(BackendError::Unusable)));
    assert!(matches!(store.state_hash(), Err(BackendError::Unusable)));
    store.close().unwrap();
    let store = site.open();
    assert_eq!(history(&store), [first]);
    append(&store, "key", "after");
    assert_whole(&store);
}

#[test]
fn while_preparing_leave_the_file_whole() {
    check(&Site::redb().0, |store| {
        drop(store.append(Command::Panic));
    });
}

#[test]
fn while_applying_leave_the_file_whole() {
    for site in [Site::redb().0, Site::memory()] {
        check(&site, |store| {
            store.machine().panics.store(true, Ordering::SeqCst);
            drop(store.append(Command::set("key", "value")));
        });
    }
}

#[test]
fn during_ingest_leave_the_file_whole_and_are_no_verdict() {
    let site = Site::redb().0;
    let foreign = chain(&secret(2), 3);
    check(&site, |store| {
        store.machine().panics.store(true, Ordering::SeqCst);
        ingest(store, &foreign.iter().collect::<Vec<_>>());
    });
    let store = site.open();
    let report = ingest(&store, &foreign.iter().collect::<Vec<_>>());
    assert_eq!(report.applied(), 3);
}

/// Those who wait in the same group are told, not left waiting.
#[test]
fn reach_every_thread_of_the_group() {
    let store = Arc::new(replica(1));
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                loop {
                    let command = match thread {
                        0 => Command::Panic,
                        _ => Command::set([thread], "value"),
                    };
                    match catch_unwind(AssertUnwindSafe(|| store.append(command))) {
                        Ok(Ok(_)) => {}
                        Ok(Err(AppendError::Backend(BackendError::Unusable))) | Err(_) => break,
                        Ok(Err(error)) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
}
