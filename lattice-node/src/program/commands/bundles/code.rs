//! The code that a bundle carries, and what its sender claims.

use lattice_backend::backend::BackendError;
use lattice_backend::bundle::{BundleCode, Claims};
use lattice_meta::{StateHash, StoreType};
use serde_json::{Value, json};

use crate::StoreHandle;
use crate::program::bulk::plural;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{Output, escape_text, styles};

/// What a receiver finds about the claims of a bundle's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The states are the same.
    Matched,
    /// The same ops led to another state here.
    Differs { ours: StateHash },
    /// This replica and the sender's have applied different ops.
    Skipped,
}

impl Comparison {
    /// Compares a store with the claims, all of one moment.
    pub(super) fn new(store: &dyn StoreHandle, claims: &Claims) -> Result<Self, BackendError> {
        let state = store.state()?;
        Ok(match state.state_hash {
            _ if state.frontier != claims.frontier() => Self::Skipped,
            ours if ours == claims.state_hash() => Self::Matched,
            ours => Self::Differs { ours },
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Differs { .. } => "differs",
            Self::Skipped => "not_compared",
        }
    }

    /// What to say about the comparison; a difference is a failure.
    pub(super) fn note(self) -> Option<&'static str> {
        match self {
            Self::Matched => Some("state hash as the sender claims"),
            Self::Differs { .. } => None,
            Self::Skipped => Some(
                "state hash not compared: this replica and the sender's have applied different ops",
            ),
        }
    }
}

/// What is known about a module in a bundle.
struct Described {
    store_type: Option<StoreType>,
    is_trusted: bool,
    /// Why this program cannot use it.
    error: Option<String>,
}

/// The claims and the modules as JSON.
pub(super) fn json_of(
    context: &Context<'_>,
    code: Option<&BundleCode>,
) -> Result<(Value, Value), Failure> {
    let Some(code) = code else {
        return Ok((Value::Null, json!([])));
    };
    let claims = code.claims();
    let claimed = json!({
        "logic": claims.logic().as_str(),
        "state_hash": claims.state_hash(),
        "frontier": claims.frontier().len(),
    });
    let mut modules = Vec::new();
    for module in code.modules() {
        let described = describe(context, module)?;
        modules.push(json!({
            "cid": module.cid().to_string(),
            "store_type": described.store_type,
            "bytes": module.bytes().len(),
            "trusted": described.is_trusted,
            "reason": described.error,
        }));
    }
    Ok((claimed, modules.into()))
}

/// The claims and the modules as lines of text, each after a line break.
pub(super) fn text_of(context: &Context<'_>, code: &BundleCode) -> Result<String, Failure> {
    let claims = code.claims();
    let frontier = plural(count(claims.frontier().len()), ("op", "ops"));
    let mut text = line(&context.out, "logic", claims.logic().as_str());
    text += &line(&context.out, "state hash", &claims.state_hash().to_string());
    text += &line(&context.out, "frontier", &frontier);
    for module in code.modules() {
        let described = describe(context, module)?;
        let store_type = described.store_type.as_ref();
        let trust = match described.is_trusted {
            true => "trusted",
            false => "not trusted",
        };
        let error = described
            .error
            .map(|error| format!(", {}", escape_text(&error)));
        let about = format!(
            "{}  {}, {}, {trust}{}",
            module.cid(),
            store_type.map_or("-", StoreType::as_str),
            plural(count(module.bytes().len()), ("byte", "bytes")),
            error.as_deref().unwrap_or("")
        );
        text += &line(&context.out, "module", &about);
    }
    Ok(text)
}

fn line(out: &Output<'_>, name: &str, value: &str) -> String {
    let name = out.paint(styles::FAINT, &format!("{name:<16}"));
    format!("\n{name}{value}")
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(feature = "wasm")]
pub(super) use modules::{check, check_store, keep, of_store};

#[cfg(feature = "wasm")]
use modules::describe;

/// A program without an interpreter does not read modules.
#[cfg(not(feature = "wasm"))]
fn describe(_: &Context<'_>, _: &lattice_backend::bundle::Module) -> Result<Described, Failure> {
    Ok(Described {
        store_type: None,
        is_trusted: false,
        error: Some("this program runs no modules".into()),
    })
}

#[cfg(not(feature = "wasm"))]
pub(super) fn of_store(
    _: &Context<'_>,
    _: lattice_meta::StoreId,
    _: Option<lattice_backend::engine::read::StoreState>,
) -> Result<Option<BundleCode>, Failure> {
    Ok(None)
}

/// A program that runs modules.
#[cfg(feature = "wasm")]
mod modules {
    use std::path::Path;

    use lattice_backend::bundle::{BundleCode, BundleCodeError, Claims, Module};
    use lattice_backend::engine::read::StoreState;
    use lattice_meta::{Cid, StoreId};
    use lattice_wasm::read_manifest;

    use super::Described;
    use crate::Access;
    use crate::program::context::Context;
    use crate::program::failure::{Failure, chain};

    pub(super) fn describe(context: &Context<'_>, module: &Module) -> Result<Described, Failure> {
        let manifest = read_manifest(module.bytes());
        let name = module.cid().to_string();
        let checked = context.code.check(module.bytes(), &name);
        Ok(Described {
            store_type: manifest.ok().map(|manifest| manifest.store_type),
            is_trusted: context.code.is_trusted(&module.cid())?,
            error: checked.err().map(|error| chain(&error)),
        })
    }

    /// Checks every module of a bundle. Changes nothing.
    pub(in super::super) fn check(
        context: &mut Context<'_>,
        bundle: &str,
        code: &BundleCode,
    ) -> Result<(), Failure> {
        for module in code.modules() {
            let checked = context
                .code
                .check(module.bytes(), &module.cid().to_string());
            checked.map_err(|error| Failure::from(error).within(bundle))?;
        }
        Ok(())
    }

    /// Puts every module into the cache. A bundle is no reason to trust a module.
    pub(in super::super) fn keep(
        context: &mut Context<'_>,
        code: &BundleCode,
    ) -> Result<(), Failure> {
        for module in code.modules() {
            let kept = context
                .code
                .keep(module.bytes(), &module.cid().to_string())?;
            if !context.code.is_trusted(&kept.cid())? {
                context.out.note(&format!(
                    "kept code {} for {}, which is not trusted here",
                    kept.cid(),
                    kept.store_type()
                ));
            }
        }
        Ok(())
    }

    /// The section for a bundle of a store in this state; `None` for a bundle without code.
    pub(in super::super) fn of_store(
        context: &Context<'_>,
        store_id: StoreId,
        state: Option<StoreState>,
    ) -> Result<Option<BundleCode>, Failure> {
        let Some(state) = state else {
            return Ok(None);
        };
        let module = module_of(context, store_id, state.logic.as_str())?;
        let claims = Claims::new(state.logic, state.state_hash, state.frontier);
        let code = claims.and_then(|claims| BundleCode::new(claims, vec![module]));
        code.map(Some).map_err(|error| {
            let failure = Failure::failed(format!("store {store_id}: {error}"));
            match error {
                BundleCodeError::Frontier { .. } => {
                    failure.and("any write to the store joins the ops of its frontier")
                }
                _ => failure,
            }
        })
    }

    /// Reports why the code of a store cannot be added to a bundle, before the store is opened.
    pub(in super::super) fn check_store(context: &Context<'_>, path: &Path) -> Result<(), Failure> {
        let found = context.node.manager().find(path, Access::ReadOnly)?;
        let recorded = found.recorded().logic;
        // The open reports a store that records no logic.
        recorded.map_or(Ok(()), |logic| {
            module_of(context, found.meta().store_id, logic).map(drop)
        })
    }

    /// The module that a store records.
    fn module_of(context: &Context<'_>, store_id: StoreId, logic: &str) -> Result<Module, Failure> {
        let cid = logic.parse::<Cid>().map_err(|_| {
            Failure::usage(format!(
                "store {store_id} records {logic}, which is code of the program and no module; \
                 omit --with-code: programs that know the type need no module"
            ))
        })?;
        let found = context.code.find(&cid)?.ok_or_else(|| {
            let places = context.code.sources().join(", ");
            Failure::not_found(format!(
                "no code {cid}, which store {store_id} records; looked in {places}; \
                 `lattice code add FILE` adds it"
            ))
        })?;
        Module::new(cid, found.wasm).map_err(|error| Failure::failed(error.to_string()))
    }
}
