//! The log of decisions about code: `wasm/decisions.jsonl` in the data directory.
//!
//! Processes append lines, without a lock: a line is written by one call. A file above the limit
//! gets another name, and replaces the one that had it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lattice_backend::clock::Time;
use lattice_meta::{Cid, StoreId, StoreType};
use lattice_registry::files::{adopt, make_dirs};
use serde::{Deserialize, Serialize};

use crate::error::LibraryError;

/// A log of more bytes is set aside.
const MAX_BYTES: u64 = 256 << 10;

/// What was decided about the code of a store, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Line", into = "Line")]
#[non_exhaustive]
pub struct Decision {
    /// When, as RFC 3339 text.
    pub time: String,
    /// The store.
    pub store_id: StoreId,
    /// Its type.
    pub store_type: StoreType,
    /// The logic that the store recorded before; `None` for a new store.
    pub recorded: Option<String>,
    /// The code that was considered.
    pub logic: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of considering code for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The store uses it. Its state was computed by this code, or the store is new.
    Used {
        /// Why it may run.
        because: String,
    },
    /// The store uses it since a replay of its history gave the same state.
    Proven {
        /// Why it may run.
        because: String,
    },
    /// A replay gave another state: the store does not use it, and it is not tried again.
    Refused {
        /// The number of replayed ops.
        ops: u64,
        /// The first op that has another effect.
        op: Option<String>,
    },
}

/// A line of the log.
#[derive(Serialize, Deserialize)]
struct Line {
    time: String,
    store_id: StoreId,
    store_type: StoreType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recorded: Option<String>,
    logic: String,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ops: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<String>,
}

impl From<Decision> for Line {
    fn from(decision: Decision) -> Self {
        let (outcome, because, ops, op) = match decision.outcome {
            Outcome::Used { because } => ("used", Some(because), None, None),
            Outcome::Proven { because } => ("proven", Some(because), None, None),
            Outcome::Refused { ops, op } => ("refused", None, Some(ops), op),
        };
        Self {
            time: decision.time,
            store_id: decision.store_id,
            store_type: decision.store_type,
            recorded: decision.recorded,
            logic: decision.logic,
            outcome: outcome.to_owned(),
            because,
            ops,
            op,
        }
    }
}

impl TryFrom<Line> for Decision {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let outcome = match (&*line.outcome, line.because, line.ops) {
            ("used", Some(because), None) => Outcome::Used { because },
            ("proven", Some(because), None) => Outcome::Proven { because },
            ("refused", None, Some(ops)) => Outcome::Refused { ops, op: line.op },
            (other, _, _) => return Err(format!("expected an outcome, found {other:?}")),
        };
        Ok(Self {
            time: line.time,
            store_id: line.store_id,
            store_type: line.store_type,
            recorded: line.recorded,
            logic: line.logic,
            outcome,
        })
    }
}

impl Decision {
    /// A decision of this moment.
    pub(crate) fn now(
        store_id: StoreId,
        store_type: &StoreType,
        recorded: Option<&str>,
        logic: &str,
        outcome: Outcome,
    ) -> Self {
        Self {
            time: Time::now().to_string(),
            store_id,
            store_type: store_type.clone(),
            recorded: recorded.map(str::to_owned),
            logic: logic.to_owned(),
            outcome,
        }
    }

    /// Whether this one says the same of the same store.
    fn repeats(&self, other: &Self) -> bool {
        (self.store_id, &self.logic, &self.outcome)
            == (other.store_id, &other.logic, &other.outcome)
    }
}

/// The decisions about one store, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Decisions {
    /// The readable ones.
    pub all: Vec<Decision>,
    /// The number of lines that name the store and cannot be read.
    pub unreadable: u64,
}

impl Decisions {
    /// The modules that computed another state for the store.
    pub(crate) fn refused(&self) -> BTreeSet<Cid> {
        let refused = self
            .all
            .iter()
            .filter_map(|decision| match decision.outcome {
                Outcome::Refused { .. } => decision.logic.parse().ok(),
                Outcome::Used { .. } | Outcome::Proven { .. } => None,
            });
        refused.collect()
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    file: PathBuf,
    old: PathBuf,
}

impl Log {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let dir = data_dir.join("wasm");
        Self {
            file: dir.join("decisions.jsonl"),
            old: dir.join("decisions.old.jsonl"),
        }
    }

    /// Reads the decisions about a store.
    pub(crate) fn read(&self, store_id: StoreId) -> Result<Decisions, LibraryError> {
        let mut decisions = Decisions::default();
        let id = store_id.to_string();
        for path in [&self.old, &self.file] {
            let text = match fs::read(path) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LibraryError::file("read", path, error)),
            };
            // The log is read at every open for writing: lines of other stores are not parsed.
            for line in text.lines().filter(|line| line.contains(&id)) {
                match serde_json::from_str::<Decision>(line) {
                    Ok(decision) if decision.store_id == store_id => decisions.all.push(decision),
                    Ok(_) => {}
                    Err(_) => decisions.unreadable += 1,
                }
            }
        }
        Ok(decisions)
    }

    /// Appends a decision, unless the last one about the store says the same.
    pub(crate) fn append(&self, decision: &Decision) -> Result<(), LibraryError> {
        let known = self.read(decision.store_id)?;
        if known.all.last().is_some_and(|last| last.repeats(decision)) {
            return Ok(());
        }
        let failed = |error| LibraryError::file("write", &self.file, error);
        if let Some(dir) = self.file.parent() {
            make_dirs(dir)?;
        }
        if fs::metadata(&self.file).is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            fs::rename(&self.file, &self.old).map_err(failed)?;
        }
        let mut line = serde_json::to_string(decision).expect("it has texts and numbers only");
        line.push('\n');
        // A process that was killed may have left a part of a line.
        if fs::read(&self.file).is_ok_and(|text| text.last().is_some_and(|last| *last != b'\n')) {
            line.insert(0, '\n');
        }
        let mut options = File::options();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.open(&self.file);
        opened
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(failed)?;
        Ok(adopt(&self.file)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn decision(store: u8, outcome: Outcome) -> Decision {
        let store_type = "org.example.chat".parse().unwrap();
        let (id, logic) = (
            StoreId::from_bytes([store; 16]),
            Cid::of(&[store]).to_string(),
        );
        Decision::now(id, &store_type, Some("older"), &logic, outcome)
    }

    fn used() -> Outcome {
        Outcome::Used {
            because: "it was added".into(),
        }
    }

    #[test]
    fn decisions_are_kept_by_store_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path());
        let one = StoreId::from_bytes([1; 16]);
        assert_eq!(log.read(one).unwrap(), Decisions::default());
        let op = Some("ab".to_owned());
        let refused = decision(1, Outcome::Refused { ops: 7, op });
        let all = [decision(1, used()), refused, decision(1, used())];
        for each in &all {
            log.append(each).unwrap();
            log.append(each).unwrap();
            log.append(&decision(2, used())).unwrap();
        }
        let found = log.read(one).unwrap();
        assert_eq!((&found.all[..], found.unreadable), (&all[..], 0));
        assert_eq!(found.refused(), BTreeSet::from([Cid::of(&[1])]));
        assert_eq!(log.read(StoreId::from_bytes([2; 16])).unwrap().all.len(), 1);
    }

    #[test]
    fn a_torn_line_is_counted_and_a_long_log_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path());
        let one = StoreId::from_bytes([1; 16]);
        log.append(&decision(1, used())).unwrap();
        let line = fs::read_to_string(&log.file).unwrap();
        // A killed process has left a part of a line; the next decision has a line of its own.
        let torn = format!("{line}{{\"store_id\":\"{one}\",");
        fs::write(&log.file, torn).unwrap();
        let refused = decision(1, Outcome::Refused { ops: 1, op: None });
        log.append(&refused).unwrap();
        let found = log.read(one).unwrap();
        assert_eq!((found.all.len(), found.unreadable), (2, 1));
        assert_eq!(found.all.last(), Some(&refused));
        let lines = usize::try_from(MAX_BYTES).unwrap() / line.len() + 1;
        fs::write(&log.file, line.repeat(lines)).unwrap();
        let op = None;
        log.append(&decision(1, Outcome::Refused { ops: 0, op }))
            .unwrap();
        assert_eq!(fs::read_to_string(&log.file).unwrap().lines().count(), 1);
        assert_eq!(log.read(one).unwrap().all.len(), lines + 1);
    }
}
