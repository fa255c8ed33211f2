//! The boxes behind the buffers, lent to those peers that have bytes in flight and to no others.
//!
//! Thousands of peers are connected and few have anything half read or half written. A buffer without bytes gives its
//! box back, so an idle peer keeps none; and because the last box returned is the first one lent, a loop that serves one
//! peer after another works in the same warm memory.

use super::read_buffer::READ_BUFFER_SIZE;
use crate::limits::WRITE_BUFFER_SIZE;

/// Boxes of one size.
struct Spares {
    size: usize,
    boxes: Vec<Box<[u8]>>,
    spares_max: usize,
    lent: usize,
}

impl Spares {
    fn new(size: usize, spares_max: usize) -> Spares {
        Spares { size, boxes: Vec::with_capacity(spares_max), spares_max, lent: 0 }
    }

    fn take(&mut self) -> Box<[u8]> {
        self.lent += 1;
        // Fresh zeroed memory is not resident until it is written.
        self.boxes.pop().unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    fn give(&mut self, bytes: Box<[u8]>) {
        assert_eq!(bytes.len(), self.size, "a box goes back to where it came from");
        self.lent = self.lent.checked_sub(1).expect("a box was lent before it comes back");
        if self.boxes.len() < self.spares_max {
            self.boxes.push(bytes);
        }
    }
}

/// Lends the boxes of read and write buffers and keeps a bounded number of spare ones.
pub struct BufferPool {
    read: Spares,
    write: Spares,
}

impl BufferPool {
    /// Keeps up to `spares_max` boxes of each kind. It allocates one only when it has no spare, and frees one only when
    /// it has enough.
    pub fn new(spares_max: usize) -> BufferPool {
        BufferPool {
            read: Spares::new(READ_BUFFER_SIZE, spares_max),
            write: Spares::new(WRITE_BUFFER_SIZE, spares_max),
        }
    }

    pub(super) fn take_read(&mut self) -> Box<[u8]> {
        self.read.take()
    }

    pub(super) fn give_read(&mut self, bytes: Box<[u8]>) {
        self.read.give(bytes);
    }

    pub(super) fn take_write(&mut self) -> Box<[u8]> {
        self.write.take()
    }

    pub(super) fn give_write(&mut self, bytes: Box<[u8]>) {
        self.write.give(bytes);
    }

    /// How many read boxes are out.
    pub fn read_lent(&self) -> usize {
        self.read.lent
    }

    /// How many write boxes are out.
    pub fn write_lent(&self) -> usize {
        self.write.lent
    }

    /// The bytes of all spare boxes.
    pub fn spare_bytes(&self) -> usize {
        self.read.boxes.len() * self.read.size + self.write.boxes.len() * self.write.size
    }
}
