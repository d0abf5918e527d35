//! What long operations report about their progress.

use std::path::Path;
use std::sync::{Arc, Mutex};

use lattice_backend::engine::verify::Depth;
use lattice_backend::progress::{Progress, ProgressSink, Stage, Unit};

use crate::support::{Site, append};

const COPY: &str = "copy.db";
const OPS: u64 = 3000;
/// The rows of the state: one for each op, and the count of the machine.
const ROWS: u64 = OPS + 1;

/// What one operation reports.
fn reports(operation: impl FnOnce(&ProgressSink)) -> Vec<Progress> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let told = Arc::clone(&told);
        ProgressSink::new(move |progress| told.lock().unwrap().push(progress))
    };
    operation(&sink);
    let told = told.lock().unwrap();
    told.clone()
}

/// Each stage begins with nothing done, ends with all done, and never goes back. Returns the totals
/// of the stages in their order; `None` for those that count nothing.
fn totals(reports: &[Progress]) -> Vec<(Stage, Option<u64>)> {
    let mut stages = Vec::new();
    for (nth, report) in reports.iter().enumerate() {
        let Progress { stage, done, total } = *report;
        let before = nth.checked_sub(1).map(|before| reports[before]);
        match before.filter(|before| before.stage == stage) {
            Some(before) => assert!(done >= before.done && total == before.total, "{report:?}"),
            None => {
                assert_eq!(done, 0, "{report:?}");
                stages.push((stage, total));
            }
        }
        let is_counted = stage.unit() != Unit::Nothing;
        assert_eq!(total.is_some(), is_counted, "{report:?}");
        let next = reports.get(nth + 1);
        let is_last = next.is_none_or(|next| next.stage != stage);
        if let Some(total) = total {
            assert!(
                if is_last {
                    done == total
                } else {
                    done <= total
                },
                "{report:?}"
            );
        }
    }
    stages
}

#[test]
fn stages_have_totals_and_reach_them() {
    let (site, _) = Site::redb();
    let store = site.open();
    for nth in 0..OPS {
        append(&store, &format!("key {nth}"), "value");
    }
    store.close().unwrap();
    let store = site.open();
    let backend = &*site.backend;
    let checked = reports(|sink| store.check_ops(sink).unwrap());
    assert_eq!(totals(&checked), [(Stage::Ops, Some(OPS))]);
    let quick = reports(|sink| drop(store.verify(Depth::Quick, backend, sink).unwrap()));
    assert_eq!(totals(&quick), [(Stage::Rows, Some(ROWS))]);
    let full = reports(|sink| drop(store.verify(Depth::Full, backend, sink).unwrap()));
    let expected = [(Stage::Replay, Some(OPS)), (Stage::Rows, Some(ROWS))];
    assert_eq!(totals(&full), expected);
    // Each op can be large, so each is reported.
    let replayed = full.iter().filter(|report| report.stage == Stage::Replay);
    assert_eq!(replayed.count(), usize::try_from(OPS).unwrap() + 1);
    let compacted = reports(|sink| store.compact(sink).unwrap());
    let [
        (Stage::Shrink, None),
        (Stage::Pack, Some(packed)),
        (Stage::Shrink, None),
    ] = totals(&compacted)[..]
    else {
        panic!("{:?}", totals(&compacted));
    };
    // The rows of the state and of the history, and those that are indexed by author.
    assert!(packed > ROWS + OPS, "{packed}");
    store.close().unwrap();
    let copied = reports(|sink| {
        let mut edit = |_: &mut dyn lattice_backend::backend::WriteTx| Ok(());
        let copied = backend.backup(&site.path, Path::new(COPY), &mut edit, sink);
        copied.unwrap();
    });
    assert_eq!(
        totals(&copied),
        [(Stage::Copy, Some(packed)), (Stage::Shrink, None)]
    );
}

#[test]
fn a_backend_that_does_not_count_its_rows_has_no_total() {
    let site = Site::memory();
    let store = site.open();
    append(&store, "key", "value");
    let quick = reports(|sink| drop(store.verify(Depth::Quick, &*site.backend, sink).unwrap()));
    let (stage, total) = (quick[0].stage, quick[0].total);
    assert_eq!((stage, total), (Stage::Rows, None));
}
