//! Shares by group, of which the largest are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Share, Shares};

/// The largest shares, and the sum of all others.
pub(super) struct Largest<T> {
    limit: usize,
    /// The smallest first.
    kept: BinaryHeap<Reverse<(u64, u64, T)>>,
    others: Share,
}

impl<T: Ord> Largest<T> {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::new(),
            others: Share { count: 0, bytes: 0 },
        }
    }

    pub(super) fn offer(&mut self, of: T, share: Share) {
        self.kept.push(Reverse((share.bytes, share.count, of)));
        if self.kept.len() > self.limit
            && let Some(Reverse((bytes, count, _))) = self.kept.pop()
        {
            self.others.bytes += bytes;
            self.others.count += count;
        }
    }

    /// The largest first; last the sum of all others, if there are others.
    pub(super) fn finish(self) -> Shares<T> {
        let sorted = self.kept.into_sorted_vec();
        let kept = sorted
            .into_iter()
            .map(|Reverse((bytes, count, of))| (Some(of), Share { count, bytes }));
        let others = (self.others.count > 0).then_some((None, self.others));
        kept.chain(others).collect()
    }
}

/// Keys by the part up to their last delimiter, or up to the delimiter number `depth`. The keys
/// come in order, so only the groups of the last key can still grow.
pub(super) struct Groups<'a> {
    delimiter: &'a [u8],
    depth: usize,
    /// The prefixes of the last key, each longer than the one before. The first is empty.
    open: Vec<(Vec<u8>, Share)>,
    closed: Largest<Vec<u8>>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(delimiter: &'a [u8], depth: usize, limit: usize) -> Self {
        Self {
            delimiter,
            depth,
            open: vec![(Vec::new(), Share::default())],
            closed: Largest::new(limit),
        }
    }

    pub(super) fn add(&mut self, key: &[u8], value_bytes: usize) {
        while self.open.len() > 1
            && let Some((prefix, share)) = self.open.pop_if(|(prefix, _)| !key.starts_with(prefix))
        {
            self.close(prefix, share);
        }
        while self.open.len() <= self.depth {
            let last = self.open.last().map_or(0, |(prefix, _)| prefix.len());
            let Some(at) = find(&key[last..], self.delimiter) else {
                break;
            };
            let prefix = key[..last + at + self.delimiter.len()].to_vec();
            self.open.push((prefix, Share::default()));
        }
        if let Some((_, share)) = self.open.last_mut() {
            share.add(key.len() + value_bytes);
        }
    }

    fn close(&mut self, prefix: Vec<u8>, share: Share) {
        if share.count > 0 {
            self.closed.offer(prefix, share);
        }
    }

    pub(super) fn finish(mut self) -> Shares<Vec<u8>> {
        while let Some((prefix, share)) = self.open.pop() {
            self.close(prefix, share);
        }
        self.closed.finish()
    }
}

/// The place of the first `part` in `whole`.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len().max(1)).position(|it| it == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(keys: &[&str], depth: usize, limit: usize) -> Vec<(Option<String>, u64, u64)> {
        let mut groups = Groups::new(b"/", depth, limit);
        for key in keys {
            groups.add(key.as_bytes(), 1);
        }
        let text = |prefix: Vec<u8>| String::from_utf8(prefix).expect("text");
        let all = groups.finish().into_iter();
        all.map(|(prefix, share)| (prefix.map(text), share.count, share.bytes))
            .collect()
    }

    #[test]
    fn keys_are_grouped_by_their_first_parts() {
        let keys = ["a", "a/b/c", "a/x", "a/y/z", "b", "c/d"];
        let some = |prefix: &str| Some(prefix.to_owned());
        assert_eq!(
            grouped(&keys, 1, 9),
            [(some("a/"), 3, 16), (some(""), 2, 4), (some("c/"), 1, 4)]
        );
        assert_eq!(
            grouped(&keys, 2, 9),
            [
                (some("a/y/"), 1, 6),
                (some("a/b/"), 1, 6),
                (some(""), 2, 4),
                (some("c/"), 1, 4),
                (some("a/"), 1, 4),
            ]
        );
        assert_eq!(grouped(&keys, 1, 1), [(some("a/"), 3, 16), (None, 3, 8)]);
        assert_eq!(grouped(&[], 1, 1), []);
    }
}
