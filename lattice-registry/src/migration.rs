//! Migrations from stores of one type to new stores of another.

use std::borrow::Cow;
use std::collections::VecDeque;

use lattice_backend::backend::Cause;
use lattice_backend::machine::{Conversion, Query, Step, Value};

use crate::handle::StoreHandle;

/// A method name and its arguments.
pub type NamedCall = (Cow<'static, str>, Value);

/// Calls by name. Each is a command that becomes one op.
pub type Calls<'a> = Box<dyn Iterator<Item = Result<NamedCall, Cause>> + 'a>;

/// What a copy of a store of the same type keeps: what was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All.
    All,
    /// So many entries or keys.
    Last(u64),
    /// Those that are at most so many milliseconds older than the newest one.
    Newer(u64),
    /// As many as have so many bytes together.
    Bytes(u64),
}

/// Converts the state of an old store to calls of the new store's commands. A plain closure
/// implements it.
///
/// The calls must be a function of the old store's state: a resumed migration skips the calls that
/// already became ops, and for reports of progress they are made once more, to be counted.
pub trait Migration: Send + Sync {
    /// The calls that build the new store's state. They read a snapshot of the old store, which is
    /// open for reading only.
    ///
    /// # Errors
    /// Why the old store cannot be converted.
    fn calls<'a>(&'a self, old: &'a dyn StoreHandle) -> Result<Calls<'a>, Cause>;
}

impl<F> Migration for F
where
    F: for<'a> Fn(&'a dyn StoreHandle) -> Result<Calls<'a>, Cause> + Send + Sync,
{
    fn calls<'a>(&'a self, old: &'a dyn StoreHandle) -> Result<Calls<'a>, Cause> {
        self(old)
    }
}

/// A migration in steps: code of the new type asks queries of the old store and returns commands
/// for the new one. It only needs the names of the old type's queries, so it works for stores
/// opened by native code and by modules.
pub struct Converting<F>(F);

impl<F> Converting<F>
where
    F: Fn(Step) -> Result<Conversion, Cause> + Send + Sync,
{
    /// Uses code of the new type, for example [`StoreCode::convert`].
    ///
    /// [`StoreCode::convert`]: lattice_backend::machine::manifest::StoreCode::convert
    pub fn new(convert: F) -> Self {
        Self(convert)
    }
}

impl<F> std::fmt::Debug for Converting<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converting").finish_non_exhaustive()
    }
}

impl<F> Migration for Converting<F>
where
    F: Fn(Step) -> Result<Conversion, Cause> + Send + Sync,
{
    fn calls<'a>(&'a self, old: &'a dyn StoreHandle) -> Result<Calls<'a>, Cause> {
        let first = self.0(Step {
            from: old.store_type().clone(),
            state: Value::Null,
            result: Value::Null,
        })?;
        Ok(Box::new(Steps {
            convert: &self.0,
            old,
            calls: first.calls.into(),
            next: first.next,
        }))
    }
}

/// The calls of a conversion, computed step by step.
struct Steps<'a, F> {
    convert: &'a F,
    old: &'a dyn StoreHandle,
    calls: VecDeque<(String, Value)>,
    next: Option<Query>,
}

impl<F: Fn(Step) -> Result<Conversion, Cause>> Iterator for Steps<'_, F> {
    type Item = Result<NamedCall, Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((method, args)) = self.calls.pop_front() {
                return Some(Ok((Cow::Owned(method), args)));
            }
            let query = self.next.take()?;
            let stepped = self.old.call(&query.method, query.args);
            let stepped = stepped.map_err(Cause::from).and_then(|result| {
                (self.convert)(Step {
                    from: self.old.store_type().clone(),
                    state: query.state,
                    result,
                })
            });
            match stepped {
                Ok(conversion) => {
                    self.calls = conversion.calls.into();
                    self.next = conversion.next;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
