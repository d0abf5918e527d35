//! A long history of many authors. It finds work that grows with what other authors wrote.

use lattice_meta::{Genesis, PubKey};

use crate::conformance::Rng;
use crate::conformance::machine::case::Case;
use crate::conformance::machine::history::{BEGINNING_MS, Source, Unbuilt, compose, prepare};
use crate::conformance::machine::model::Model;
use crate::engine::contain::decode;
use crate::machine::StateMachine;
use crate::op::{Op, OpHasher};

/// Applies commands, each of a different author. Every second op follows the last one; the others
/// have no parents, and are concurrent with all ops.
pub(super) fn check<M: StateMachine>(
    rng: &mut Rng,
    source: Source<'_, '_, M>,
    genesis: &Genesis,
    size: usize,
) -> Result<(), Unbuilt> {
    let machine = (source.make)();
    let hasher = OpHasher::new(&genesis.hash());
    let (empty, mut model) = (Model::default(), Model::default());
    for nth in 0..size {
        let command = (source.command)(rng);
        let last = model.applied.ops().last().map(Op::reference);
        let (known, deps) = match rng.one_in(2) {
            true => (&empty, Vec::new()),
            false => (&model, last.into_iter().collect()),
        };
        let Some(payload) = prepare(&machine, &command, known)? else {
            continue;
        };
        let author = PubKey::from_bytes(rng.array());
        let now_ms = BEGINNING_MS + u64::try_from(nth).expect("it is in memory");
        let op = compose(&hasher, author, &known.applied, deps, now_ms, &payload)?;
        let decoded = decode(&machine, &op);
        if let Err(broken) = model.apply(&machine, &op, decoded, source.divisor) {
            let case = Some(Box::new(Case::failing(&model, &op, source.divisor)));
            return Err(Unbuilt { broken, case });
        }
    }
    Ok(model.scan(&machine)?)
}
