//! Who is there, and which sessions a peer proposes.

use lattice_meta::PubKey;

use crate::config::Fault;
use crate::core::Core;
use crate::event::{Event, Lost, Over};
use crate::host::{ConnId, Mode, Output, SessionId, Side};
use crate::link::{Link, rival};
use crate::session::Violation;
use crate::wire::{End, EndReason, Farewell, Frame, Hello, Open, PROTOCOL, Refuse, RefuseReason};

/// Milliseconds between two connections that were not made at the same time.
const LATER_MS: u64 = 10_000;
/// Milliseconds after which a peer with too many sessions may propose another one.
const BUSY_MS: u64 = 10_000;

impl Core {
    pub(super) fn on_hello(&mut self, conn: ConnId, hello: Hello) {
        if !hello.protocols.contains(&PROTOCOL) {
            return self.part(conn, Farewell::Version, None);
        }
        if hello.peer == self.config.own && hello.instance == self.instance {
            return self.part(conn, Farewell::Oneself, None);
        }
        let peer = hello.peer;
        let same = (hello.peer, hello.instance);
        let is_same_key = peer == self.config.own;
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        if link.expected.is_some_and(|expected| expected != peer) {
            self.outputs.push(Output::Close { conn });
            return self.lose(conn, Lost::OtherPeer, None);
        }
        let channels: Vec<SessionId> = link.channels.values().copied().collect();
        let nonce = nonce_of(&link.own, &hello);
        link.hello = Some(hello);
        self.emit(Event::Met {
            conn,
            peer,
            is_same_key,
        });
        for id in channels {
            self.with(id, |session, fx| {
                session.nonce = nonce;
                session.propose(fx, peer);
            });
        }
        self.leave_one(conn, same);
    }

    /// Of several connections to one process, one stays.
    fn leave_one(&mut self, conn: ConnId, same: (PubKey, u64)) {
        if self.config.has(Fault::DuplicateConnection) {
            return;
        }
        let is_same = |link: &Link| {
            let hello = link.hello.as_ref();
            hello.is_some_and(|hello| (hello.peer, hello.instance) == same)
        };
        let others = self
            .links
            .iter()
            .filter(|(other, link)| **other != conn && is_same(link));
        let others: Vec<ConnId> = others.map(|(other, _)| *other).collect();
        for other in others {
            let (Some(one), Some(two)) = (self.links.get(&conn), self.links.get(&other)) else {
                return;
            };
            let goes = match rival(&self.config.own, one, two, LATER_MS).is_le() {
                true => other,
                false => conn,
            };
            self.part(goes, Farewell::Duplicate, None);
        }
    }

    pub(super) fn on_open(&mut self, conn: ConnId, open: Open) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(&conn) else {
            return Ok(());
        };
        let Some(hello) = &link.hello else {
            return Err("a session was proposed before a greeting");
        };
        let channel = open.channel;
        if !link.may_open(channel) {
            return Err("a session has a number that is not the next one of its side");
        }
        let (peer, nonce) = (hello.peer, nonce_of(&link.own, hello));
        link.opened = channel;
        if link.channels.len() >= self.config.sessions {
            let reason = RefuseReason::Busy { retry_ms: BUSY_MS };
            self.send(conn, &Frame::Refuse(Refuse { channel, reason }));
            return Ok(());
        }
        let rivals = self
            .sessions
            .values()
            .filter(|other| other.conn == conn && other.store == open.genesis);
        let rivals: Vec<(SessionId, u32, Side)> = rivals
            .map(|other| (other.id, other.channel, other.side))
            .collect();
        for (id, rival, side) in rivals {
            // Both proposed at the same time: the smaller number stays. Otherwise the newer one.
            if side == Side::Dialled && rival < channel {
                let reason = EndReason::Closing;
                self.send(conn, &Frame::End(End { channel, reason }));
                return Ok(());
            }
            self.with(id, |session, fx| {
                // The peer may still have it, if it proposed both.
                session.end(fx, EndReason::Closing);
                fx.over = Some(Over::Again);
            });
        }
        let id = self.add(conn, channel, open.genesis, Side::Accepted, Mode::BOTH);
        self.with(id, |session, fx| {
            session.nonce = nonce;
            session.on_open(fx, peer, open);
        });
        Ok(())
    }
}

/// A number of a connection that both sides know.
pub(super) const fn nonce_of(one: &Hello, other: &Hello) -> u64 {
    let instances = one.instance.wrapping_add(other.instance);
    let attempts = one.attempt.wrapping_add(other.attempt);
    instances.rotate_left(7).wrapping_add(attempts)
}
