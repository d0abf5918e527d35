//! Authors whose ops one side does not take.

use lattice_meta::PubKey;

use crate::event::Event;
use crate::session::{Effects, Session, Violation};
use crate::wire::{Frame, MAX_REFUSED, Refused};

impl Session {
    /// Refuses authors: names them to the peer and to the user, and leaves them out of digests.
    pub(super) fn refuse(&mut self, fx: &mut Effects<'_>, mut authors: Vec<PubKey>) {
        authors.sort_unstable();
        authors.dedup();
        authors.retain(|author| !self.refusing.contains(author));
        authors.truncate(MAX_REFUSED.saturating_sub(self.refusing.len()));
        if authors.is_empty() {
            return;
        }
        self.refusing.extend(&authors);
        fx.event(Event::AuthorsRefused {
            session: self.id,
            authors: authors.clone(),
        });
        let channel = self.channel;
        fx.send(Frame::Refused(Refused { channel, authors }));
    }

    /// The peer refuses authors.
    pub(super) fn on_refused(
        &mut self,
        fx: &mut Effects<'_>,
        mut authors: Vec<PubKey>,
    ) -> Result<(), Violation> {
        if !authors.is_sorted_by(|a, b| a < b) {
            return Err("refused authors are not in ascending order");
        }
        authors.retain(|author| !self.refused.contains(author));
        self.refused.extend(&authors);
        if self.refused.len() > MAX_REFUSED {
            return Err("a peer refuses more authors than it may");
        }
        if !authors.is_empty() {
            let session = self.id;
            fx.event(Event::AuthorsRefusedThere { session, authors });
        }
        Ok(())
    }
}
