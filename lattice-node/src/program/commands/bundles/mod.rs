//! Bundles: history in files and pipes.

mod apply;
pub(super) mod chain;
mod code;
mod counts;
mod create;
pub(super) mod since;
mod source;
#[cfg(test)]
mod tests;
mod wait;

use lattice_backend::bundle::Follows;
use lattice_backend::engine::write::CopyConfirmation;
use serde_json::json;

use crate::TipsFile;
use crate::program::args::{self, BundleCommand};
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::escape_text;
use crate::program::pipes::{FileArg, Target};
use create::Carry;
use wait::Patience;

pub(super) fn bundle(context: &mut Context<'_>, bundle: args::Bundle) -> Result<(), Failure> {
    match bundle.command {
        BundleCommand::Create {
            store,
            file,
            since,
            mode,
            #[cfg(feature = "wasm")]
            with_code,
            trusting,
        } => {
            context.trust(trusting);
            #[cfg(feature = "wasm")]
            let carry = match with_code {
                true => Carry::HistoryAndCode,
                false => Carry::History,
            };
            #[cfg(not(feature = "wasm"))]
            let carry = Carry::History;
            let to = Target { file: &file, mode };
            create::create(context, &store, to, since.as_ref(), carry)
        }
        BundleCommand::Tips(store) => tips(context, &store),
        BundleCommand::Verify { file } => verify(context, &file),
        BundleCommand::Apply {
            file,
            whose,
            until_due,
            alias,
            trusting,
        } => {
            context.trust(trusting);
            let patience = match until_due {
                true => Patience::Wait,
                false => Patience::Leave,
            };
            apply::apply(context, &file, &whose.authors(), patience, alias.as_ref())
        }
    }
}

/// Says what a replica has said about an unconfirmed copy.
fn note_confirmation(context: &mut Context<'_>, confirmation: CopyConfirmation) {
    match confirmation {
        CopyConfirmation::Confirmed => context.out.note(
            "the replica has no op of this author that this copy lacks: the copy is confirmed, and \
             this author can write to it",
        ),
        CopyConfirmation::Ahead { op } => context.out.note(&format!(
            "the replica has op {} of this author, which this copy lacks; get it with `lattice bundle \
             tips STORE` here, `bundle create STORE FILE --since TIPS` there and `lattice bundle apply \
             FILE` here",
            op.id
        )),
        CopyConfirmation::Silent => context.out.note(
            "the replica said nothing about this author, so the copy is still not confirmed; a \
             replica with ops of this author can confirm it, and --continue writes without that",
        ),
        CopyConfirmation::NotNeeded => {}
    }
}

fn tips(context: &mut Context<'_>, store: &args::Store) -> Result<(), Failure> {
    let path = context.path(&store.store)?;
    context.note_read(&store.store, &path);
    let store = context.node.manager().open_history(path)?;
    let file = TipsFile {
        store_id: store.store_id(),
        tips: store.branch_tips()?,
    };
    let value = json!({
        "store_id": file.store_id,
        "tips": file.tips.tips,
        "earlier": file.tips.earlier,
    });
    let text = file.to_string();
    context.out.either(value, |_| text.trim_end().to_owned())
}

fn verify(context: &mut Context<'_>, file: &FileArg) -> Result<(), Failure> {
    let summary = file.open(context, "FILE")?.verify()?;
    let (genesis, counts) = (&summary.genesis, summary.counts);
    let (claims, modules) = code::json_of(context, summary.code.as_ref())?;
    let code = summary.code.as_ref();
    let code = code.map(|code| code::text_of(context, code)).transpose()?;
    let value = json!({
        "store_id": genesis.store_id(),
        "store_type": genesis.store_type(),
        "ops": counts.ops,
        "bytes": counts.op_bytes,
        "ops_by_author": summary.authors,
        "other_ops": summary.other_ops,
        "claims": claims,
        "modules": modules,
        "follows": summary.follows.as_ref().map(Follows::name),
    });
    let follows = match &summary.follows {
        Some(follows) => format!(", which follow {}", escape_text(follows.name())),
        None => String::new(),
    };
    context.out.either(value, |_| {
        let authors = u64::try_from(summary.authors.len()).unwrap_or(u64::MAX);
        let more = match summary.other_ops {
            0 => "",
            _ => "more than ",
        };
        format!(
            "ok: {} of {more}{} of store {}, of type {}{follows}{}",
            plural(counts.ops, ("op", "ops")),
            plural(authors, ("author", "authors")),
            genesis.store_id(),
            genesis.store_type(),
            code.as_deref().unwrap_or("")
        )
    })
}
