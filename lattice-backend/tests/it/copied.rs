//! The guard of copies: who may write to one, and what confirms it.

use std::path::Path;
use std::sync::Arc;

use lattice_backend::backend::{BackendError, Table, WriteTx};
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::open::IfCopied;
use lattice_backend::engine::verify::{Depth, rebuild_store};
use lattice_backend::engine::write::{AppendError, CopyConfirmation, PeerSays, mark_copied};
use lattice_backend::op::{BranchTips, SecretKey};
use lattice_backend::progress::ProgressSink;
use lattice_meta::PubKey;

use crate::registers::Command;
use crate::support::{Site, Store, append, assert_whole, owner, pull, secret};

const COPY: &str = "copy.db";

/// The copy of a site's store, which the owner has closed.
fn copy(site: &Site, authors: &[PubKey]) -> Site {
    let mut edit = |tx: &mut dyn WriteTx| mark_copied(tx, authors.iter().copied());
    let backend = &site.backend;
    backend
        .backup(
            &site.path,
            Path::new(COPY),
            &mut edit,
            &ProgressSink::none(),
        )
        .unwrap();
    Site {
        backend: Arc::clone(backend),
        path: COPY.into(),
        clock: Arc::clone(&site.clock),
        machine: site.machine.clone(),
    }
}

fn refused_as(store: &Store, author: &SecretKey) -> bool {
    let before = store.op_count().unwrap();
    match store.append(Command::set("key", "value")) {
        Err(AppendError::CopyUnconfirmed {
            store_id,
            author: named,
        }) => {
            assert_eq!((store_id, named), (store.store_id(), author.public()));
            assert_eq!(store.op_count().unwrap(), before);
            let all = store.append_all([Ok::<_, BackendError>(Command::set("a", "b"))]);
            assert!(all.is_err(), "the guard of one op is that of many");
            true
        }
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A store with ops of its owner and of author 2; author 3 is a stranger.
fn sites() -> [Site; 2] {
    let (redb, _) = Site::redb();
    [Site::memory(), redb].map(|site| {
        for author in [owner(), secret(2)] {
            let store = site.open_as(author);
            append(&store, "before", "the copy");
            store.close().unwrap();
        }
        site
    })
}

#[test]
fn owner_authors_and_listed_ones_are_guarded_and_strangers_are_not() {
    for site in sites() {
        let copy = copy(&site, &[secret(4).public()]);
        for author in [owner(), secret(2), secret(4)] {
            let store = copy.open_as(Arc::clone(&author));
            assert!(refused_as(&store, &author));
            assert!(store.is_unconfirmed_copy().unwrap());
            assert_whole(&store);
            store.close().unwrap();
        }
        let stranger = copy.open_as(secret(3));
        for _ in 0..3 {
            assert!(!refused_as(&stranger, &secret(3)));
        }
        stranger.close().unwrap();
        // Also after its own ops are there.
        let stranger = copy.open_as(secret(3));
        assert!(!refused_as(&stranger, &secret(3)));
        assert!(stranger.is_unconfirmed_copy().unwrap());
        assert_whole(&stranger);
        stranger.close().unwrap();
        // In a copy of this copy, it may have written more.
        let again = Site {
            path: "again.db".into(),
            ..copy
        };
        let mut edit = |tx: &mut dyn WriteTx| mark_copied(tx, []);
        let made = again.backend.backup(
            Path::new(COPY),
            &again.path,
            &mut edit,
            &ProgressSink::none(),
        );
        made.unwrap();
        for author in [owner(), secret(3), secret(4)] {
            let store = again.open_as(Arc::clone(&author));
            assert!(refused_as(&store, &author));
            store.close().unwrap();
        }
        // The original is no copy.
        let store = site.open();
        assert!(!store.is_unconfirmed_copy().unwrap() && !refused_as(&store, &owner()));
    }
}

#[test]
fn an_owner_without_ops_is_guarded() {
    let site = Site::memory();
    let store = copy(&site, &[]).open();
    assert!(refused_as(&store, &owner()));
    // A peer that has no op of an author without ops here has no more than this copy.
    let none = BranchTips::default();
    let confirmed = store.confirm_copy(PeerSays::Tips(&none)).unwrap();
    assert_eq!(confirmed, CopyConfirmation::Confirmed);
    assert!(!refused_as(&store, &owner()));
}

#[test]
fn the_caller_can_continue_a_copy() {
    let [site, _] = sites();
    let copy = copy(&site, &[]);
    let store = copy.open_as(secret(3));
    assert!(!store.continue_copy().unwrap(), "a stranger is not guarded");
    assert!(store.is_unconfirmed_copy().unwrap());
    store.close().unwrap();
    let store = copy.open();
    assert!(refused_as(&store, &owner()));
    assert!(store.continue_copy().unwrap());
    assert!(!store.is_unconfirmed_copy().unwrap() && !refused_as(&store, &owner()));
    assert!(!store.continue_copy().unwrap());
    store.close().unwrap();
    // Or when it is opened.
    let mark = |tx: &mut dyn WriteTx| mark_copied(tx, []);
    let path = Path::new("other.db");
    let backend = &site.backend;
    backend
        .backup(&copy.path, path, &mut { mark }, &ProgressSink::none())
        .unwrap();
    let other = Site {
        path: path.into(),
        ..copy
    };
    let request = other.request().identity(owner());
    let store = other.try_open(request.continue_copy(IfCopied::Continue));
    assert!(!refused_as(&store.unwrap(), &owner()));
}

#[test]
fn a_peer_confirms_a_copy_that_lacks_none_of_its_ops() {
    for site in sites() {
        let copy = copy(&site, &[]);
        let (original, here) = (site.open(), copy.open());
        let peer = Site::memory().open_as(secret(9));
        // A peer without ops of this author, and one that knows only others.
        let silent = here.confirm_copy(PeerSays::Tips(&peer.branch_tips().unwrap()));
        assert_eq!(silent.unwrap(), CopyConfirmation::Silent);
        assert_eq!(
            here.confirm_copy(PeerSays::Ops(&[])).unwrap(),
            CopyConfirmation::Silent
        );
        // As from a bundle of a replica that has nothing yet, or only what others wrote.
        let stranger = append(&peer, "by", "another");
        pull(&peer, &here);
        for frontier in [&[][..], &[stranger.reference()]] {
            assert_eq!(
                here.confirm_copy(PeerSays::Frontier(frontier)).unwrap(),
                CopyConfirmation::Silent
            );
        }
        assert!(refused_as(&here, &owner()));
        let lost = append(&original, "after", "the copy").reference();
        pull(&original, &peer);
        let tips = peer.branch_tips().unwrap();
        for says in [
            PeerSays::Tips(&tips),
            PeerSays::Ops(&[lost]),
            PeerSays::Frontier(&[lost]),
        ] {
            let ahead = here.confirm_copy(says).unwrap();
            assert_eq!(ahead, CopyConfirmation::Ahead { op: lost });
            assert!(refused_as(&here, &owner()));
        }
        let report = pull(&peer, &here);
        assert_eq!((report.own, report.forked), (vec![lost], vec![]));
        assert!(refused_as(&here, &owner()), "ops alone say nothing");
        let frontier = peer.frontier().unwrap();
        let confirmed = here.confirm_copy(PeerSays::Frontier(&frontier)).unwrap();
        assert_eq!(confirmed, CopyConfirmation::Confirmed);
        assert!(!refused_as(&here, &owner()));
        assert_eq!(here.forks().unwrap(), []);
        assert_whole(&here);
        let needless = here.confirm_copy(PeerSays::Tips(&tips)).unwrap();
        assert_eq!(needless, CopyConfirmation::NotNeeded);
    }
}

#[test]
fn ingest_never_meets_the_guard_and_reports_own_ops_that_fork() {
    let [site, _] = sites();
    let copy = copy(&site, &[]);
    let (one, two) = (site.open(), copy.open());
    two.continue_copy().unwrap();
    let (of_one, of_two) = (append(&one, "a", "1"), append(&two, "a", "2"));
    let more = append(&two, "a", "3");
    let report = pull(&two, &one);
    assert_eq!(report.own, [of_two.reference(), more.reference()]);
    assert!(report.forked.contains(&of_two.reference()), "{report:?}");
    assert_eq!(one.forks().unwrap().len(), 1);
    // Another author's store has no history of this author to fork.
    let other = Site::memory().open_as(secret(9));
    let report = pull(&one, &other);
    assert_eq!((report.own, report.forked), (vec![], vec![]));
    // An op that follows what is here forks nothing.
    let next = append(&one, "a", "4");
    pull(&one, &two);
    assert_eq!(two.op(&next.reference()).unwrap(), Some(next));
    let report = two.ingest(
        [Ok::<_, BackendError>(of_one.bytes().to_vec())],
        &Authors::Known,
    );
    assert_eq!(report.unwrap().forked, []);
}

#[test]
fn a_copy_has_the_forks_of_the_store() {
    for site in sites() {
        let copied = copy(&site, &[]);
        let (one, two) = (site.open(), copied.open());
        two.continue_copy().unwrap();
        append(&one, "a", "1");
        append(&two, "a", "2");
        pull(&two, &one);
        let forks = one.forks().unwrap();
        assert_eq!(forks.len(), 1);
        two.close().unwrap();
        one.close().unwrap();
        let again = Site {
            path: "again.db".into(),
            ..copied
        };
        let as_it_is = &mut |_: &mut dyn WriteTx| Ok(());
        let none = ProgressSink::none();
        let made = site
            .backend
            .backup(&site.path, &again.path, as_it_is, &none);
        made.unwrap();
        let store = again.open();
        assert_eq!(store.forks().unwrap(), forks);
        assert_whole(&store);
    }
}

#[test]
fn a_rebuilt_copy_is_a_copy_and_a_malformed_mark_is_a_finding() {
    let [_, site] = sites();
    let copy = copy(&site, &[secret(4).public()]);
    let held = copy.backend.open(
        &copy.path,
        &lattice_backend::backend::OpenOptions::read_write(),
    );
    let held = held.unwrap();
    let rebuilt = Site {
        path: "rebuilt.db".into(),
        backend: Arc::clone(&copy.backend),
        clock: Arc::clone(&copy.clock),
        machine: copy.machine.clone(),
    };
    rebuild_store(
        &*copy.backend,
        &*held,
        &copy.path,
        &rebuilt.path,
        copy.machine.clone(),
        &ProgressSink::none(),
    )
    .unwrap();
    for author in [owner(), secret(4)] {
        let store = rebuilt.open_as(Arc::clone(&author));
        assert!(refused_as(&store, &author));
        assert_whole(&store);
        store.close().unwrap();
    }
    let mut tx = held.begin_write().unwrap();
    tx.put(Table::System, b"copied", &[7; 33]).unwrap();
    tx.commit().unwrap().wait().unwrap();
    held.close().unwrap();
    let request = copy
        .request()
        .access(lattice_backend::backend::Access::ReadOnly);
    let store = copy.try_open(request).unwrap();
    for depth in [Depth::Quick, Depth::Full] {
        let verified = store.verify(depth, &*copy.backend, &ProgressSink::none());
        let findings = verified.unwrap().findings;
        assert!(
            matches!(&findings[..], [finding] if finding.to_string().contains("`copied`")),
            "{findings:?}"
        );
    }
}
