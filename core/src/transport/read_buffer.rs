//! Bytes from a socket, decrypted where they lie.
//!
//! The loop reads every peer through the same box, the pool's topmost. Only when a frame is left half read does the box
//! stay with its peer, and the loop goes on with another: so nothing is ever copied from one buffer to another.

use super::pool::BufferPool;
use crate::limits::FRAME_SIZE_MAX;

/// A maximal frame, and enough beside it for few and large reads.
pub const READ_BUFFER_SIZE: usize = 96 * 1024;

/// With less than this behind the bytes, they move to the front before the next read.
const TAIL_SIZE_MIN: usize = 8 * 1024;

// However full the buffer is, once its whole frames are consumed the rest of any frame fits, and a read has room for
// more than a trickle.
const _: () = assert!(FRAME_SIZE_MAX + TAIL_SIZE_MIN <= READ_BUFFER_SIZE);

/// What was received and not consumed yet: `start ≤ end ≤ bytes.len()`.
pub struct ReadBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(super) fn take(pool: &mut BufferPool) -> ReadBuffer {
        ReadBuffer { bytes: pool.take_read(), start: 0, end: 0 }
    }

    pub(super) fn give(self, pool: &mut BufferPool) {
        pool.give_read(self.bytes);
    }

    /// How many bytes wait to be consumed.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the socket may write next. Empty only if whole frames wait: then consume them first.
    pub fn space(&mut self) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.end < TAIL_SIZE_MIN {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        &mut self.bytes[self.end..]
    }

    /// The socket wrote `count` bytes to the front of the space.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "a socket writes no more than the space it was given");
        self.end += count;
    }

    /// Copies as many of the bytes as there is space for: how many.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// Consumes `size` bytes, or none if fewer wait.
    pub(super) fn consume(&mut self, size: usize) -> Option<&mut [u8]> {
        let bytes = self.bytes[self.start..self.end].get_mut(..size)?;
        self.start += size;
        Some(bytes)
    }

    /// Consumes `N` bytes, or none if fewer wait.
    pub(super) fn consume_array<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.consume(N)?.first_chunk_mut()
    }
}
