//! Counts allocations, for tests that there are none, and the bytes that are held, for tests that they are few.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread alone: the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes allocated and not freed.
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// Is what happens now the test's own doing?
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, counted. A test makes it its own: `#[global_allocator] static COUNTING: Counting = Counting;`.
pub struct Counting;

impl Counting {
    // A thread that is ending has no counters any more, and nothing to measure.
    fn count(allocations: u64, bytes: i64) {
        if ASIDE.try_with(Cell::get).unwrap_or(true) {
            return;
        }
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
        let _ = HELD.try_with(|held| held.set(held.get() + bytes));
    }
}

// Counting needs a global allocator, whose trait is unsafe; every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(1, layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::count(1, layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::count(1, size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Counting::count(0, -(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often this thread has allocated so far. Stays 0 unless the test has made [`Counting`] its allocator.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// How many bytes this thread has allocated and not freed, [`aside`] not counted.
pub fn held() -> i64 {
    HELD.with(Cell::get)
}

/// Does something that is not to be counted.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let before = ASIDE.replace(true);
    let result = work();
    ASIDE.set(before);
    result
}
