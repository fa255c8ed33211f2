//! What is being written: frames in memory, until somebody carries them to a file.

use super::frame::{self, Kind};
use super::{Header, event, question::Question};
use crate::clock::Clock;
use crate::event::Event;

use super::bytes::put_u64;

/// Behind a step: the digest so far, cut to four bytes.
pub(super) const STEP_END: u8 = 0x80;
/// Behind a turn: the digest.
pub(super) const TURN_END: u8 = 0x81;

/// Frames in memory.
#[derive(Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
    scratch: Vec<u8>,
    /// Where the turn that is being written begins.
    turn_at: Option<usize>,
    /// Events of it.
    steps: u32,
}

impl Tape {
    /// Appends the beginning of a segment.
    pub fn segment(&mut self, header: &Header, snapshot: impl FnOnce(&mut Vec<u8>)) {
        assert!(self.turn_at.is_none(), "segments begin between turns");
        header.write(&mut self.bytes);
        let start = frame::begin(Kind::Snapshot, &mut self.bytes);
        snapshot(&mut self.bytes);
        frame::end(start, &mut self.bytes);
    }

    /// A turn begins.
    pub fn begin_turn(&mut self, number: u64, clock: Clock) {
        assert!(self.turn_at.is_none(), "one turn at a time");
        self.turn_at = Some(frame::begin(Kind::Turn, &mut self.bytes));
        self.steps = 0;
        put_u64(number, &mut self.bytes);
        put_u64(clock.mono.0, &mut self.bytes);
        put_u64(clock.wall.0, &mut self.bytes);
    }

    /// The node starts.
    pub fn start(&mut self) {
        self.steps += 1;
        self.bytes.push(event::START);
    }

    /// An event is about to be taken in.
    pub fn event(&mut self, event: &Event<'_>) {
        self.steps += 1;
        event::write(event, &mut self.scratch, &mut self.bytes);
    }

    /// The signer was asked; its answer is appended by `answer`.
    pub(super) fn answer(&mut self, question: Question, answer: impl FnOnce(&mut Vec<u8>)) {
        // The loop itself asks the signer between turns (handshakes); that is no business of the node.
        if self.turn_at.is_some() {
            question.write(&mut self.bytes);
            answer(&mut self.bytes);
        }
    }

    /// The event is taken in; this is the digest of the turn so far.
    pub fn end_step(&mut self, digest: u64) {
        self.bytes.push(STEP_END);
        self.bytes.extend_from_slice(&(digest as u32).to_le_bytes());
    }

    /// The turn is over: the number of its events. One without any leaves nothing behind.
    pub fn end_turn(&mut self, digest: u64) -> u32 {
        let start = self.turn_at.take().expect("a turn was begun");
        if self.steps == 0 {
            self.bytes.truncate(start);
        } else {
            self.bytes.push(TURN_END);
            self.bytes.extend_from_slice(&digest.to_le_bytes());
            frame::end(start, &mut self.bytes);
        }
        self.steps
    }

    /// The process dies within a turn: what there is of it is the most wanted part of all.
    pub fn abandon_turn(&mut self) {
        if let Some(start) = self.turn_at.take() {
            frame::end(start, &mut self.bytes);
        }
    }

    /// What was not carried away yet; whole frames, while no turn is being written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// It was carried away.
    pub fn clear(&mut self) {
        assert!(self.turn_at.is_none(), "a turn is carried away whole");
        self.bytes.clear();
    }
}
