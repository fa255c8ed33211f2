//! Sealed frames on their way to a socket, behind the watermark of what is durable.
//!
//! # Two lanes in one buffer
//!
//! A frame is sealed under the next nonce at the moment it is staged, so frames cannot overtake each other afterwards.
//! Channel messages come before gossip by admission instead: gossip is let in only while no channel message waits,
//! and only up to [`GOSSIP_BACKLOG_MAX`]. So a channel message never waits behind more than that and one frame,
//! and gossip never takes the room of channel messages: [`CHANNEL_ROOM_MIN`] is always theirs.

use super::cipher::{HEADER_SIZE, SendCipher, TAG_SIZE};
use super::pool::BufferPool;
use crate::limits::{FRAME_SIZE_MAX, MESSAGE_SIZE_MAX, WRITE_BUFFER_SIZE};
use crate::wire::{Cursor, Full, Message};

/// Gossip is refused while this many bytes wait.
pub const GOSSIP_BACKLOG_MAX: usize = 24 * 1024;
/// However much gossip was let in, so much is left for channel messages (the last gossip frame may exceed the backlog).
pub const CHANNEL_ROOM_MIN: usize = WRITE_BUFFER_SIZE - GOSSIP_BACKLOG_MAX - FRAME_SIZE_MAX;

// BOLT 8: two maximal frames always fit, a message and the answer to it.
const _: () = assert!(CHANNEL_ROOM_MIN >= 2 * FRAME_SIZE_MAX);
const _: () = assert!(FRAME_SIZE_MAX == HEADER_SIZE + MESSAGE_SIZE_MAX + TAG_SIZE);

/// What a message is about, which decides whether it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Channels and the connection itself: always admitted while there is room.
    Channel,
    /// The map: admitted only while nothing of the other lane waits.
    Gossip,
}

/// What can write itself into a buffer: a message's type and body.
pub trait EncodeInto {
    /// Writes to the front of `out`: how many bytes.
    fn encode_into(&self, out: &mut [u8]) -> Result<usize, Full>;
}

impl<F: Fn(&mut [u8]) -> Result<usize, Full>> EncodeInto for F {
    fn encode_into(&self, out: &mut [u8]) -> Result<usize, Full> {
        self(out)
    }
}

impl EncodeInto for Message<'_> {
    fn encode_into(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cursor = Cursor::new(out);
        self.encode(&mut cursor)?;
        Ok(cursor.position())
    }
}

impl EncodeInto for [u8] {
    fn encode_into(&self, out: &mut [u8]) -> Result<usize, Full> {
        out.get_mut(..self.len()).ok_or(Full)?.copy_from_slice(self);
        Ok(self.len())
    }
}

/// `sent ≤ released ≤ staged ≤ WRITE_BUFFER_SIZE`. Linear, since a ring would split frames. It has a box only while
/// it holds bytes.
#[derive(Default)]
pub struct WriteBuffer {
    bytes: Option<Box<[u8]>>,
    /// The socket took everything before this.
    sent: usize,
    /// Everything before this may go to the socket.
    released: usize,
    /// Everything before this is sealed.
    staged: usize,
    /// The last frame of the channel lane ends here; at or before `sent` when none waits.
    channel_end: usize,
}

impl WriteBuffer {
    /// How many more bytes fit, frames counted whole.
    pub fn free(&self) -> usize {
        WRITE_BUFFER_SIZE - self.waiting()
    }

    /// How many bytes are staged and not sent.
    pub fn waiting(&self) -> usize {
        self.staged - self.sent
    }

    /// How many bytes of gossip may be staged now; at any value but 0 one more message of any size is admitted.
    pub fn gossip_credit(&self) -> usize {
        if self.channel_end > self.sent { 0 } else { GOSSIP_BACKLOG_MAX.saturating_sub(self.waiting()) }
    }

    /// Encodes and seals a message behind those staged before: the size of its frame. On an error nothing has changed,
    /// the cipher included. An empty buffer that is full was given a message longer than BOLT 1 allows.
    pub fn stage<M: EncodeInto + ?Sized>(
        &mut self,
        lane: Lane,
        message: &M,
        cipher: &mut SendCipher,
        pool: &mut BufferPool,
    ) -> Result<usize, Full> {
        if lane == Lane::Gossip && self.gossip_credit() == 0 {
            return Err(Full);
        }
        let bytes = self.tail(pool);
        let frame_room = bytes.len().min(FRAME_SIZE_MAX);
        let staged = match frame_room.checked_sub(HEADER_SIZE + TAG_SIZE) {
            Some(room) => message.encode_into(&mut bytes[HEADER_SIZE..][..room]).map(|size| {
                assert!(size <= room, "an encoder writes no more than its room");
                let frame_size = HEADER_SIZE + size + TAG_SIZE;
                cipher.seal_frame(&mut bytes[..frame_size]);
                frame_size
            }),
            None => Err(Full),
        };
        match staged {
            Ok(frame_size) => {
                self.staged += frame_size;
                if lane == Lane::Channel {
                    self.channel_end = self.staged;
                }
            }
            Err(Full) => self.give_back_if_drained(pool),
        }
        staged
    }

    /// Bytes of the handshake: they depend on no commit and leave at once.
    pub(super) fn push_act(&mut self, act: &[u8], pool: &mut BufferPool) {
        assert_eq!(self.released, self.staged, "messages are staged only after the handshake");
        self.tail(pool)[..act.len()].copy_from_slice(act);
        self.staged += act.len();
        self.released = self.staged;
    }

    /// The room behind the staged bytes, which first move to the front if it is too short for any frame.
    fn tail(&mut self, pool: &mut BufferPool) -> &mut [u8] {
        let bytes = self.bytes.get_or_insert_with(|| pool.take_write());
        if bytes.len() - self.staged < FRAME_SIZE_MAX && self.sent > 0 {
            bytes.copy_within(self.sent..self.staged, 0);
            self.released -= self.sent;
            self.staged -= self.sent;
            self.channel_end = self.channel_end.saturating_sub(self.sent);
            self.sent = 0;
        }
        &mut bytes[self.staged..]
    }

    /// Everything staged is durable: it may leave.
    pub fn release(&mut self) {
        self.released = self.staged;
    }

    /// What the socket should take.
    pub fn writable(&self) -> &[u8] {
        self.bytes.as_ref().map_or(&[], |bytes| &bytes[self.sent..self.released])
    }

    /// The socket took `count` bytes from the front of [`WriteBuffer::writable`].
    pub fn wrote(&mut self, count: usize, pool: &mut BufferPool) {
        assert!(count <= self.released - self.sent, "a socket takes no more than it was given");
        self.sent += count;
        self.give_back_if_drained(pool);
    }

    /// Drops what waits, and gives the box back.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        self.sent = self.staged;
        self.give_back_if_drained(pool);
    }

    fn give_back_if_drained(&mut self, pool: &mut BufferPool) {
        if self.sent == self.staged
            && let Some(bytes) = self.bytes.take()
        {
            pool.give_write(bytes);
            *self = WriteBuffer::default();
        }
    }
}
