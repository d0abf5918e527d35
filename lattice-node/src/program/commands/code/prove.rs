//! `lattice code prove`: replays a store's history with other code.

use std::ffi::OsStr;

use lattice_backend::engine::open::Proof;
use serde_json::{Value as Json, json};

use super::proposal::{Trust, proposed};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;

fn difference(proof: &Proof) -> Json {
    match proof.difference.is_none() {
        true => Json::Null,
        false => Json::String(proof.difference.to_string()),
    }
}

pub(super) fn prove(context: &mut Context<'_>, store: &OsStr, code: &OsStr) -> Result<(), Failure> {
    let path = context.path(store)?;
    let meta = context.node.manager().peek_path(&path)?;
    context.note_read(store, &path);
    let proposal = proposed(context, &meta.store_type, code, Trust::NotNeeded)?;
    let logic = proposal.logic;
    let proof = context.node.manager().prove(&path, &*proposal.opener)?;
    let is_proven = proof.difference.is_none();
    let value = json!({
        "store_id": proof.store_id,
        "recorded": proof.recorded,
        "logic_version": logic,
        "ops": proof.ops,
        "proven": is_proven,
        "difference": difference(&proof),
    });
    context.out.either(value, |_| match is_proven {
        true => format!(
            "ok: {} replayed by {logic}, the state is the same",
            plural(proof.ops, ("op", "ops"))
        ),
        false => format!("{logic} computes a different state: {}", proof.difference),
    })?;
    match is_proven {
        true => Ok(()),
        false => Err(Failure::damaged(format!(
            "store {} still uses {}",
            proof.store_id, proof.recorded
        ))),
    }
}
