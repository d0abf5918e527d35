//! The allocator. An instance lives for one op, so this is a bump allocator: it reclaims only the
//! last block, and the host drops the whole memory at once.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::panic::fail;

const PAGE: usize = 65_536;

struct Heap {
    /// The first free address.
    next: Cell<*mut u8>,
    /// The end of the memory; null before the first allocation.
    end: Cell<*mut u8>,
    /// Number of live blocks.
    blocks: Cell<usize>,
}

/// A saved position of the front of the heap.
pub(crate) struct Mark {
    next: *mut u8,
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
    if HEAP.blocks.get() == mark.blocks {
        HEAP.next.set(mark.next);
    }
}

// SAFETY: a module of this interface has one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    next: Cell::new((&raw const __heap_base).cast_mut()),
    end: Cell::new(ptr::null_mut()),
    blocks: Cell::new(0),
};

unsafe extern "C" {
    /// The linker's start of the heap, after stack and data.
    static __heap_base: u8;
}

impl Heap {
    /// Moves the front to `end`, and grows the memory if necessary.
    #[inline(always)]
    fn reach(&self, end: *mut u8) {
        if end > self.end.get() {
            self.grow(end.addr());
        }
        self.next.set(end);
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, end: usize) {
        let known = memory_size(0) * PAGE;
        let pages = end.saturating_sub(known).div_ceil(PAGE);
        if pages > 0 && memory_grow(0, pages) == usize::MAX {
            fail(format_args!("the memory cannot grow by {pages} pages"));
        }
        let end = known + pages * PAGE;
        self.end.set(ptr::with_exposed_provenance_mut(end));
    }

    /// A new block. A memory that cannot grow ends the module, so that no caller needs code for
    /// that, which would be a hundredth of a module.
    #[inline(never)]
    fn block(&self, layout: Layout) -> NonNull<u8> {
        let next = self.next.get();
        // An alignment is a power of two.
        let start = next.wrapping_add(next.addr().wrapping_neg() & (layout.align() - 1));
        self.reach(start.wrapping_add(layout.size()));
        self.blocks.set(self.blocks.get() + 1);
        // SAFETY: the front is after the stack, and the sum does not overflow, as below.
        unsafe { NonNull::new_unchecked(start) }
    }

    /// # Safety
    /// As for `GlobalAlloc::realloc`.
    #[inline(never)]
    unsafe fn resized(&self, block: *mut u8, layout: Layout, size: usize) -> NonNull<u8> {
        if block.wrapping_add(layout.size()) == self.next.get() {
            self.reach(block.wrapping_add(size));
            // SAFETY: the block comes from `block`.
            return unsafe { NonNull::new_unchecked(block) };
        }
        // SAFETY: the caller keeps the contract of `realloc`: `size` fits the layout's alignment.
        let new = self.block(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
        // SAFETY: both blocks have at least this many bytes, and they do not overlap.
        unsafe { ptr::copy_nonoverlapping(block, new.as_ptr(), layout.size().min(size)) };
        // SAFETY: `block` was allocated with `layout`.
        unsafe { self.dealloc(block, layout) };
        new
    }
}

// SAFETY: blocks are aligned and do not overlap: each block begins at or after the end of the
// previous one, and the front moves back only over a freed block. No sum overflows: the front is
// within the memory, which has less than 2 GiB, as has a layout. The functions are not inlined:
// they would be a fifth of a module.
unsafe impl GlobalAlloc for Heap {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.block(layout).as_ptr()
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.blocks.set(self.blocks.get().wrapping_sub(1));
        if block.wrapping_add(layout.size()) == self.next.get() {
            self.next.set(block);
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the contract is the same.
        unsafe { self.resized(block, layout, size) }.as_ptr()
    }
}
