//! Finds the first op whose effect differs between two replicas with the same ops.
//!
//! Effects depend on the order of application, so both sides replay in the canonical order, which
//! depends on the ops alone, and compare running hashes at 64 places at a time.

use crate::convert::to_u64;
use crate::event::Event;
use crate::host::Request;
use crate::session::{Effects, Pending, Session, Stage, Violation};
use crate::wire::{EndReason, Frame, PROBE_HASHES, Probe};

/// The most probes of a peer that are answered in a session: each costs a replay.
const MAX_PROBES: u8 = 16;

/// The state of the search.
#[derive(Debug, Default)]
pub(super) struct Probing {
    purpose: Option<Purpose>,
    /// The stretch that was sent last.
    sent: Option<(u64, u64)>,
    answered: u8,
    /// What came before this side knew that the states differ.
    early: Option<Probe>,
}

/// What the host is replaying for.
#[derive(Debug)]
enum Purpose {
    /// To know the length.
    Length,
    /// To send the hashes of a stretch.
    Send { from: u64, upto: u64 },
    /// To compare with what the peer sent.
    Compare(Probe),
}

/// The ends of the parts of a stretch.
fn ends(from: u64, upto: u64) -> Vec<u64> {
    let len = upto.saturating_sub(from);
    let parts = len.min(to_u64(PROBE_HASHES));
    let end = |part: u64| {
        let offset = u128::from(len) * u128::from(part) / u128::from(parts.max(1));
        from.saturating_add(u64::try_from(offset).unwrap_or(len))
    };
    (1..=parts).map(end).collect()
}

impl Session {
    /// Begins the search.
    pub(crate) fn start_probe(&mut self, fx: &mut Effects<'_>) {
        if self.stage == Stage::Open && self.probing.purpose.is_none() {
            self.trace(fx, Purpose::Length, Vec::new());
        }
    }

    fn trace(&mut self, fx: &mut Effects<'_>, purpose: Purpose, at: Vec<u64>) {
        self.probing.purpose = Some(purpose);
        self.ask(fx, Pending::Trace, Request::Trace { at });
    }

    pub(super) fn on_probe(&mut self, fx: &mut Effects<'_>, probe: Probe) -> Result<(), Violation> {
        let ends = ends(probe.from, probe.upto);
        if ends.is_empty() || ends.len() != probe.hashes.len() {
            return Err("a probe has the wrong number of hashes");
        }
        // Replays are for those who differ. The peer can know it first.
        match self.beats.is_diverged || self.probing.sent.is_some() {
            true => self.answer_probe(fx, probe),
            false => self.probing.early = Some(probe),
        }
        Ok(())
    }

    /// This side has found that the states differ.
    pub(super) fn answer_early_probe(&mut self, fx: &mut Effects<'_>) {
        if let Some(probe) = self.probing.early.take() {
            self.answer_probe(fx, probe);
        }
    }

    fn answer_probe(&mut self, fx: &mut Effects<'_>, probe: Probe) {
        let is_busy = self.probing.purpose.is_some() || self.probing.answered >= MAX_PROBES;
        if !is_busy {
            self.probing.answered += 1;
            let ends = ends(probe.from, probe.upto);
            self.trace(fx, Purpose::Compare(probe), ends);
        }
    }

    pub(super) fn on_traced(&mut self, fx: &mut Effects<'_>, ops: u64, hashes: &[[u8; 16]]) {
        let Some(purpose) = self.probing.purpose.take() else {
            return;
        };
        let asked = match &purpose {
            Purpose::Length => 0,
            Purpose::Send { from, upto } => ends(*from, *upto).len(),
            Purpose::Compare(probe) => probe.hashes.len(),
        };
        if hashes.len() != asked {
            return self.end(fx, EndReason::Failed);
        }
        match purpose {
            // Without ops there is no effect that could differ.
            Purpose::Length if ops == 0 => fx.event(Event::ReplaysAgree { session: self.id }),
            Purpose::Length => {
                let purpose = Purpose::Send { from: 0, upto: ops };
                self.trace(fx, purpose, ends(0, ops));
            }
            Purpose::Send { from, upto } => self.send_probe(fx, from, upto, hashes.to_vec()),
            Purpose::Compare(probe) => self.compare_probe(fx, &probe, hashes),
        }
    }

    fn send_probe(&mut self, fx: &mut Effects<'_>, from: u64, upto: u64, hashes: Vec<[u8; 16]>) {
        self.probing.sent = Some((from, upto));
        fx.send(Frame::Probe(Probe {
            channel: self.channel,
            from,
            upto,
            hashes,
        }));
    }

    fn compare_probe(&mut self, fx: &mut Effects<'_>, probe: &Probe, hashes: &[[u8; 16]]) {
        let session = self.id;
        let was_sent = self.probing.sent == Some((probe.from, probe.upto));
        let differs = probe
            .hashes
            .iter()
            .zip(hashes)
            .position(|(theirs, ours)| theirs != ours);
        let Some(part) = differs else {
            fx.event(Event::ReplaysAgree { session });
            if !was_sent {
                self.send_probe(fx, probe.from, probe.upto, hashes.to_vec());
            }
            return;
        };
        let ends_here = ends(probe.from, probe.upto);
        let start = part
            .checked_sub(1)
            .map_or(probe.from, |before| ends_here[before]);
        let end = ends_here[part];
        if end.saturating_sub(start) == 1 {
            let position = start;
            fx.event(Event::FirstDifference { session, position });
            // The other side learns it from a probe of this op alone.
            if probe.upto.saturating_sub(probe.from) > 1 || !was_sent {
                self.send_probe(fx, start, end, vec![hashes[part]]);
            }
            return;
        }
        let purpose = Purpose::Send {
            from: start,
            upto: end,
        };
        self.trace(fx, purpose, ends(start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_at_most_64_parts_that_cover_it() {
        assert!(ends(5, 5).is_empty());
        assert_eq!(ends(5, 7), [6, 7]);
        let many = ends(0, 262_144);
        assert_eq!((many.len(), many.last()), (64, Some(&262_144)));
        assert!(many.is_sorted_by(|a, b| a < b));
        assert_eq!(ends(0, u64::MAX).last(), Some(&u64::MAX));
    }
}
