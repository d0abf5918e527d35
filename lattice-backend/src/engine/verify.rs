//! Whether a store's state is what its history says, and its history whole.

use std::sync::Arc;

use lattice_meta::{Hlc, MetaKey, PubKey, SchemaVersion, StateHash};

use super::difference::{HashDifference, OpDifference, RowDifference, shown};
use super::replay::{Replay, Replayed, Signatures};
use super::{Engine, Inner};
use crate::backend::StateBackend;
use crate::history::{Applied, Tail, read_index, read_op};
use crate::system::{GENESIS, LEDGER, LOGIC, Ledger};
use crate::tx::{Direction, EVERYTHING, ReadTx, Result, Row, Table};
use crate::{Accumulator, BackendError, LeafHasher, OpRef, Stage, StateMachine, Watch};

/// Rows after which a watcher is told again.
const TELL_ROWS: u64 = 4096;

/// How thoroughly a store is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The rows of the state are counted and hashed again, and held against the state hash.
    Quick,
    /// Every signature, chain and clock is checked, the whole history is applied once more beside
    /// the store, and everything that the store keeps is held against what comes of it.
    Full,
}

/// What the engine's own checksums say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// They hold.
    Whole,
    /// They do not.
    Damaged {
        /// What the engine found.
        detail: String,
    },
    /// Somebody has the file open for writing, so they cannot be looked at.
    InUse,
    /// The engine keeps none.
    None,
}

/// What is wrong with one op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpFault {
    /// There is none in its place.
    #[error("there is no op in this place")]
    Missing,
    /// Its bytes are no op.
    #[error("it cannot be read: {found}")]
    Unreadable {
        /// What was found.
        found: String,
    },
    /// Its author did not sign it.
    #[error("its signature does not hold")]
    Signature,
    /// It was applied before.
    #[error("it was applied before")]
    Twice,
    /// It names an op that was not applied before it.
    #[error("it follows op {parent}, which was not applied before it")]
    Parent {
        /// The op that it names.
        parent: OpRef,
    },
    /// It is not dated after what it follows.
    #[error("{reason}")]
    Clock {
        /// What was expected and found.
        reason: String,
    },
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The engine's own checksums do not hold.
    #[error("the database is damaged: {detail}")]
    Damaged {
        /// What the engine found.
        detail: String,
    },
    /// A row that no version of the format has.
    #[error(
        "table `{table}` has a row {} that the format does not know",
        shown(key)
    )]
    UnknownRow {
        /// The table.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// An op that is not as it should be.
    #[error("op number {index}{}: {fault}", named(op, author, hlc))]
    Op {
        /// Its place in the order of application, from 0.
        index: u64,
        /// The op, if it can be read.
        op: Option<OpRef>,
        /// Its author, if it can be read.
        author: Option<PubKey>,
        /// When it was made, if it can be read.
        hlc: Option<Hlc>,
        /// What is wrong.
        fault: OpFault,
    },
    /// More ops that are not as they should be.
    #[error("{count} more ops have something wrong")]
    MoreOps {
        /// How many.
        count: u64,
    },
    /// An op has another effect than was recorded.
    #[error(transparent)]
    Effect(EffectFinding),
    /// The state hash is another.
    #[error("{0}")]
    StateHash(HashDifference),
    /// A row is another.
    #[error("{0}")]
    Row(RowDifference),
    /// A number that the store keeps is another.
    #[error("the store counts {found} {what}, and there are {expected}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        expected: u64,
        /// How many the store says there are.
        found: u64,
    },
}

/// An [`OpDifference`] as an error of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EffectFinding(pub OpDifference);

fn named(op: &Option<OpRef>, author: &Option<PubKey>, hlc: &Option<Hlc>) -> String {
    match (op, author, hlc) {
        (Some(op), Some(author), Some(hlc)) => {
            format!(" ({}, by {author}, made at {} ms)", op.id, hlc.ms())
        }
        (Some(op), ..) => format!(" ({op})"),
        _ => String::new(),
    }
}

impl Finding {
    /// The kind of the finding in a word, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "damaged",
            Self::UnknownRow { .. } => "unknown_row",
            Self::Op { .. } => "op",
            Self::MoreOps { .. } => "more_ops",
            Self::Effect(_) => "effect",
            Self::StateHash(_) => "state_hash",
            Self::Row(_) => "row",
            Self::Count { .. } => "count",
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How thorough it was.
    pub depth: Depth,
    /// Ops of the history; a quick verification does not look at them.
    pub ops: u64,
    /// Leaves of the state.
    pub leaves: u64,
    /// The hash of the state, computed from its rows.
    pub state_hash: StateHash,
    /// What is wrong; nothing in a whole store.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}

impl<M: StateMachine> Engine<M> {
    /// Verifies the store as it is now, by a view that writes going on do not show in. Nothing of
    /// the store is changed.
    ///
    /// A full verification makes a second store out of the history, in a
    /// [scratch](StateBackend::scratch) database of `backend`, and compares the two. It looks at
    /// no checksums of the engine: [`StateBackend::check_integrity`] does.
    ///
    /// # Errors
    /// What the engine underneath reports, where it keeps the verification from going on. What is
    /// wrong with the store itself is a [`Finding`].
    pub fn verify(
        &self,
        depth: Depth,
        backend: &dyn StateBackend,
        watch: &Watch,
    ) -> Result<Verification> {
        self.inner.check_usable()?;
        let tx = self.inner.db.snapshot()?;
        let ledger = Ledger::read(&*tx)?;
        self.inner.check_schema(&*tx)?;
        let state = rescan(&*self.inner.machine, self.inner.schema, &*tx, watch)?;
        let mut verification = Verification {
            depth,
            ops: ledger.applied,
            leaves: state.leaf_count(),
            state_hash: state.state_hash(&self.inner.genesis_hash),
            findings: Vec::new(),
        };
        let found = ledger.state.state_hash(&self.inner.genesis_hash);
        if found != verification.state_hash {
            let expected = verification.state_hash;
            let difference = HashDifference { expected, found };
            verification.findings.push(Finding::StateHash(difference));
        }
        if depth == Depth::Full {
            self.inner
                .verify_history(&*tx, backend, watch, &mut verification.findings)?;
        }
        Ok(verification)
    }
}

/// The sum of the leaves of all rows.
pub(super) fn rescan<M: StateMachine>(
    machine: &M,
    schema: SchemaVersion,
    tx: &dyn ReadTx,
    watch: &Watch,
) -> Result<Accumulator> {
    let (mut sum, hasher) = (Accumulator::default(), LeafHasher::default());
    let mut rows = tx.range(Table::Data, EVERYTHING, Direction::Forward)?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        machine.leaves(schema, row, &mut |key, value| {
            sum.insert(&hasher, key, value)
        });
        count += 1;
        if count % TELL_ROWS == 0 {
            watch.tell(Stage::Rows, count, None);
        }
    }
    Ok(sum)
}

impl<M: StateMachine> Inner<M> {
    /// Makes a second store out of the history.
    pub(super) fn replay(
        &self,
        tx: &(dyn ReadTx + Send + Sync),
        backend: &dyn StateBackend,
        signatures: Signatures,
        watch: &Watch,
    ) -> Result<(Replay<M>, Replayed)> {
        let scratch = backend
            .scratch()
            .map_err(|error| BackendError::storage("making a scratch database", error))?;
        let (machine, genesis) = (Arc::clone(&self.machine), self.genesis.clone());
        let replay = Replay::begin(scratch, self.path.clone(), machine, genesis)?;
        let replayed = replay.run(tx, signatures, watch)?;
        Ok((replay, replayed))
    }

    fn verify_history(
        &self,
        tx: &(dyn ReadTx + Send + Sync),
        backend: &dyn StateBackend,
        watch: &Watch,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let (replay, replayed) = self.replay(tx, backend, Signatures::Check, watch)?;
        for (index, op, fault) in replayed.faults {
            let read = match op {
                Some(_) => read_op(tx, &self.hasher, index)?,
                None => None,
            };
            findings.push(Finding::Op {
                index,
                op,
                author: op.map(|op| op.author),
                hlc: read.map(|op| op.hlc()),
                fault,
            });
        }
        if replayed.more_faults > 0 {
            let count = replayed.more_faults;
            findings.push(Finding::MoreOps { count });
        }
        let has_other_effect = replayed.difference.is_some();
        findings.extend(
            replayed
                .difference
                .map(|op| Finding::Effect(EffectFinding(op))),
        );
        if replayed.is_cut {
            // The rest of the history is not known, and so is what the tables must hold.
            return Ok(());
        }
        let second = replay.inner.db.snapshot()?;
        let compared = Comparison {
            first: tx,
            second: &*second,
            watch,
        };
        compared.ledgers(&self.genesis_hash, findings)?;
        if self.schema == replay.schema() {
            findings.extend(compared.table(Table::Data)?.map(Finding::Row));
        }
        if !has_other_effect {
            findings.extend(compared.table(Table::Ops)?.map(Finding::Row));
        }
        compared.meta(findings)?;
        compared.system(findings)?;
        compared.applied(&replay, findings)
    }
}

/// A store, and what its history makes of it.
pub(super) struct Comparison<'a> {
    pub(super) first: &'a dyn ReadTx,
    pub(super) second: &'a dyn ReadTx,
    pub(super) watch: &'a Watch,
}

impl Comparison<'_> {
    /// The first row of a table that is another.
    pub(super) fn table(&self, table: Table) -> Result<Option<RowDifference>> {
        let mut found = self.first.range(table, EVERYTHING, Direction::Forward)?;
        let mut expected = self.second.range(table, EVERYTHING, Direction::Forward)?;
        let mut count = 0;
        loop {
            let (found, expected) = (found.next()?, expected.next()?);
            if found != expected {
                return Ok(Some(difference(table, found, expected)));
            }
            if found.is_none() {
                return Ok(None);
            }
            count += 1;
            if count % TELL_ROWS == 0 {
                self.watch.tell(Stage::Rows, count, None);
            }
        }
    }

    /// The same, of rows with these keys alone; there are not too many of them to be in memory.
    fn rows(&self, table: Table, counts: &dyn Fn(&[u8]) -> bool) -> Result<Option<RowDifference>> {
        let read = |tx: &dyn ReadTx| -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
            let mut rows = tx.range(table, EVERYTHING, Direction::Forward)?;
            let mut read = Vec::new();
            while let Some(row) = rows.next()? {
                if counts(row.key) {
                    read.push((row.key.to_vec(), row.value.to_vec()));
                }
            }
            Ok(read)
        };
        let (found, expected) = (read(self.first)?, read(self.second)?);
        let place = found
            .iter()
            .zip(&expected)
            .take_while(|(a, b)| a == b)
            .count();
        let (found, expected) = (found.get(place), expected.get(place));
        if found.is_none() && expected.is_none() {
            return Ok(None);
        }
        let difference = difference(table, found.map(as_row), expected.map(as_row));
        Ok(Some(difference))
    }

    fn ledgers(
        &self,
        genesis: &lattice_meta::GenesisHash,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let (found, expected) = (Ledger::read(self.first)?, Ledger::read(self.second)?);
        if found.state != expected.state {
            let difference = HashDifference {
                expected: expected.state.state_hash(genesis),
                found: found.state.state_hash(genesis),
            };
            let finding = Finding::StateHash(difference);
            // The rows may have said so already.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        if found.clock != expected.clock {
            findings.push(Finding::Count {
                what: "as the greatest timestamp",
                expected: expected.clock.to_u64(),
                found: found.clock.to_u64(),
            });
        }
        Ok(())
    }

    fn meta(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let is_known = |key: &[u8]| matches!(MetaKey::from_bytes(key), Ok(Some(_)));
        self.unknown(Table::Meta, &is_known, findings)?;
        // The layout is what the store has, and it need not be the newest one.
        let counts = |key: &[u8]| {
            is_known(key) && !matches!(MetaKey::from_bytes(key), Ok(Some(MetaKey::SchemaVersion)))
        };
        findings.extend(self.rows(Table::Meta, &counts)?.map(Finding::Row));
        Ok(())
    }

    fn system(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let single = |key: &[u8]| matches!(key, GENESIS | LOGIC | LEDGER);
        let marks = |key: &[u8]| crate::system::Mark::is_one(key);
        self.unknown(Table::System, &|key| single(key) || marks(key), findings)?;
        findings.extend(self.rows(Table::System, &marks)?.map(Finding::Row));
        Ok(())
    }

    /// Rows with keys that are not known.
    fn unknown(
        &self,
        table: Table,
        is_known: &dyn Fn(&[u8]) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut rows = self.first.range(table, EVERYTHING, Direction::Forward)?;
        while let Some(row) = rows.next()? {
            if !is_known(row.key) {
                let key = row.key.to_vec();
                findings.push(Finding::UnknownRow { table, key });
            }
        }
        Ok(())
    }

    /// The index by author is brought up to date in steps: which ones, history does not say. Every
    /// row must be right, and there must be one for each op that counts as indexed.
    fn applied<M: StateMachine>(
        &self,
        replay: &Replay<M>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let ledger = Ledger::read(self.second)?;
        let hasher = &replay.inner.hasher;
        let tail = Tail::read(self.second, hasher, ledger.indexed, ledger.applied)?;
        let known = Applied {
            tx: self.second,
            tail: &tail,
        };
        let indexed = Ledger::read(self.first)?.indexed;
        let mut rows = self
            .first
            .range(Table::Applied, EVERYTHING, Direction::Forward)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let expected = match OpRef::from_key(row.key) {
                Some(op) => known.index_of(&op)?.filter(|index| *index < indexed),
                None => None,
            };
            if expected.is_none() || read_index(row.value).ok() != expected {
                findings.push(Finding::Row(RowDifference {
                    table: Table::Applied,
                    key: row.key.to_vec(),
                    expected: expected.map(|index| index.to_le_bytes().to_vec()),
                    found: Some(row.value.to_vec()),
                }));
                return Ok(());
            }
        }
        if count != indexed {
            findings.push(Finding::Count {
                what: "ops as indexed by author",
                expected: count,
                found: indexed,
            });
        }
        Ok(())
    }
}

fn as_row((key, value): &(Vec<u8>, Vec<u8>)) -> Row<'_> {
    Row { key, value }
}

fn difference(table: Table, found: Option<Row<'_>>, expected: Option<Row<'_>>) -> RowDifference {
    let value = |row: Option<Row<'_>>| row.map(|row| row.value.to_vec());
    let (found_key, expected_key) = (found.map(|row| row.key), expected.map(|row| row.key));
    match (found_key, expected_key) {
        (Some(there), Some(key)) if there == key => RowDifference {
            table,
            key: key.to_vec(),
            expected: value(expected),
            found: value(found),
        },
        // A row too few, and then one too many: the first of them is named.
        (there, Some(key)) if there.is_none_or(|there| key < there) => RowDifference {
            table,
            key: key.to_vec(),
            expected: value(expected),
            found: None,
        },
        (there, _) => RowDifference {
            table,
            key: there.unwrap_or_default().to_vec(),
            expected: None,
            found: value(found),
        },
    }
}
