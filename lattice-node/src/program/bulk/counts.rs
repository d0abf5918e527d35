//! Counts committed rows, and reports them when the command is interrupted.

use std::sync::Arc;

use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::interrupt::{Interruption, Signal};
use crate::program::progress::Progress;

/// A command that writes many rows, in one commit or in several. A signal ends it between two
/// commits, and it reports how many rows are committed.
pub(in crate::program) struct Bulk {
    interruption: Arc<Interruption>,
    /// All rows form one transaction, which is open until the last row.
    is_atomic: bool,
    nouns: (&'static str, &'static str),
    progress: Progress,
    rows: u64,
    ops: u64,
}

impl Bulk {
    /// Starts the count. From now on the command checks for signals itself.
    pub(in crate::program) fn start(
        context: &Context<'_>,
        nouns: (&'static str, &'static str),
    ) -> Self {
        context.interruption.end_by_itself();
        Self {
            interruption: Arc::clone(&context.interruption),
            is_atomic: false,
            nouns,
            progress: context.progress.clone(),
            rows: 0,
            ops: 0,
        }
    }

    /// Declares that all rows form one transaction.
    pub(in crate::program) fn promise_all(&mut self) {
        self.is_atomic = true;
    }

    /// Commits `rows` rows as one op.
    pub(in crate::program) fn commit<T, E>(
        &mut self,
        rows: usize,
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let done = commit()?;
        self.add(rows, 1);
        self.progress.also(|| plural(self.rows, self.nouns));
        Ok(done)
    }

    /// Counts committed rows.
    pub(in crate::program) fn add(&mut self, rows: usize, ops: u64) {
        self.rows += u64::try_from(rows).unwrap_or(u64::MAX);
        self.ops += ops;
    }

    /// What a signal means for the rows that are read and not committed.
    pub(in crate::program) fn signals(&self) -> Signals {
        Signals {
            interruption: Arc::clone(&self.interruption),
            is_atomic: self.is_atomic,
        }
    }

    /// Ends the command after a signal.
    ///
    /// # Errors
    /// The failure of an interrupted command.
    pub(in crate::program) fn check(&self) -> Result<(), Failure> {
        self.interruption
            .check()
            .map_err(|failure| self.failure(failure))
    }

    /// Adds the number of committed rows to a failure.
    pub(in crate::program) fn failure(&self, failure: Failure) -> Failure {
        self.progress.clear();
        let text = self.text();
        let failure = failure.and(&text).with("stands", text.into());
        let failure = failure.with("rows", self.rows.into());
        failure.with("ops", self.ops.into())
    }

    fn text(&self) -> String {
        match self.rows {
            0 => "nothing was written".into(),
            1 => format!("1 {} was written", self.nouns.0),
            rows => format!(
                "{} in {} were written",
                plural(rows, self.nouns),
                plural(self.ops, ("op", "ops"))
            ),
        }
    }

    /// Returns how many rows and ops are committed.
    pub(in crate::program) fn finish(&self) -> (u64, u64) {
        self.progress.clear();
        (self.rows, self.ops)
    }
}

/// What a signal means for the rows that are read and not committed.
pub(in crate::program) struct Signals {
    interruption: Arc<Interruption>,
    is_atomic: bool,
}

/// What becomes of the rows that are read and not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::program) enum Uncommitted {
    /// They are committed, and more are read.
    More,
    /// They are committed, and then the command ends.
    Commit(Signal),
    /// They are dropped, and the command ends.
    Drop(Signal),
}

impl Signals {
    pub(in crate::program) fn uncommitted(&self) -> Uncommitted {
        match self.interruption.signal() {
            None => Uncommitted::More,
            Some(signal) if signal.drains() && !self.is_atomic => Uncommitted::Commit(signal),
            Some(signal) => Uncommitted::Drop(signal),
        }
    }
}

/// A number with its noun: `1 row`, `4,213 rows`.
pub(in crate::program) fn plural(count: u64, (one, many): (&str, &str)) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let rows = |count| plural(count, ("row", "rows"));
        assert_eq!(rows(0), "0 rows");
        assert_eq!(rows(1), "1 row");
        assert_eq!(rows(999), "999 rows");
        assert_eq!(rows(4213), "4,213 rows");
        assert_eq!(rows(1_000_000), "1,000,000 rows");
    }
}
