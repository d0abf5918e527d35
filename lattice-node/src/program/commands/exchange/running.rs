//! What runs: each process that exchanges ops keeps a file in the data directory, with what its
//! sessions do.
//!
//! The process holds a lock of the file, which ends with it. A new version of the file is locked
//! before it replaces the old one, so that readers find it whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use lattice_meta::{PubKey, StoreId};
use lattice_registry::files::{create_private, make_dirs};
use lattice_sync::{Phase, SessionStatus};
use serde::{Deserialize, Serialize};

use crate::program::commands::file_time;
use crate::program::context::Context;
use crate::sync::Syncer;

/// The directory of these files, in the data directory.
const DIR: &str = "running";
/// A file is written so often at most.
const PERIOD: Duration = Duration::from_secs(1);
/// The most bytes that are read of a file.
const MAX_BYTES: u64 = 16 << 20;

/// A process that exchanges ops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchanging {
    pub(super) process: u32,
    /// `serve`, `sync` or `clone`.
    pub(super) command: String,
    /// The socket or the peer.
    pub(super) with: String,
    /// When it began, and when this was written, in milliseconds since 1970.
    pub(super) since: i64,
    pub(super) at: i64,
    pub(super) sessions: Vec<Session>,
}

/// A session of such a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) store_id: StoreId,
    pub(super) peer: PubKey,
    pub(super) sending: String,
    pub(super) taking: String,
    pub(super) equal: bool,
    pub(super) delivered: bool,
    pub(super) diverged: bool,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    pub(super) to_send: u64,
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    pub(super) to_receive: u64,
    pub(super) refused: u64,
    pub(super) held: u64,
    pub(super) invalid: u64,
}

impl From<SessionStatus> for Session {
    fn from(status: SessionStatus) -> Self {
        let counts = &status.counts;
        Self {
            store_id: StoreId::certifying(&status.store),
            peer: status.peer,
            sending: phase(status.push).into(),
            taking: phase(status.pull).into(),
            equal: status.is_equal,
            delivered: status.is_delivered,
            diverged: status.is_diverged,
            sent: counts.ops_sent,
            sent_bytes: counts.bytes_sent,
            to_send: counts.to_send,
            received: counts.ops_received,
            received_bytes: counts.bytes_received,
            to_receive: counts.to_receive,
            refused: counts.refused,
            held: counts.held,
            invalid: counts.invalid,
        }
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Off => "off",
        Phase::Comparing => "comparing",
        Phase::Queued => "queued",
        Phase::Bulk => "bulk",
        Phase::Live => "live",
    }
}

/// The file of this process. It is removed with this value.
pub(super) struct Running {
    dir: PathBuf,
    /// What the file says.
    said: Exchanging,
    /// `None` before it is there, and after it could not be written.
    file: Option<File>,
    next: Instant,
}

impl Running {
    /// Begins without a file: the first is written after a second, so that short exchanges have
    /// none.
    pub(super) fn new(context: &Context<'_>, command: &str, with: String) -> Self {
        Self {
            dir: context.data_dir.join(DIR),
            said: Exchanging {
                process: std::process::id(),
                command: command.to_owned(),
                with,
                since: file_time(SystemTime::now()),
                at: 0,
                sessions: Vec::new(),
            },
            file: None,
            next: Instant::now() + PERIOD,
        }
    }

    /// Writes the file at the next look.
    pub(super) fn at_once(mut self) -> Self {
        self.next = Instant::now();
        self
    }

    /// Writes what the sessions do, if that has changed and the last time was long enough ago.
    pub(super) fn look(&mut self, syncer: &Syncer) {
        if Instant::now() >= self.next {
            self.look_now(syncer);
        }
    }

    /// Writes what the sessions do, if that has changed.
    pub(super) fn look_now(&mut self, syncer: &Syncer) {
        self.next = Instant::now() + PERIOD;
        let sessions = syncer.status().into_iter().map(Session::from).collect();
        if self.file.is_some() && self.said.sessions == sessions {
            return;
        }
        self.said.sessions = sessions;
        self.said.at = file_time(SystemTime::now());
        // Without the lock of an old file, what it says no longer counts.
        self.file = self.write().map_or_else(
            |error| {
                let dir = self.dir.display();
                tracing::debug!(%dir, %error, "the state of this exchange is not written");
                None
            },
            Some,
        );
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}{suffix}", self.said.process))
    }

    fn write(&self) -> io::Result<File> {
        if !self.dir.is_dir() {
            make_dirs(&self.dir).map_err(io::Error::other)?;
        }
        let new = self.path(".new");
        match fs::remove_file(&new) {
            // A process that was killed has left it.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = create_private(&new)?;
        let text = serde_json::to_string(&self.said)?;
        file.write_all(text.as_bytes())?;
        file.lock_shared()?;
        fs::rename(&new, self.path(SUFFIX))?;
        Ok(file)
    }
}

/// How the names of these files end.
const SUFFIX: &str = ".json";

impl Drop for Running {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // A file that stays has no lock, which its readers see.
            drop(fs::remove_file(self.path(SUFFIX)));
        }
    }
}

/// What was found of a process.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// The processes that exchange stores of a data directory, in the order of their begin. Removes the
/// files of those that have ended, if this user may.
pub(super) fn all(data_dir: &Path) -> io::Result<(Vec<Exchanging>, Vec<Unreadable>)> {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(data_dir.join(DIR)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, failed)),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with(SUFFIX) {
            continue;
        }
        match read(&path) {
            Ok(Some(exchanging)) => found.push(exchanging),
            Ok(None) => {}
            Err(error) => failed.push(Unreadable { path, error }),
        }
    }
    found.sort_by_key(|exchanging| (exchanging.since, exchanging.process));
    failed.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((found, failed))
}

/// Reads the file of a process; `None` if it has ended.
fn read(path: &Path) -> io::Result<Option<Exchanging>> {
    // The lock of a file that was just replaced is free: the new one has another.
    for _ in 0..3 {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.take(MAX_BYTES).read_to_string(&mut text)?;
                return Ok(Some(serde_json::from_str(&text)?));
            }
        }
    }
    drop(fs::remove_file(path));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(process: u32, since: i64) -> Exchanging {
        Exchanging {
            process,
            command: "serve".into(),
            with: "standard input and output".into(),
            since,
            at: since,
            sessions: Vec::new(),
        }
    }

    fn running(dir: &Path, said: Exchanging) -> Running {
        Running {
            dir: dir.join(DIR),
            said,
            file: None,
            next: Instant::now(),
        }
    }

    #[test]
    fn a_process_is_found_while_it_holds_its_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(all(dir.path()).unwrap().0, []);
        let mut second = running(dir.path(), said(2, 20));
        second.file = Some(second.write().unwrap());
        let mut first = running(dir.path(), said(1, 10));
        first.file = Some(first.write().unwrap());
        let (found, failed) = all(dir.path()).unwrap();
        assert_eq!(found, [said(1, 10), said(2, 20)]);
        assert!(failed.is_empty(), "{failed:?}");

        // A new version replaces the old one, and is locked as well.
        first.said.at = 11;
        first.file = Some(first.write().unwrap());
        assert_eq!(all(dir.path()).unwrap().0[0].at, 11);

        // A kill leaves the file, and no lock: a reader removes it.
        first.file = None;
        let left = first.path(SUFFIX);
        assert!(left.exists());
        assert_eq!(all(dir.path()).unwrap().0, [said(2, 20)]);
        assert!(!left.exists());

        // A regular end leaves nothing.
        let path = second.path(SUFFIX);
        drop(second);
        assert!(!path.exists());
        assert_eq!(all(dir.path()).unwrap().0, []);
    }

    #[test]
    fn a_file_that_says_nothing_is_reported_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = running(dir.path(), said(1, 10));
        one.file = Some(one.write().unwrap());
        let wrong = dir.path().join(DIR).join("7.json");
        fs::write(&wrong, "{\"process\": true}").unwrap();
        let held = File::open(&wrong).unwrap();
        held.lock_shared().unwrap();
        let (found, failed) = all(dir.path()).unwrap();
        assert_eq!(found, [said(1, 10)]);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].path, wrong);
    }
}
