//! Sorting in little code: the sorts of slices would add tens of kilobytes to a module, and a heap
//! of the library two for each type.

use alloc::vec::Vec;

/// The places 0 to `count - 1` in ascending order of what is there, by heapsort (Williams 1964):
/// `is_less` compares what is at two places, and is total.
pub(crate) fn order(count: usize, is_less: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut heap: Vec<usize> = (0..count).collect();
    for root in (0..count / 2).rev() {
        sift_down(&mut heap, root, is_less);
    }
    for end in (1..count).rev() {
        heap.swap(0, end);
        sift_down(&mut heap[..end], 0, is_less);
    }
    heap
}

/// Moves the place at `root` down until no child of it is greater.
#[inline(never)]
fn sift_down(heap: &mut [usize], mut root: usize, is_less: &dyn Fn(usize, usize) -> bool) {
    loop {
        let mut child = 2 * root + 1;
        if child >= heap.len() {
            return;
        }
        if child + 1 < heap.len() && is_less(heap[child], heap[child + 1]) {
            child += 1;
        }
        if !is_less(heap[root], heap[child]) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::order;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_in_the_order_of_a_sorted_vector(items: Vec<u8>) {
            let by = |place: usize| (items[place], place);
            let found = order(items.len(), &|a, b| by(a) < by(b));
            let mut expected: Vec<usize> = (0..items.len()).collect();
            expected.sort_by_key(|&place| by(place));
            prop_assert_eq!(found, expected);
        }
    }
}
