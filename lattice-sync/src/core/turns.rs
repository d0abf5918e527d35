//! Who may pull, ingest and read next.

use lattice_meta::GenesisHash;

use crate::core::Core;
use crate::host::{ConnId, SessionId};
use crate::link::Link;
use crate::session::Session;

impl Core {
    /// Of the sessions about one store, one pulls at a time, so that no op is fetched twice.
    pub(super) fn start_pulls(&mut self) {
        let waiting = self
            .sessions
            .values()
            .filter(|session| session.wants_pull());
        let waiting: Vec<(SessionId, GenesisHash)> =
            waiting.map(|session| (session.id, session.store)).collect();
        for (id, store) in waiting {
            let (now, lease_ms) = (self.now, self.config.lease_ms);
            let mut others = self
                .sessions
                .values_mut()
                .filter(|other| other.id != id && other.store == store && other.is_pulling());
            if !others.any(|other| other.keeps_lease(now, lease_ms)) {
                self.with(id, Session::start_pull);
            }
        }
    }

    /// One ingest a store, and only so many at a time; sessions take turns.
    pub(super) fn start_ingests(&mut self) {
        while self.ingesting.len() < self.config.ingests {
            let now = self.now;
            let may = |session: &&Session| {
                session.wants_ingest(now) && !self.ingesting.contains_key(&session.store)
            };
            let after = (
                std::ops::Bound::Excluded(self.ingested),
                std::ops::Bound::Unbounded,
            );
            let next = self
                .sessions
                .range(after)
                .map(|(_, session)| session)
                .find(may);
            let next = next.or_else(|| self.sessions.values().find(may));
            let Some((id, store)) = next.map(|session| (session.id, session.store)) else {
                return;
            };
            self.ingested = id;
            self.ingesting.insert(store, id);
            self.with(id, Session::start_ingest);
        }
    }

    /// Reads ops where a connection has room: live sessions first, the others in turns.
    pub(super) fn start_reads(&mut self) {
        let conns: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in conns {
            self.read_blobs(conn);
            while let Some(link) = self.links.get(&conn) {
                let reading = self
                    .sessions_on(link)
                    .filter(|session| session.is_reading());
                let is_full = link.unsent >= self.config.unsent_bytes;
                if is_full || reading.count() >= self.config.reads {
                    break;
                }
                let Some(id) = self.next_reader(link) else {
                    break;
                };
                if let Some(link) = self.links.get_mut(&conn) {
                    link.turn = id;
                }
                let mut has_read = false;
                self.with(id, |session, fx| has_read = session.read(fx));
                if !has_read {
                    break;
                }
            }
        }
    }

    fn read_blobs(&mut self, conn: ConnId) {
        let link = self.links.get(&conn);
        let Some(link) = link.filter(|link| link.unsent < self.config.unsent_bytes) else {
            return;
        };
        let wanting = self
            .sessions_on(link)
            .filter(|session| session.wants_blob());
        let wanting: Vec<SessionId> = wanting.map(|session| session.id).collect();
        for id in wanting {
            self.with(id, Session::read_blob);
        }
    }

    fn sessions_on<'a>(&'a self, link: &'a Link) -> impl Iterator<Item = &'a Session> {
        let ids = link.channels.values();
        ids.filter_map(|id| self.sessions.get(id))
    }

    fn next_reader(&self, link: &Link) -> Option<SessionId> {
        let wanting = self
            .sessions_on(link)
            .filter(|session| session.wants_read(&self.config));
        let rank = |session: &&Session| (!session.is_live(), session.id <= link.turn, session.id);
        wanting.min_by_key(rank).map(|session| session.id)
    }
}
