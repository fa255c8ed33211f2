//! The flight recording: everything that a run of the node followed from, so that it can be run again, bit for bit.
//!
//! A recording is a row of segments, and each can be replayed alone. A segment is a [`Header`], a snapshot of the node,
//! and its turns; each of these is a [`Frame`] with a length and a checksum. A turn holds the clock's reading, then for
//! each step the event, the signer's answers in the order in which they were asked for, and a digest of what the node
//! asked and commanded so far in this turn.
//!
//! Nothing here does I/O. What the signer keeps to itself never gets here: only its answers do, and the digests.

mod bytes;
mod digest;
mod event;
mod frame;
mod header;
mod question;
mod recording_signer;
mod replay_signer;
mod tape;
#[cfg(test)]
mod tests;
mod turn;

pub use digest::{DigestSink, Digester, command_bytes};
pub use event::RecordedEvent;
pub use frame::{Damage, DamageKind, Frame, FrameReader};
pub use header::{Header, HeaderError, config_hash};
pub use question::{Ask, Question};
pub use recording_signer::RecordingSigner;
pub use replay_signer::{Mismatch, ReplaySigner};
pub use tape::Tape;
pub use turn::{Answer, RecordedStep, RecordedTurn};

/// The format that this build writes and reads. Any change of it gets the next number.
pub const FORMAT_VERSION: u16 = 2;

/// Names the source that this build decides by.
pub const BUILD_ID: &str = env!("LEYDEN_BUILD_ID");

/// The bytes do not make what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was expected.
    pub expected: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no {} where one should be", self.expected)
    }
}

impl std::error::Error for Malformed {}
