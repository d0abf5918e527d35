//! Sets of numbers as spans, and the position of a reader that skips them.

use std::collections::BTreeMap;

/// The most spans of a set; a number that would begin another one is not remembered.
const MAX_SPANS: usize = 4096;

/// The position up to which ops were sent, and the positions of ops that came from the peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    next: u64,
    /// Disjoint spans, start to end.
    skip: BTreeMap<u64, u64>,
}

impl Track {
    /// Everything before `next` is done.
    pub(crate) fn reach(&mut self, next: u64) {
        self.next = self.next.max(next);
        while let Some(first) = self.skip.first_entry() {
            if *first.key() > self.next {
                break;
            }
            self.next = self.next.max(first.remove());
        }
    }

    /// Notes a number that is not to be sent.
    pub(crate) fn skip(&mut self, number: u64) {
        if number < self.next {
            return;
        }
        let end = number.saturating_add(1);
        let is_full = self.skip.len() >= MAX_SPANS;
        match self.skip.range_mut(..=number).next_back() {
            Some((_, last)) if *last > number => return,
            Some((_, last)) if *last == number => *last = end,
            _ if is_full => return,
            _ => {
                self.skip.insert(number, end);
            }
        }
        self.reach(self.next);
    }

    /// The position after all that was sent or skipped.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The next numbers to send, before `limit`.
    pub(crate) fn run(&self, limit: u64) -> Option<(u64, u64)> {
        let end = self.skip.keys().next().copied();
        let end = end.map_or(limit, |start| start.min(limit));
        (self.next < end).then_some((self.next, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_leave_out_what_is_skipped() {
        let mut track = Track::default();
        track.reach(2);
        for number in [5, 4, 6, 9, 1] {
            track.skip(number);
        }
        assert_eq!(track.run(12), Some((2, 4)));
        track.reach(4);
        // 4 was noted after 5: they are two spans, and one step passes both.
        assert_eq!(track.next(), 7);
        assert_eq!(track.run(12), Some((7, 9)));
        assert_eq!(track.run(8), Some((7, 8)));
        track.reach(9);
        assert_eq!((track.next(), track.run(12)), (10, Some((10, 12))));
        assert_eq!(track.run(10), None);
        track.skip(10);
        assert_eq!(track.next(), 11);
    }

    #[test]
    fn a_flood_of_spans_is_bounded() {
        let mut track = Track::default();
        for number in 0..20_000 {
            track.skip(number * 2 + 1);
        }
        assert_eq!(track.skip.len(), MAX_SPANS);
    }
}
