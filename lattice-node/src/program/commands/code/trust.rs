//! Trust in publishers, and pins.

use std::ffi::OsStr;

use lattice_code::{Policy, TypeTrust, fingerprint};
use lattice_meta::StoreType;
use serde_json::json;

use crate::program::args::{Trust, TrustPolicy};
use crate::program::context::Context;
use crate::program::failure::Failure;

pub(super) fn trust(context: &mut Context<'_>, args: &Trust) -> Result<(), Failure> {
    let Trust {
        store_type,
        key,
        policy,
    } = args;
    if store_type.as_str().starts_with("core:") {
        return Err(Failure::usage(format!(
            "no release of {store_type} can run: a type that starts with `core:` takes no module but \
             its pin, which `lattice code pin {store_type} FILE` sets"
        )));
    }
    let policy = match policy.unwrap_or(context.settings.code_policy()) {
        TrustPolicy::Ask => Policy::Ask,
        TrustPolicy::Follow => Policy::Follow,
    };
    context.node.become_writer()?;
    let (mut before, mut pin) = (None, None);
    let is_changed = context.code.change_type(store_type, |trust| {
        (before, pin) = (trust.publisher, trust.pin);
        if pin.is_some() {
            return;
        }
        if before != Some(*key) {
            // Publishers count their releases each by itself.
            trust.release = None;
        }
        trust.publisher = Some(*key);
        trust.policy = policy;
    })?;
    if let Some(pin) = pin {
        return Err(Failure::usage(format!(
            "{store_type} is pinned to {pin}, which no release replaces; `lattice code unpin \
             {store_type}` removes the pin"
        )));
    }
    let value = json!({
        "store_type": store_type,
        "publisher": key,
        "policy": policy.as_str(),
        "changed": is_changed,
    });
    context.out.either(value, |_| {
        let instead = match before {
            Some(before) if before != *key => format!(", instead of {}", fingerprint(&before)),
            _ => String::new(),
        };
        let key = fingerprint(key);
        format!("releases of {store_type} by {key} may run{instead}; policy {policy}")
    })
}

pub(super) fn untrust(context: &mut Context<'_>, store_type: &StoreType) -> Result<(), Failure> {
    let publisher = context.code.trusted()?.of_type(store_type).publisher;
    let is_changed = change(context, store_type, |trust| {
        trust.publisher = None;
        trust.release = None;
        if trust.pin.is_none() {
            trust.policy = Policy::default();
        }
    })?;
    let value = json!({
        "store_type": store_type,
        "publisher": publisher,
        "changed": is_changed,
    });
    context.out.either(value, |_| match publisher {
        Some(key) => format!(
            "releases of {store_type} by {} no longer run",
            fingerprint(&key)
        ),
        None => format!("no publisher of {store_type} was trusted"),
    })
}

pub(super) fn pin(
    context: &mut Context<'_>,
    store_type: &StoreType,
    what: &OsStr,
) -> Result<(), Failure> {
    let before = context.code.trusted()?.of_type(store_type);
    let wanted = super::named(context, what)?;
    let found = wanted.manifest.store_type.clone();
    if found != *store_type {
        return Err(Failure::usage(format!(
            "{} is code for {found}, not for {store_type}",
            what.display()
        )));
    }
    let cid = wanted.cid;
    context.node.become_writer()?;
    // The pin comes first: only a pin lets code of a `core:` type pass the checks.
    let is_changed = context.code.change_type(store_type, |trust| {
        trust.pin = Some(cid);
        trust.policy = Policy::Pinned;
    })?;
    if let Err(error) = context.code.keep(&wanted.wasm, &cid.to_string()) {
        context.code.change_type(store_type, |trust| {
            trust.pin = before.pin;
            trust.policy = before.policy;
        })?;
        return Err(error.into());
    }
    let value = json!({
        "store_type": store_type,
        "cid": cid.to_string(),
        "changed": is_changed,
    });
    context
        .out
        .either(value, |_| format!("{store_type} runs {cid} only"))
}

pub(super) fn unpin(context: &mut Context<'_>, store_type: &StoreType) -> Result<(), Failure> {
    let pin = context.code.trusted()?.of_type(store_type).pin;
    let is_changed = change(context, store_type, |trust| {
        trust.pin = None;
        if trust.policy == Policy::Pinned {
            trust.policy = Policy::Ask;
        }
    })?;
    let value = json!({
        "store_type": store_type,
        "cid": pin.map(|cid| cid.to_string()),
        "changed": is_changed,
    });
    context.out.either(value, |_| match pin {
        Some(cid) => format!("{store_type} is no longer pinned to {cid}"),
        None => format!("{store_type} was not pinned"),
    })
}

/// Changes what is known of a type. Creates no data directory if there is nothing to change.
fn change(
    context: &mut Context<'_>,
    store_type: &StoreType,
    change: impl Fn(&mut TypeTrust),
) -> Result<bool, Failure> {
    let before = context.code.trusted()?.of_type(store_type);
    let mut after = before.clone();
    change(&mut after);
    match after == before {
        true => Ok(false),
        false => Ok(context.code.change_type(store_type, change)?),
    }
}
