//! Turns as they are read back.

use super::bytes::Reader;
use super::question::{Ask, Question};
use super::tape::{STEP_END, TURN_END};
use super::{Malformed, RecordedEvent, replay_signer};
use crate::clock::{Clock, Mono, Wall};

/// A question and its answer, which is read when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What was asked.
    pub question: Question,
    pub(super) bytes: &'a [u8],
}

/// An event and what the signer answered meanwhile.
#[derive(Clone, Debug)]
pub struct RecordedStep<'a> {
    /// The event.
    pub event: RecordedEvent<'a>,
    /// The answers, in order.
    pub answers: Vec<Answer<'a>>,
    /// The digest of the turn so far, cut to four bytes; `None` if the process died within the step.
    pub digest: Option<u32>,
}

/// A turn.
#[derive(Clone, Debug)]
pub struct RecordedTurn<'a> {
    /// Its number within the run.
    pub number: u64,
    /// The reading of the clock.
    pub clock: Clock,
    /// What happened.
    pub steps: Vec<RecordedStep<'a>>,
    /// The digest of what was asked and commanded; `None` if the process died within the turn.
    pub digest: Option<u64>,
}

impl<'a> RecordedTurn<'a> {
    /// Reads the body of a turn's frame.
    pub fn decode(body: &'a [u8]) -> Result<RecordedTurn<'a>, Malformed> {
        let mut reader = Reader(body);
        let number = reader.u64()?;
        let clock = Clock { mono: Mono(reader.u64()?), wall: Wall(reader.u64()?) };
        let mut turn = RecordedTurn { number, clock, steps: Vec::new(), digest: None };
        while !reader.is_empty() {
            let tag = reader.u8()?;
            let open = turn.steps.last_mut().filter(|step| step.digest.is_none());
            match (tag, open) {
                (TURN_END, None) => {
                    turn.digest = Some(u64::from_le_bytes(reader.array()?));
                    if !reader.is_empty() {
                        return Err(Malformed { expected: "end of the turn" });
                    }
                }
                (STEP_END, Some(step)) => step.digest = Some(u32::from_le_bytes(reader.array()?)),
                (tag, Some(step)) => {
                    let ask = Ask::from_tag(tag).ok_or(Malformed { expected: "answer of the signer" })?;
                    let question = Question::read(ask, &mut reader)?;
                    let before = reader.0;
                    replay_signer::skip_answer(ask, &mut reader)?;
                    let bytes = &before[..before.len() - reader.0.len()];
                    step.answers.push(Answer { question, bytes });
                }
                (tag, None) => {
                    let event = RecordedEvent::read(tag, &mut reader)?;
                    turn.steps.push(RecordedStep { event, answers: Vec::new(), digest: None });
                }
            }
        }
        Ok(turn)
    }
}
