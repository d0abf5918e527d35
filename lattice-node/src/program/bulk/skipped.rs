//! Rows that `import --skip-errors` leaves out.

use std::cell::RefCell;
use std::iter;
use std::rc::Rc;

use serde_json::{Value, json};

use super::{Rows, Stop, plural};
use crate::program::context::Context;
use crate::program::failure::Failure;

/// The most skipped rows that are reported one by one.
const MAX_SHOWN: usize = 10;

/// How many rows were skipped, and why the first of them were. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(super) struct Skipped(Rc<RefCell<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// Line and reason.
    first: Vec<(u64, String)>,
}

impl Skipped {
    /// The rows without the invalid ones.
    pub(super) fn skip<R: 'static>(&self, mut rows: Rows<R>) -> Rows<R> {
        let seen = Rc::clone(&self.0);
        Box::new(iter::from_fn(move || {
            loop {
                match rows.next() {
                    Some(Err(Stop::Broken { line, reason })) => {
                        let mut seen = seen.borrow_mut();
                        seen.count += 1;
                        if seen.first.len() < MAX_SHOWN {
                            seen.first.push((line, reason));
                        }
                    }
                    next => return next,
                }
            }
        }))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.borrow().count
    }

    /// The first skipped rows.
    pub(super) fn to_json(&self) -> Value {
        let seen = self.0.borrow();
        let rows = seen.first.iter();
        rows.map(|(line, reason)| json!({ "line": line, "message": reason }))
            .collect()
    }

    /// Says which rows were skipped.
    pub(super) fn note(&self, context: &mut Context<'_>, nouns: (&str, &str)) {
        let seen = self.0.borrow();
        let shown = u64::try_from(seen.first.len()).unwrap_or(u64::MAX);
        if seen.count == 0 {
            return;
        }
        let rows = plural(seen.count, nouns);
        let more = match seen.count > shown {
            true => format!("; the first {shown}:"),
            false => ":".to_owned(),
        };
        context.out.note(&format!("skipped {rows}{more}"));
        for (line, reason) in &seen.first {
            context.out.note(&format!("  line {line}: {reason}"));
        }
    }

    /// Adds to a failure how many rows were skipped before.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match self.count() {
            0 => failure,
            count => {
                let rows = plural(count, ("row was", "rows were"));
                failure.and(&format!("{rows} skipped before"))
            }
        }
    }

    /// Fails if rows were skipped: no row of the file is valid.
    pub(super) fn check_any(&self, name: &str) -> Result<(), Failure> {
        let seen = self.0.borrow();
        let Some((line, reason)) = seen.first.first() else {
            return Ok(());
        };
        Err(Failure::failed(format!(
            "{name}, line {line}: {reason}; none of {} is valid, and nothing was written",
            plural(seen.count, ("row", "rows"))
        )))
    }
}
