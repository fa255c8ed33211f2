//! Turn by turn: the events of the recording into the core, and its commands against the digests.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use leyden_core::clock::Clock;
use leyden_core::command::{Command, Sink};
use leyden_core::node::{Node, ThawError};
use leyden_core::recording::{
    BUILD_ID, DigestSink, Digester, Malformed, Mismatch, RecordedEvent, RecordedStep, RecordedTurn, ReplaySigner,
};

use super::file::{Run, Segment};
use super::text;

/// A place in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The turn.
    pub turn: u64,
    /// The event within it.
    pub step: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}, event {}", self.turn, self.step)
    }
}

/// A step of a replay, as it is about to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Where.
    pub at: At,
    /// When.
    pub clock: Clock,
    /// What happened.
    pub event: &'a RecordedEvent<'a>,
}

/// Looks on.
pub trait Watcher {
    /// A step begins.
    fn step(&mut self, _step: &Step<'_>) {}
    /// The node commands something within it.
    fn command(&mut self, _at: At, _command: &Command<'_>) {}
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Watcher for Nobody {}

/// In what way the replay parts from the recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It asks the signer something else.
    Question(Mismatch),
    /// It commands something else; or signs something else with the same question.
    Commands,
    /// It breaks, and the recorded run did not.
    Panic(String),
    /// It breaks in the step in which the recorded process died.
    SamePanic(String),
    /// The node is another at the next segment's beginning, though it commanded the same.
    State,
}

/// Where the replay parts from the recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Where.
    pub at: At,
    /// When.
    pub clock: Clock,
    /// The event that it was about.
    pub event: String,
    /// In what way.
    pub reason: Reason,
    /// What the replay commanded in this step.
    pub commands: Vec<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the replay parts from the recording at {} ({})", self.at, text::time(self.clock.wall))?;
        writeln!(f, "  event: {}", self.event)?;
        match &self.reason {
            Reason::Question(mismatch) => writeln!(f, "  {mismatch}")?,
            Reason::Commands => writeln!(f, "  its commands are not those of the recorded run; it commands:")?,
            Reason::Panic(text) => writeln!(f, "  it breaks where the recorded run did not: {text}")?,
            Reason::SamePanic(text) => writeln!(f, "  it breaks where the recorded process died: {text}")?,
            Reason::State => writeln!(f, "  the node is not what it was in the recorded run at the next segment")?,
        }
        self.commands.iter().try_for_each(|command| writeln!(f, "    {command}"))
    }
}

/// What keeps a segment, or the rest of it, from being replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its snapshot is missing.
    NoSnapshot,
    /// Its snapshot cannot be used; most likely it is of another build.
    Thaw {
        /// The build that wrote it.
        build: String,
        /// What is wrong.
        error: ThawError,
    },
    /// A turn cannot be decoded.
    Turn {
        /// The last that could.
        after: u64,
        /// What is wrong.
        malformed: Malformed,
    },
    /// Turns are missing.
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that comes.
        found: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NoSnapshot => f.write_str("it has no snapshot to begin with"),
            Obstacle::Thaw { build, error } if build != BUILD_ID => {
                write!(f, "its snapshot is of build {build}, and this is build {BUILD_ID}: {error}")
            }
            Obstacle::Thaw { error, .. } => write!(f, "its snapshot cannot be used: {error}"),
            Obstacle::Turn { after, malformed } => write!(f, "what follows turn {after} cannot be read: {malformed}"),
            Obstacle::Gap { expected, found } => write!(f, "turn {expected} should come, and turn {found} comes"),
        }
    }
}

/// The watcher as a sink.
struct Watched<'a, W> {
    at: At,
    watcher: &'a mut W,
}

impl<W: Watcher> Sink for Watched<'_, W> {
    fn emit(&mut self, command: Command<'_>) {
        self.watcher.command(self.at, &command);
    }
}

/// Keeps what a step commands, as text.
struct Rendered {
    wanted: At,
    commands: Vec<String>,
}

impl Watcher for Rendered {
    fn command(&mut self, at: At, command: &Command<'_>) {
        if at == self.wanted {
            self.commands.push(text::command(command));
        }
    }
}

/// A node on its way through a run.
pub struct Replay<'a> {
    run: &'a Run<'a>,
    segment: usize,
    next: usize,
    /// The next turn's number, as long as the run has no gap.
    expected: Option<u64>,
    node: Option<Node>,
    clock: Clock,
    digest: Cell<Digester>,
    scratch: Vec<u8>,
    /// Turns and events so far.
    pub counted: (u64, u64),
    verifies: bool,
}

impl<'a> Replay<'a> {
    /// At the beginning.
    pub fn new(run: &'a Run<'a>) -> Replay<'a> {
        Replay {
            run,
            segment: 0,
            next: 0,
            expected: None,
            node: None,
            clock: Clock::default(),
            digest: Cell::default(),
            scratch: Vec::new(),
            counted: (0, 0),
            verifies: false,
        }
    }

    /// Also works out again what the peers' signatures and secrets were checked for, and does not believe the recording.
    pub fn verifying(self, verifies: bool) -> Replay<'a> {
        Replay { verifies, ..self }
    }

    /// The node as it is now; `None` before the first turn.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The clock of the last turn.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The segment in hand.
    pub fn segment(&self) -> Option<&'a Segment<'a>> {
        self.run.segments.get(self.segment)
    }

    /// The turn that comes next, decoded: `None` at the end. An obstacle in a segment ends that segment.
    pub fn next_turn(&mut self) -> Result<Option<RecordedTurn<'a>>, (&'a Segment<'a>, Obstacle)> {
        loop {
            let Some(segment) = self.run.segments.get(self.segment) else { return Ok(None) };
            if let Some(body) = segment.turns.get(self.next) {
                let turn = RecordedTurn::decode(body).map_err(|malformed| {
                    let after = self.expected.unwrap_or_default().saturating_sub(1);
                    self.skip_segment();
                    (segment, Obstacle::Turn { after, malformed })
                })?;
                return Ok(Some(turn));
            }
            self.segment += 1;
            self.next = 0;
        }
    }

    /// Gives the segment in hand up.
    pub fn skip_segment(&mut self) {
        self.segment += 1;
        self.next = 0;
        self.node = None;
        self.expected = None;
    }

    /// Before a segment's first turn: the node of its snapshot, which must be the node that is there already.
    fn enter(&mut self, turn: &RecordedTurn<'_>) -> Result<Result<(), Divergence>, Obstacle> {
        let segment = &self.run.segments[self.segment];
        let Some(snapshot) = segment.snapshot else { return Err(Obstacle::NoSnapshot) };
        if let Some(node) = self.node.as_ref().filter(|_| self.expected == Some(turn.number)) {
            let mut bytes = Vec::new();
            node.snapshot(&mut bytes);
            if bytes == snapshot {
                return Ok(Ok(()));
            }
            let at = At { turn: turn.number, step: 0 };
            let event = format!("the beginning of segment {}", segment.header.sequence);
            let clock = segment.header.clock;
            return Ok(Err(Divergence { at, clock, event, reason: Reason::State, commands: Vec::new() }));
        }
        let build = || segment.header.build.clone();
        self.node = Some(Node::thaw(snapshot).map_err(|error| Obstacle::Thaw { build: build(), error })?);
        self.expected = Some(turn.number);
        Ok(Ok(()))
    }

    /// Takes a turn, or its first steps. `turn` is what [`Replay::next_turn`] gave.
    pub fn take<W: Watcher>(
        &mut self,
        turn: &RecordedTurn<'_>,
        watcher: &mut W,
    ) -> Result<Result<(), Box<Divergence>>, Obstacle> {
        if self.next == 0
            && let Err(divergence) = self.enter(turn)?
        {
            return Ok(Err(Box::new(divergence)));
        }
        if let Some(expected) = self.expected.filter(|expected| *expected != turn.number) {
            return Err(Obstacle::Gap { expected, found: turn.number });
        }
        self.next += 1;
        self.expected = Some(turn.number + 1);
        self.clock = turn.clock;
        self.digest.set(Digester::default());
        self.counted.0 += 1;
        for (number, step) in turn.steps.iter().enumerate() {
            let at = At { turn: turn.number, step: number };
            self.counted.1 += 1;
            if let Err(reason) = self.take_step(at, turn.clock, step, watcher) {
                return Ok(Err(Box::new(self.describe(at, turn.clock, step, reason))));
            }
        }
        if let (Some(digest), Some((number, step))) = (turn.digest, turn.steps.iter().enumerate().next_back())
            && digest != self.digest.get().finish()
        {
            let at = At { turn: turn.number, step: number };
            return Ok(Err(Box::new(self.describe(at, turn.clock, step, Reason::Commands))));
        }
        Ok(Ok(()))
    }

    fn take_step<W: Watcher>(
        &mut self,
        at: At,
        clock: Clock,
        step: &RecordedStep<'_>,
        watcher: &mut W,
    ) -> Result<(), Reason> {
        let node = self.node.as_mut().expect("a turn is taken only behind a snapshot");
        let node_id = node.id();
        PLACE.set(Some(at));
        watcher.step(&Step { at, clock, event: &step.event });
        let mut signer = ReplaySigner::new(node_id, &step.answers, &self.digest).verifying(self.verifies);
        let mut watched = Watched { at, watcher };
        let mut sink = DigestSink::new(&self.digest, &mut self.scratch, &mut watched);
        let taken = catch_unwind(AssertUnwindSafe(|| {
            step.event.with(|event| match event {
                None => node.start(clock, &mut signer, &mut sink),
                Some(event) => node.step(clock, event, &mut signer, &mut sink),
            });
        }));
        let mismatch = signer.mismatch();
        match (taken, mismatch) {
            // What the node does behind a wrong answer says nothing.
            (_, Some(mismatch)) if step.digest.is_some() => Err(Reason::Question(mismatch)),
            (Err(panic), _) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Err(if step.digest.is_none() { Reason::SamePanic(text) } else { Reason::Panic(text) })
            }
            (Ok(()), _) => match step.digest {
                Some(digest) if digest != self.digest.get().finish() as u32 => Err(Reason::Commands),
                _ => Ok(()),
            },
        }
    }

    /// Runs the segment up to the divergence once more, in order to see what was commanded.
    fn describe(&self, at: At, clock: Clock, step: &RecordedStep<'_>, reason: Reason) -> Divergence {
        let mut rendered = Rendered { wanted: at, commands: Vec::new() };
        if let Some(segment) = self.segment() {
            let alone = Run { segments: vec![segment.clone()], ..*self.run };
            let mut again = Replay::new(&alone);
            let mut run = || {
                for body in segment.turns.iter().take(self.next) {
                    let turn = RecordedTurn::decode(body).ok()?;
                    let taken = again.take_quietly(&turn, &mut rendered);
                    taken.ok()?;
                }
                Some(())
            };
            // It ends with the step in question, one way or the other.
            let _ = run();
        }
        Divergence { at, clock, event: text::event(&step.event), reason, commands: rendered.commands }
    }

    /// As [`Replay::take`], without a second look at what differs.
    fn take_quietly<W: Watcher>(&mut self, turn: &RecordedTurn<'_>, watcher: &mut W) -> Result<(), ()> {
        if self.next == 0 {
            self.enter(turn).map_err(|_| ())?.map_err(|_| ())?;
        }
        self.next += 1;
        self.expected = Some(turn.number + 1);
        self.digest.set(Digester::default());
        for (number, step) in turn.steps.iter().enumerate() {
            let at = At { turn: turn.number, step: number };
            self.take_step(at, turn.clock, step, watcher).map_err(|_| ())?;
        }
        Ok(())
    }
}

thread_local! {
    static PLACE: Cell<Option<At>> = const { Cell::new(None) };
}

/// Where the replay of this thread is: for a panic hook, where panics abort.
pub fn place() -> Option<At> {
    PLACE.get()
}
