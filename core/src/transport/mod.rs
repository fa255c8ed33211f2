//! BOLT 8: the encrypted and authenticated transport, as a machine of bytes without a socket.
//!
//! A [`Transport`] takes the bytes that arrived and gives messages; it takes messages and gives bytes to write. It
//! never allocates for a message: both directions work in boxes of a [`BufferPool`]. One turn of a loop:
//!
//! ```text
//! let mut input = transport.begin_read(&mut pool);
//! while read(socket, input.space()) gives n {
//!     input.filled(n);
//!     while let Some(incoming) = transport.next(&mut input, signer, &mut pool)? {
//!         …                       // may stage messages, to this peer as well: `incoming` borrows from `input` alone
//!     }
//! }
//! transport.end_read(input, &mut pool);
//! …                               // commit
//! transport.release();
//! transport.wrote(write(socket, transport.writable()), &mut pool);
//! ```

pub mod cipher;
pub mod frame;
pub mod noise;
pub mod pool;
pub mod read_buffer;
pub mod write_buffer;

#[cfg(test)]
mod tests;

use std::fmt;

use secp256k1::PublicKey;

use crate::wire::Full;

pub use self::cipher::SendCipher;
pub use self::frame::{FrameError, FrameReader};
pub use self::noise::{Act, Ephemeral, Flaw, HandshakeError, StaticKey};
pub use self::pool::BufferPool;
pub use self::read_buffer::ReadBuffer;
pub use self::write_buffer::{EncodeInto, Lane, WriteBuffer};

use self::noise::{AwaitActOne, AwaitActThree, AwaitActTwo, Session};

/// What the received bytes amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// The handshake is done: messages may be staged. Comes once, before any message.
    Established {
        /// Who the peer is, proven.
        remote: PublicKey,
    },
    /// A message, decrypted.
    Message(&'b [u8]),
}

/// Why a connection must end. Neither error leaves anything to tell the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The handshake failed.
    Handshake(HandshakeError),
    /// A message is forged or damaged.
    Frame(FrameError),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::Handshake(error) => fmt::Display::fmt(error, f),
            TransportError::Frame(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for TransportError {}

/// How far the connection is.
enum State {
    /// We are the responder and know nothing of the peer.
    ActOne(AwaitActOne),
    /// We are the initiator.
    ActTwo(AwaitActTwo),
    /// We are the responder and answered.
    ActThree(AwaitActThree),
    /// Messages flow.
    Open { send: SendCipher, frames: FrameReader },
    /// The handshake failed: whatever comes is ignored.
    Failed(HandshakeError),
}

/// One end of a connection.
pub struct Transport {
    state: State,
    output: WriteBuffer,
    /// A box with a part of a frame that is not all here yet.
    rest: Option<ReadBuffer>,
}

impl Transport {
    /// Calls the node that holds `remote`: act one is writable at once.
    pub fn initiator(remote: &PublicKey, ephemeral: Ephemeral, pool: &mut BufferPool) -> Transport {
        let (state, act) = AwaitActTwo::start(remote, ephemeral);
        let mut output = WriteBuffer::default();
        output.push_act(&act, pool);
        Transport { state: State::ActTwo(state), output, rest: None }
    }

    /// Answers whoever calls.
    pub fn responder(ephemeral: Ephemeral) -> Transport {
        let state = State::ActOne(AwaitActOne::new(ephemeral));
        Transport { state, output: WriteBuffer::default(), rest: None }
    }

    /// The act that the handshake waits for. A stream that ends meanwhile is a handshake that failed.
    pub fn awaited_act(&self) -> Option<Act> {
        match self.state {
            State::ActOne(_) => Some(Act::One),
            State::ActTwo(_) => Some(Act::Two),
            State::ActThree(_) => Some(Act::Three),
            State::Open { .. } | State::Failed(_) => None,
        }
    }

    /// Is the handshake done? Only then may messages be staged.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// The buffer for this peer's next bytes: its own if part of a frame is in it, else the pool's.
    pub fn begin_read(&mut self, pool: &mut BufferPool) -> ReadBuffer {
        self.rest.take().unwrap_or_else(|| ReadBuffer::take(pool))
    }

    /// Keeps the buffer if anything is left in it, else gives it back to the pool. Whole frames may be left too.
    pub fn end_read(&mut self, input: ReadBuffer, pool: &mut BufferPool) {
        assert!(self.rest.is_none(), "a read ends before the next begins");
        if input.is_empty() { input.give(pool) } else { self.rest = Some(input) }
    }

    /// The next thing that the bytes in `input` amount to, or `None` until more come. After an error the connection must
    /// be closed; the error is returned again if it is not.
    pub fn next<'b>(
        &mut self,
        input: &'b mut ReadBuffer,
        key: &mut dyn StaticKey,
        pool: &mut BufferPool,
    ) -> Result<Option<Incoming<'b>>, TransportError> {
        if let State::Open { frames, .. } = &mut self.state {
            let message = frames.next_message(input).map_err(TransportError::Frame)?;
            return Ok(message.map(Incoming::Message));
        }
        let established = self.shake_hands(input, key, pool).map_err(|error| {
            // What was to be sent before has left with its act: nothing is sent after a failure (BOLT 8).
            self.output.clear(pool);
            self.state = State::Failed(error);
            TransportError::Handshake(error)
        })?;
        Ok(established.map(|remote| Incoming::Established { remote }))
    }

    /// Plays as many acts as the bytes hold: the peer's key once the last is played.
    fn shake_hands(
        &mut self,
        input: &mut ReadBuffer,
        key: &mut dyn StaticKey,
        pool: &mut BufferPool,
    ) -> Result<Option<PublicKey>, HandshakeError> {
        loop {
            // Each act consumes its state. The stand-in is never seen: every way out of the match but an error, which
            // the caller records, puts a state in its place.
            let stand_in = State::Failed(HandshakeError { act: Act::One, flaw: Flaw::BadTag });
            let session = match std::mem::replace(&mut self.state, stand_in) {
                State::ActOne(state) => {
                    let Some(act) = input.consume_array() else {
                        self.state = State::ActOne(state);
                        return Ok(None);
                    };
                    let (state, answer) = state.act_one(act, key)?;
                    self.output.push_act(&answer, pool);
                    self.state = State::ActThree(state);
                    continue;
                }
                State::ActTwo(state) => {
                    let Some(act) = input.consume_array() else {
                        self.state = State::ActTwo(state);
                        return Ok(None);
                    };
                    let (session, answer) = state.act_two(act, key)?;
                    self.output.push_act(&answer, pool);
                    session
                }
                State::ActThree(state) => {
                    let Some(act) = input.consume_array() else {
                        self.state = State::ActThree(state);
                        return Ok(None);
                    };
                    state.act_three(act)?
                }
                State::Failed(error) => return Err(error),
                State::Open { .. } => unreachable!("the caller looks for messages once the handshake is done"),
            };
            let Session { send, recv, remote } = session;
            self.state = State::Open { send, frames: FrameReader::new(recv) };
            return Ok(Some(remote));
        }
    }

    /// Takes bytes from where they lie and gives `each` what they amount to: for callers without a socket.
    pub fn received(
        &mut self,
        mut bytes: &[u8],
        key: &mut dyn StaticKey,
        pool: &mut BufferPool,
        mut each: impl FnMut(&mut Transport, &mut BufferPool, Incoming<'_>),
    ) -> Result<(), TransportError> {
        let mut input = self.begin_read(pool);
        let result = loop {
            match self.next(&mut input, key, pool) {
                Ok(Some(incoming)) => each(self, pool, incoming),
                Ok(None) if bytes.is_empty() => break Ok(()),
                Ok(None) => bytes = &bytes[input.append(bytes)..],
                Err(error) => break Err(error),
            }
        };
        self.end_read(input, pool);
        result
    }

    /// Encodes and seals a message; it leaves after the next [`Transport::release`]. Returns the size of its frame.
    /// See [`WriteBuffer::stage`].
    pub fn stage<M: EncodeInto + ?Sized>(
        &mut self,
        lane: Lane,
        message: &M,
        pool: &mut BufferPool,
    ) -> Result<usize, Full> {
        match &mut self.state {
            State::Open { send, .. } => self.output.stage(lane, message, send, pool),
            _ => panic!("messages are staged only once the peer is established"),
        }
    }

    /// The turn is durable: what was staged may leave.
    pub fn release(&mut self) {
        self.output.release();
    }

    /// What the socket should take.
    pub fn writable(&self) -> &[u8] {
        self.output.writable()
    }

    /// The socket took `count` bytes from the front of [`Transport::writable`].
    pub fn wrote(&mut self, count: usize, pool: &mut BufferPool) {
        self.output.wrote(count, pool);
    }

    /// How many more bytes fit into the write buffer, frames counted whole.
    pub fn free(&self) -> usize {
        self.output.free()
    }

    /// How much gossip may be staged now: see [`WriteBuffer::gossip_credit`].
    pub fn gossip_credit(&self) -> usize {
        self.output.gossip_credit()
    }

    /// Ends the connection: its boxes go back to the pool.
    pub fn close(mut self, pool: &mut BufferPool) {
        self.output.clear(pool);
        if let Some(rest) = self.rest.take() {
            rest.give(pool);
        }
    }
}
