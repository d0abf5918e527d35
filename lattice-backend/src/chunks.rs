//! Cuts a stream of items into chunks that fit in memory.

use alloc::vec::Vec;
use core::fmt;
use core::iter::Peekable;

/// An iterator over items, or errors of their source, in chunks limited by item count and bytes. An
/// item that exceeds the byte limit forms a chunk of its own. The items that follow an error are
/// still returned; most callers stop.
pub struct Chunks<I: Iterator, S> {
    items: Peekable<I>,
    max_items: usize,
    max_bytes: usize,
    size_of: S,
}

impl<I: Iterator, S> fmt::Debug for Chunks<I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("max_items", &self.max_items)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl<I, T, E, S> Chunks<I, S>
where
    I: Iterator<Item = Result<T, E>>,
    S: FnMut(&T) -> usize,
{
    /// Cuts `items` into chunks of at most `max_items` items. The sizes in bytes, as `size_of`
    /// returns them, add up to at most `max_bytes` per chunk.
    pub fn new(
        items: impl IntoIterator<IntoIter = I>,
        max_items: usize,
        max_bytes: usize,
        size_of: S,
    ) -> Self {
        Self {
            items: items.into_iter().peekable(),
            max_items,
            max_bytes,
            size_of,
        }
    }
}

impl<I, T, E, S> Iterator for Chunks<I, S>
where
    I: Iterator<Item = Result<T, E>>,
    S: FnMut(&T) -> usize,
{
    type Item = Result<Vec<T>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut chunk, mut bytes) = (Vec::new(), 0_usize);
        let size_of = &mut self.size_of;
        let (max_items, max_bytes) = (self.max_items.max(1), self.max_bytes);
        loop {
            let taken = chunk.len();
            if taken == max_items {
                return Some(Ok(chunk));
            }
            let next = self.items.next_if(|item| match item {
                Err(_) => taken == 0,
                Ok(item) => {
                    let more = bytes.saturating_add(size_of(item));
                    let fits = taken == 0 || more <= max_bytes;
                    if fits {
                        bytes = more;
                    }
                    fits
                }
            });
            match next {
                Some(Ok(item)) => chunk.push(item),
                Some(Err(error)) => return Some(Err(error)),
                None if chunk.is_empty() => return None,
                None => return Some(Ok(chunk)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    type Item = Result<usize, &'static str>;

    fn chunks(items: Vec<Item>, max_items: usize) -> Vec<Result<Vec<usize>, &'static str>> {
        Chunks::new(items, max_items, 10, |size| *size).collect()
    }

    #[test]
    fn chunks_end_before_the_item_that_does_not_fit() {
        let items = vec![Ok(4), Ok(6), Ok(1), Ok(11), Ok(2), Ok(2), Ok(2)];
        let expected = [vec![4, 6], vec![1], vec![11], vec![2, 2, 2]].map(Ok);
        assert_eq!(chunks(items.clone(), 3), expected);
        let two = [vec![4, 6], vec![1], vec![11], vec![2, 2], vec![2]].map(Ok);
        assert_eq!(chunks(items, 2), two);
        assert!(chunks(vec![], 3).is_empty());
        assert_eq!(chunks(vec![Ok(1), Ok(1)], 0), [Ok(vec![1]), Ok(vec![1])]);
    }

    #[test]
    fn an_error_comes_after_the_items_before_it() {
        let items = vec![Ok(1), Err("broken"), Ok(2)];
        let expected = [Ok(vec![1]), Err("broken"), Ok(vec![2])];
        assert_eq!(chunks(items, 3), expected);
    }
}
