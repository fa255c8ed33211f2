//! Counts allocations, for tests that there are none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread alone: the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted. A test makes it its own: `#[global_allocator] static COUNTING: Counting = Counting;`.
pub struct Counting;

impl Counting {
    fn count() {
        // A thread that is ending has no counter any more, and nothing to measure.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    }
}

// Counting needs a global allocator, whose trait is unsafe; every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::count();
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often this thread has allocated so far. Stays 0 unless the test has made [`Counting`] its allocator.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}
