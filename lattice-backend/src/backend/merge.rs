//! The rows of a layer over the rows below it.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::backend::{Direction, Result, Row, RowCursor, Rows};

/// The rows of one layer, in reading direction.
pub(crate) trait LayerRows {
    /// Goes to the next row; at first, to the first one.
    fn advance(&mut self);

    /// The row's key and value; no value if the row was removed. `None` after the last row.
    fn current(&self) -> Option<(&[u8], Option<&[u8]>)>;
}

/// The rows of a layer, and the rows below that the layer does not change.
pub(crate) struct Merged<'a, L> {
    /// After the first call, at the row that is returned next, or at the one that is lent.
    over: L,
    is_over_lent: bool,
    has_begun: bool,
    below: Rows<'a>,
    direction: Direction,
    /// The row below that is returned next, if `has_stash`, or the one that is lent.
    key: Vec<u8>,
    value: Vec<u8>,
    has_stash: bool,
}

impl<'a, L: LayerRows> Merged<'a, L> {
    pub(crate) fn new(over: L, below: Rows<'a>, direction: Direction) -> Self {
        Self {
            over,
            is_over_lent: false,
            has_begun: false,
            below,
            direction,
            key: Vec::new(),
            value: Vec::new(),
            has_stash: false,
        }
    }

    /// Goes to the layer's next row, if the current one was returned.
    fn begin(&mut self) {
        if !self.has_begun || self.is_over_lent {
            self.over.advance();
        }
        (self.has_begun, self.is_over_lent) = (true, false);
    }

    /// Reads the next row below, if it is not there yet. Returns whether there is one.
    fn stash(&mut self) -> Result<bool> {
        if !self.has_stash
            && let Some(row) = self.below.next()?
        {
            keep(&mut self.key, row.key);
            keep(&mut self.value, row.value);
            self.has_stash = true;
        }
        Ok(self.has_stash)
    }
}

fn keep(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

/// Compares two keys in reading direction.
fn order(direction: Direction, one: &[u8], other: &[u8]) -> Ordering {
    match direction {
        Direction::Forward => one.cmp(other),
        Direction::Backward => other.cmp(one),
    }
}

impl<L: LayerRows> RowCursor for Merged<'_, L> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        self.begin();
        let is_over = loop {
            let has_below = self.stash()?;
            let Some((key, value)) = self.over.current() else {
                break false;
            };
            let order = match has_below {
                true => order(self.direction, key, &self.key),
                false => Ordering::Less,
            };
            if order == Ordering::Greater {
                break false;
            }
            if order == Ordering::Equal {
                self.has_stash = false;
            }
            if value.is_some() {
                break true;
            }
            self.over.advance();
        };
        if is_over {
            self.is_over_lent = true;
            let row = self.over.current();
            return Ok(row.and_then(|(key, value)| value.map(|value| Row { key, value })));
        }
        let has_row = std::mem::replace(&mut self.has_stash, false);
        Ok(has_row.then_some(Row {
            key: &self.key,
            value: &self.value,
        }))
    }

    fn visit(&mut self, each: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> Result<()> {
        // The row that was read ahead comes first.
        while self.has_stash {
            match self.next()? {
                Some(row) if each(row).is_continue() => {}
                _ => return Ok(()),
            }
        }
        self.begin();
        let over = &mut self.over;
        let (direction, has_stash) = (self.direction, &mut self.has_stash);
        let (stash_key, stash_value) = (&mut self.key, &mut self.value);
        let mut flow = ControlFlow::Continue(());
        self.below.visit(&mut |row| {
            while let Some((key, value)) = over.current() {
                let order = order(direction, key, row.key);
                if order == Ordering::Greater {
                    break;
                }
                if let Some(value) = value {
                    flow = each(Row { key, value });
                }
                over.advance();
                if order == Ordering::Equal {
                    return flow;
                }
                if flow.is_break() {
                    keep(stash_key, row.key);
                    keep(stash_value, row.value);
                    *has_stash = true;
                    return flow;
                }
            }
            flow = each(row);
            flow
        })?;
        while flow.is_continue()
            && let Some((key, value)) = over.current()
        {
            if let Some(value) = value {
                flow = each(Row { key, value });
            }
            over.advance();
        }
        Ok(())
    }
}
