//! How a session begins.

use lattice_meta::PubKey;

use crate::digest::summary;
use crate::event::{Event, Over};
use crate::host::{Loaded, Request, Side};
use crate::session::{Effects, Pending, Session, Stage, Violation};
use crate::wire::{Accept, Frame, Open, Refuse, RefuseReason};

impl Session {
    /// The peer is known: the side that proposes the session loads the store.
    pub(crate) fn propose(&mut self, fx: &mut Effects<'_>, peer: PubKey) {
        if self.stage == Stage::Waiting {
            self.peer = peer;
            self.stage = Stage::Loading(None);
            self.ask(fx, Pending::Load, Request::Load { peer, asked: None });
        }
    }

    /// The peer proposes a session.
    pub(crate) fn on_open(&mut self, fx: &mut Effects<'_>, peer: PubKey, open: Open) {
        self.peer = peer;
        let asked = Some(self.set_peer_mode(open.gives, open.takes));
        self.stage = Stage::Loading(Some(Box::new(open)));
        self.ask(fx, Pending::Load, Request::Load { peer, asked });
    }

    fn set_peer_mode(&mut self, gives: bool, takes: bool) -> crate::host::Mode {
        self.peer_mode.gives = gives;
        self.peer_mode.takes = takes;
        self.peer_mode
    }

    pub(super) fn on_declined(&mut self, fx: &mut Effects<'_>, reason: RefuseReason) {
        if let Stage::Loading(Some(_)) = self.stage {
            let channel = self.channel;
            fx.send(Frame::Refuse(Refuse { channel, reason }));
        }
        fx.over = Some(Over::Declined(reason));
    }

    pub(super) fn on_loaded(&mut self, fx: &mut Effects<'_>, loaded: Loaded) {
        let Loaded {
            view,
            mine,
            served,
            mode,
        } = loaded;
        self.mode.gives &= mode.gives;
        self.mode.takes &= mode.takes;
        (self.mine, self.served) = (mine, served);
        self.safe = self.safe.max(view.end);
        let ours = summary(&view, &self.left_out());
        self.view = Some(view);
        let opened = Event::Opened {
            session: self.id,
            conn: self.conn,
            store: self.store,
            peer: self.peer,
        };
        match std::mem::replace(&mut self.stage, Stage::Proposed) {
            Stage::Loading(Some(open)) => {
                self.stage = Stage::Open;
                fx.event(opened);
                let method = self.method(fx, &open.summary, open.cursor);
                let ranges = method.is_ranges() && ours.digest != open.summary.digest;
                fx.send(Frame::Accept(Accept {
                    channel: self.channel,
                    gives: self.mode.gives,
                    takes: self.mode.takes,
                    ranges,
                    summary: ours,
                    cursor: self.mine,
                }));
                self.first_round(fx, &ours, &open.summary, method, ranges);
            }
            _ => fx.send(Frame::Open(Open {
                channel: self.channel,
                genesis: self.store,
                gives: self.mode.gives,
                takes: self.mode.takes,
                summary: ours,
                cursor: self.mine,
            })),
        }
    }

    pub(super) fn on_accept(
        &mut self,
        fx: &mut Effects<'_>,
        accept: &Accept,
    ) -> Result<(), Violation> {
        self.set_peer_mode(accept.gives, accept.takes);
        self.stage = Stage::Open;
        fx.event(Event::Opened {
            session: self.id,
            conn: self.conn,
            store: self.store,
            peer: self.peer,
        });
        let Some(view) = &self.view else {
            return Err("a session was accepted before it was proposed");
        };
        // The summary that the peer compared with is the one that was sent.
        let ours = summary(view, &self.left_out());
        let method = self.method(fx, &accept.summary, accept.cursor);
        self.first_round(fx, &ours, &accept.summary, method, accept.ranges);
        Ok(())
    }

    /// Whether this side decides when another comparison begins.
    pub(super) fn leads(&self) -> bool {
        self.side == Side::Accepted
    }
}
