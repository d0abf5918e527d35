//! Ingest of ops by other authors, and full verification.

use std::convert::Infallible;

use lattice_backend::backend::Sharing;
use lattice_backend::engine::ingest::Authors;
use lattice_backend::engine::verify::Depth;
use lattice_backend::op::Op;
use lattice_backend::progress::ProgressSink;
use lattice_kvstore::KvStore;
use lattice_registry::TypedStore;

use crate::data::{Random, foreign_ops, make_kv};
use crate::measure::{Line, Wanted, median, number, timed};
use crate::plan::Plan;

const AUTHORS: u16 = 4;

/// Ingest of single puts by four authors, and full verification, each compared with two threads
/// that only verify signatures.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let each = plan.size(25_000);
    let ops = foreign_ops(AUTHORS, each, &mut Random(0x9e37_79b9_7f4a_7c15));
    let count = ops.len() as f64;
    let (mut alone, mut ingests, mut verifies) = (Vec::new(), Vec::new(), Vec::new());
    let backend = lattice_backend::file_backend();
    for _ in 0..plan.rounds {
        let place = plan.place();
        let kv = make_kv(&place.path().join("state.db"), Sharing::SingleWriter);
        let before = verify_alone(&kv, &ops);
        let (seconds, report) = timed(|| {
            let ops = ops.iter().cloned().map(Ok::<_, Infallible>);
            kv.engine()
                .ingest(ops, &Authors::Any)
                .expect("it is written")
        });
        assert_eq!(report.applied(), ops.len(), "all are applied");
        ingests.push(count / seconds);
        let (seconds, verified) = timed(|| {
            let verified = kv
                .engine()
                .verify(Depth::Full, &*backend, &ProgressSink::none());
            verified.expect("it reads")
        });
        assert_eq!(verified.findings, []);
        verifies.push(count / seconds);
        alone.push((before + verify_alone(&kv, &ops)) / 2.0);
    }
    let line = |what: &str, rates: &[f64], least| Line {
        what: what.into(),
        lattice: format!("{} ops/s", number(median(rates))),
        against: format!(
            "two threads, verify_strict alone: {} ops/s",
            number(median(&alone))
        ),
        figures: rates
            .iter()
            .zip(&alone)
            .map(|(rate, alone)| rate / alone)
            .collect(),
        unit: "",
        wanted: Wanted::AtLeast(least),
    };
    let count = number(count);
    vec![
        line(
            &format!("ingest of {count} single-put ops of 4 foreign authors"),
            &ingests,
            0.66,
        ),
        line(&format!("full verify of {count} ops"), &verifies, 0.75),
    ]
}

/// Signatures per second of two threads that only verify.
fn verify_alone(kv: &KvStore, ops: &[Vec<u8>]) -> f64 {
    let hasher = kv.engine().hasher();
    let decoded: Vec<Op> = ops
        .iter()
        .take(20_000)
        .map(|op| Op::decode(op.clone(), hasher).expect("it is an op"))
        .collect();
    let (one, other) = decoded.split_at(decoded.len() / 2);
    let verify = |ops: &[Op]| ops.iter().for_each(|op| op.verify().expect("it is signed"));
    let (seconds, ()) = timed(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| verify(one));
            verify(other);
        });
    });
    decoded.len() as f64 / seconds
}
