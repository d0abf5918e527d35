//! Stores by name, for a side that does not have them.

use crate::core::Core;
use crate::event::{Event, FindFault};
use crate::host::{ConnId, Output};
use crate::session::Violation;
use crate::wire::{Find, Found, Frame, MAX_FIND_BYTES, MAX_FOUND_BYTES};

impl Core {
    /// The host asks. No store has a name that is too long to be asked for.
    pub(super) fn find(&mut self, conn: ConnId, name: String) {
        match self.links.get_mut(&conn) {
            None => self.found(conn, name, Err(FindFault::Cut)),
            Some(_) if name.len() > MAX_FIND_BYTES => {
                self.found(conn, name, Err(FindFault::NotThere));
            }
            Some(link) => link.finds.push(name),
        }
    }

    /// The host answers a question of the peer.
    pub(super) fn on_known(&mut self, conn: ConnId, number: u32, record: Option<Vec<u8>>) {
        let link = self.links.get_mut(&conn);
        if link.is_some_and(|link| link.finds.on_known(number)) {
            let record = record.filter(|record| record.len() <= MAX_FOUND_BYTES);
            self.send(conn, &Frame::Found(Found { number, record }));
        }
    }

    pub(super) fn on_find(&mut self, conn: ConnId, find: Find) -> Result<(), Violation> {
        match self.links.get_mut(&conn) {
            Some(link) if link.has_finds() == Some(true) => link.finds.on_find(find),
            _ => Err("a peer asks for a store and did not announce that"),
        }
    }

    pub(super) fn on_found(&mut self, conn: ConnId, found: Found) -> Result<(), Violation> {
        if let Some(link) = self.links.get_mut(&conn) {
            let name = link.finds.on_found(&found)?;
            let record = found.record.ok_or(FindFault::NotThere);
            self.found(conn, name, record);
        }
        Ok(())
    }

    pub(super) fn found(&mut self, conn: ConnId, name: String, record: Result<Vec<u8>, FindFault>) {
        self.emit(Event::Found { conn, name, record });
    }

    /// Asks what can be asked now: the peers, and the host for them.
    pub(super) fn start_finds(&mut self) {
        let conns: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in conns {
            while let Some(step) = self.next_find(conn) {
                match step {
                    Step::Send(find) => self.send(conn, &Frame::Find(find)),
                    Step::Give(output) => self.outputs.push(output),
                }
            }
        }
    }

    fn next_find(&mut self, conn: ConnId) -> Option<Step> {
        let link = self.links.get_mut(&conn)?;
        let peer = link.hello.as_ref()?.peer;
        if link.has_finds() == Some(false) {
            let name = link.finds.give_up()?;
            let record = Err(FindFault::Unsupported);
            let event = Event::Found { conn, name, record };
            return Some(Step::Give(Output::Event(event)));
        }
        if let Some(find) = link.finds.ask() {
            return Some(Step::Send(find));
        }
        if link.unsent >= self.config.unsent_bytes {
            return None;
        }
        let (number, name) = link.finds.hand_over()?;
        Some(Step::Give(Output::Find {
            conn,
            peer,
            number,
            name,
        }))
    }
}

/// What is done about a question.
enum Step {
    /// It goes to the peer.
    Send(Find),
    /// It, or its answer, goes to the host.
    Give(Output),
}
