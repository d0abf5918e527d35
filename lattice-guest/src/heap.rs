//! The allocator. An instance lives for one op, so this is a bump allocator: it reclaims only the
//! last block, and the host drops the whole memory at once.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr;

const PAGE: usize = 65_536;

struct Heap {
    /// The first free address; 0 before the first allocation.
    next: Cell<usize>,
    /// The end of the memory.
    end: Cell<usize>,
    /// Number of live blocks.
    blocks: Cell<usize>,
}

/// A saved position of the front of the heap.
pub(crate) struct Mark {
    next: usize,
    blocks: usize,
}

/// The current front.
pub(crate) fn mark() -> Mark {
    Mark {
        next: HEAP.next.get(),
        blocks: HEAP.blocks.get(),
    }
}

/// Moves the front back, if all blocks made since the mark have been freed.
///
/// # Safety
/// No block that was made before the mark has been freed since.
pub(crate) unsafe fn release(mark: Mark) {
    if HEAP.blocks.get() == mark.blocks && mark.next > 0 {
        HEAP.next.set(mark.next);
    }
}

// SAFETY: a module of this interface has one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    next: Cell::new(0),
    end: Cell::new(0),
    blocks: Cell::new(0),
};

unsafe extern "C" {
    /// The linker's start of the heap, after stack and data.
    static __heap_base: u8;
}

impl Heap {
    /// Moves the front to `end`, and grows the memory if necessary.
    fn reach(&self, end: usize) -> bool {
        if end > self.end.get() {
            let pages = (end - self.end.get()).div_ceil(PAGE);
            if memory_grow(0, pages) == usize::MAX {
                return false;
            }
            self.end.set(self.end.get() + pages * PAGE);
        }
        self.next.set(end);
        true
    }
}

// SAFETY: blocks are aligned and do not overlap: each block begins at or after the end of the
// previous one, and the front moves back only over a freed block.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.next.get() == 0 {
            self.next.set((&raw const __heap_base).addr());
            self.end.set(memory_size(0) * PAGE);
        }
        let mask = layout.align() - 1;
        let start = self.next.get().checked_add(mask).map(|at| at & !mask);
        let block = start.and_then(|start| Some((start, start.checked_add(layout.size())?)));
        match block {
            Some((start, end)) if self.reach(end) => {
                self.blocks.set(self.blocks.get() + 1);
                ptr::with_exposed_provenance_mut(start)
            }
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.blocks.set(self.blocks.get() - 1);
        if block.addr() + layout.size() == self.next.get() {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_last = block.addr() + layout.size() == self.next.get();
        if is_last
            && block
                .addr()
                .checked_add(size)
                .is_some_and(|end| self.reach(end))
        {
            return block;
        }
        // SAFETY: the caller keeps the contract of `realloc`: `size` fits the layout's alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks have at least this many bytes, and they do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size().min(size)) };
            // SAFETY: `block` was allocated with `layout`.
            unsafe { self.dealloc(block, layout) };
        }
        new
    }
}
