//! The model: what the stores must contain.

use std::collections::BTreeMap;

use crate::script::{Kind, Side, Step, Work};

/// The effect of one op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    Put(Vec<(Vec<u8>, Vec<u8>)>),
    Delete(Vec<u8>),
    Append(Vec<Vec<u8>>),
}

/// The ops that a step makes. A reader cannot observe the order among them.
pub(crate) fn ops(step: &Step) -> Option<(Kind, Vec<Done>)> {
    let Step { number, side, work } = *step;
    let row = |index| {
        (
            Step::key(side, number, index),
            Step::value(side, number, index),
        )
    };
    Some(match work {
        Work::Put => (Kind::Kv, vec![Done::Put(vec![row(0)])]),
        Work::Batch(keys) => (Kind::Kv, vec![Done::Put((0..keys).map(row).collect())]),
        Work::Delete(of) => (Kind::Kv, vec![Done::Delete(Step::key(side, of, 0))]),
        Work::Burst => {
            let puts = (0..crate::script::BURST).map(|index| Done::Put(vec![row(index)]));
            (Kind::Kv, puts.collect())
        }
        Work::Append(entries) => {
            let entries = (0..entries).map(|index| Step::value(side, number, index));
            (Kind::Log, vec![Done::Append(entries.collect())])
        }
        _ => return None,
    })
}

/// The ops of each author in one store, and how many of them each replica has. An author's ops form
/// a sequence, so a count identifies them.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) by_a: Vec<Done>,
    pub(crate) by_b: Vec<Done>,
    /// How many of A's ops B is known to have.
    pub(crate) a_at_b: usize,
    /// How many of B's ops A is known to have.
    pub(crate) b_at_a: usize,
}

impl History {
    pub(crate) fn own(&mut self, side: Side) -> &mut Vec<Done> {
        match side {
            Side::A => &mut self.by_a,
            Side::B => &mut self.by_b,
        }
    }

    /// How many ops of the other side one side has.
    pub(crate) fn taken(&mut self, side: Side) -> &mut usize {
        match side {
            Side::A => &mut self.b_at_a,
            Side::B => &mut self.a_at_b,
        }
    }

    /// How many ops of A and of B a side is known to have.
    pub(crate) fn counts(&self, side: Side) -> [usize; 2] {
        match side {
            Side::A => [self.by_a.len(), self.b_at_a],
            Side::B => [self.a_at_b, self.by_b.len()],
        }
    }

    /// The content of a store with this many ops of A and of B.
    pub(crate) fn content(&self, [of_a, of_b]: [usize; 2]) -> Content {
        let mut content = Content::default();
        for done in self.by_a[..of_a].iter().chain(&self.by_b[..of_b]) {
            content.apply(done);
        }
        content.entries.sort();
        content
    }
}

/// The readable content of a store. Entries are ascending, because timestamps order the entries of
/// the two authors.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Content {
    fn apply(&mut self, done: &Done) {
        match done {
            Done::Put(rows) => self.keys.extend(rows.iter().cloned()),
            Done::Delete(key) => {
                self.keys.remove(key);
            }
            Done::Append(entries) => self.entries.extend(entries.iter().cloned()),
        }
    }

    /// The first difference from the expected content, for a message.
    pub(crate) fn difference(&self, expected: &Self) -> String {
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(40)].escape_ascii().to_string();
        for (key, value) in &expected.keys {
            match self.keys.get(key) {
                None => return format!("key {} is missing", shown(key)),
                Some(found) if found != value => {
                    return format!("key {} has {}", shown(key), shown(found));
                }
                Some(_) => {}
            }
        }
        if let Some(key) = self
            .keys
            .keys()
            .find(|key| !expected.keys.contains_key(*key))
        {
            return format!("key {} should not be there", shown(key));
        }
        format!(
            "{} entries, {} were expected",
            self.entries.len(),
            expected.entries.len()
        )
    }
}
