//! Publishes and withdraws releases.

use std::ffi::OsStr;

use lattice_code::releases::{Filter, Publish, ReleaseStore, Withdraw, store_type};
use lattice_meta::Cid;
use lattice_registry::TypedStore;
use lattice_wasm::Code;
use serde_json::json;

use crate::program::args;
use crate::program::context::Context;
use crate::program::failure::Failure;

pub(super) fn publish(context: &mut Context<'_>, args: &args::Publish) -> Result<(), Failure> {
    let wasm = super::read_module(context, &args.file)?;
    // What is published should run: the module passes all checks here.
    let name = args.file.to_string();
    let code: Code = context.code.check(&wasm, &name)?;
    let manifest = code.manifest();
    context.allow(args.writing);
    let registry: ReleaseStore = context.write(&args.registry, &store_type())?;
    let author = context.node.manager().author();
    let filter = Filter {
        store_type: Some(manifest.store_type.clone()),
        publisher: author,
        ..Filter::default()
    };
    let mut mine = registry.releases(&filter)?;
    mine.sort_by_key(|release| release.published.release);
    let last = mine.last().map(|release| &release.published);
    if let Some(same) = mine
        .iter()
        .find(|it| it.published.cid == code.cid() && it.withdrawn.is_none())
        && args
            .release
            .is_none_or(|release| release == same.published.release)
    {
        return Err(Failure::failed(format!(
            "{} is already published as release {} of {}; --release N publishes it again under \
             another number",
            code.cid(),
            same.published.release,
            manifest.store_type
        )));
    }
    if mine
        .iter()
        .any(|it| it.published.cid == code.cid() && it.withdrawn.is_some())
    {
        return Err(Failure::failed(format!(
            "{} was withdrawn, so it would not be chosen; publish another module",
            code.cid()
        )));
    }
    let next = match last {
        Some(last) => last.release.checked_add(1).ok_or_else(|| {
            Failure::failed(format!(
                "{} has no release number left",
                manifest.store_type
            ))
        })?,
        None => 1,
    };
    let release = args.release.unwrap_or(next);
    if i64::try_from(release).is_err() {
        return Err(Failure::failed(format!(
            "expected a release number of at most {}, found {release}",
            i64::MAX
        )));
    }
    if release < next {
        return Err(Failure::failed(format!(
            "expected a release number of at least {next}, found {release}; releases of \
             {} never go back",
            manifest.store_type
        )));
    }
    let published = Publish {
        store_type: manifest.store_type.clone(),
        release,
        cid: code.cid(),
        length: u32::try_from(code.bytes())
            .map_err(|_| Failure::failed("the module is too long"))?,
        abi: manifest.abi,
        schemas: (manifest.schemas.start().get(), manifest.schemas.end().get()),
        replaces: last.map(|last| last.cid),
        notes: args.notes.as_deref().unwrap_or("").to_owned(),
    };
    // Bundles with code take the module from here. It is not trusted for that.
    context.code.keep(&wasm, &name)?;
    registry.publish(&published)?;
    registry.engine().close()?;
    let value = json!({
        "store_type": published.store_type,
        "release": release,
        "cid": published.cid.to_string(),
        "publisher": author,
        "replaces": published.replaces.map(|cid| cid.to_string()),
    });
    context.out.either(value, |_| {
        format!(
            "published {} as release {release} of {}; others need the module, too: `bundle \
             create --with-code` carries it beside a store of the type",
            published.cid, published.store_type
        )
    })
}

pub(super) fn withdraw(
    context: &mut Context<'_>,
    what: &OsStr,
    registry: &OsStr,
    reason: &str,
) -> Result<(), Failure> {
    let cid = match what.to_str().and_then(|text| text.parse::<Cid>().ok()) {
        Some(cid) => cid,
        None => Cid::of(&super::read_module(context, &what.to_owned().into())?),
    };
    let registry: ReleaseStore = context.write(registry, &store_type())?;
    let publisher = context.node.manager().author();
    let filter = Filter {
        publisher,
        ..Filter::default()
    };
    let mine = registry.releases(&filter)?;
    let published = mine.iter().find(|release| release.published.cid == cid);
    let Some(published) = published else {
        return Err(Failure::not_found(format!(
            "{cid} is no release of this author, and only its publisher can withdraw a release"
        )));
    };
    if published.withdrawn.is_some() {
        return Err(Failure::failed(format!("{cid} is already withdrawn")));
    }
    let reason = reason.to_owned();
    registry.withdraw(&Withdraw { cid, reason })?;
    registry.engine().close()?;
    let value = json!({
        "cid": cid.to_string(),
        "store_type": published.published.store_type,
        "release": published.published.release,
    });
    context.out.either(value, |_| {
        format!(
            "withdrew release {} of {}; stores that record it still open",
            published.published.release, published.published.store_type
        )
    })
}
