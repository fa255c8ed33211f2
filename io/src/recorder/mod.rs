//! The flight recorder: always on, bounded, and never in the way. Whatever goes wrong with it turns it off, loudly, and
//! the node goes on.
//!
//! Turns are written behind their commits through a buffer, without waiting for the disk: a crash of the process loses at
//! most about a second of them, a panic none. The format is `leyden_core::recording`.

mod dump;
mod ring;
mod taped;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Once;

use leyden_core::clock::{Clock, Wall};
use leyden_core::command::Level;
use leyden_core::config::Network;
use leyden_core::ids::{NodeId, RequestId};
use leyden_core::recording::{BUILD_ID, Digester, Header, Tape};
use leyden_core::request::RequestError;
use leyden_rpc::daemon::{RecorderInfo, RecordingDumped};

use self::dump::Dump;
use self::ring::Ring;
pub(crate) use self::taped::Taped;
use crate::log::Log;
use crate::machine::Machine;

/// Name of the recording's folder in the node's.
pub const DIR_NAME: &str = "recorder";

/// Bytes that wait for the file at most, a turn more or less.
const BUFFER_SIZE: usize = 256 << 10;
/// And for so long at most, while there are turns.
const BUFFER_MS: u64 = 1_000;

/// What the operator chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    /// Record at all?
    pub on: bool,
    /// Bytes of turns in one segment; its snapshot comes on top.
    pub segment_size: u64,
    /// So many times that much is kept.
    pub segments: u64,
}

/// What each segment says of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The chain.
    pub network: Network,
    /// Who.
    pub node_id: NodeId,
    /// Of the settings: see [`leyden_core::recording::config_hash`].
    pub config_hash: u64,
    /// When the process started.
    pub run: Wall,
}

impl About {
    fn header(&self, clock: Clock, sequence: u32, first_turn: u64) -> Header {
        let About { network, node_id, config_hash, run } = *self;
        Header { build: BUILD_ID.to_owned(), network, node_id, config_hash, run, sequence, first_turn, clock }
    }
}

/// What must be saved when all else breaks: it is within reach of the panic hook.
struct BlackBox {
    tape: RefCell<Tape>,
    file: RefCell<File>,
}

impl BlackBox {
    /// Writes what waits: how many bytes. Not to be called within a turn.
    fn flush(&self) -> std::io::Result<u64> {
        let mut tape = self.tape.borrow_mut();
        let mut file = self.file.borrow_mut();
        if !tape.bytes().is_empty() {
            ring::check_linked(&file)?;
            file.write_all(tape.bytes())?;
        }
        let count = tape.bytes().len() as u64;
        tape.clear();
        Ok(count)
    }

    /// The process ends, maybe within a turn.
    fn last_words(&self) {
        // A panic within the tape itself leaves nothing to be saved.
        let (Ok(mut tape), Ok(mut file)) = (self.tape.try_borrow_mut(), self.file.try_borrow_mut()) else { return };
        tape.abandon_turn();
        // Nobody is left to tell.
        let _ = file.write_all(tape.bytes());
        tape.clear();
    }
}

thread_local! {
    /// The black box of the loop that runs in this thread.
    static BLACK_BOX: RefCell<Weak<BlackBox>> = const { RefCell::new(Weak::new()) };
}

/// Where panics abort, no destructor runs: the hook is the last that does.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = BLACK_BOX.try_with(|black_box| {
                if let Some(black_box) = black_box.try_borrow().ok().and_then(|weak| weak.upgrade()) {
                    black_box.last_words();
                }
            });
            before(info);
        }));
    });
}

/// A recorder that works.
struct On {
    black_box: Rc<BlackBox>,
    digest: Cell<Digester>,
    scratch: Vec<u8>,
    /// Its next segment begins at this size.
    segment_end: u64,
    written: u64,
    sequence: u32,
    /// The number of the turn in hand.
    turn: u64,
    events: u64,
    flushed_ms: u64,
    is_in_turn: bool,
}

/// The flight recorder.
pub struct Recorder {
    dir: PathBuf,
    settings: RecorderSettings,
    about: About,
    on: Option<On>,
    /// Why it is off.
    reason: Option<String>,
    /// Turns and events, kept when it goes off.
    counted: (u64, u64),
    ring: Option<Ring>,
    dumps: VecDeque<Dump>,
    buffer: Vec<u8>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

impl Recorder {
    /// Not begun yet. `dir` is made when it begins.
    pub fn new(dir: &Path, settings: RecorderSettings, about: About) -> Recorder {
        let reason = if settings.on { "it has not begun" } else { "switched off by the setting 'recorder'" };
        Recorder {
            dir: dir.to_path_buf(),
            settings,
            about,
            on: None,
            reason: Some(reason.to_owned()),
            counted: (0, 0),
            ring: None,
            dumps: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins to record with the machine as it is, before its first turn.
    pub(crate) fn begin<M: Machine>(&mut self, machine: &M, clock: Clock, log: &mut Log) {
        if !self.settings.on {
            return;
        }
        install_hook();
        let size_max = self.settings.segment_size.saturating_mul(self.settings.segments);
        let begun = Ring::open(&self.dir, size_max).and_then(|mut ring| {
            let header = self.about.header(clock, 0, 0);
            let file = ring.begin(&header)?;
            Ok((ring, file, header))
        });
        match begun {
            Ok((ring, file, header)) => {
                self.ring = Some(ring);
                let black_box = Rc::new(BlackBox { tape: RefCell::default(), file: RefCell::new(file) });
                BLACK_BOX.with(|of_thread| *of_thread.borrow_mut() = Rc::downgrade(&black_box));
                self.on = Some(On {
                    black_box,
                    digest: Cell::default(),
                    scratch: Vec::new(),
                    segment_end: 0,
                    written: 0,
                    sequence: 0,
                    turn: 0,
                    events: 0,
                    flushed_ms: clock.mono.0,
                    is_in_turn: false,
                });
                self.reason = None;
                let result = self.open_segment(machine, &header);
                self.settle(result, clock, log);
            }
            Err(error) => self.settle(Err(error), clock, log),
        }
    }

    /// Header and snapshot go to the file at once: a segment without them is worth nothing.
    fn open_segment<M: Machine>(&mut self, machine: &M, header: &Header) -> std::io::Result<()> {
        let Some(on) = &mut self.on else { return Ok(()) };
        on.black_box.tape.borrow_mut().segment(header, |out| machine.snapshot(out));
        on.written = 0;
        self.flush_now()?;
        let Some(on) = &mut self.on else { return Ok(()) };
        on.segment_end = on.written + self.settings.segment_size;
        Ok(())
    }

    fn flush_now(&mut self) -> std::io::Result<()> {
        if let Some(on) = &mut self.on {
            let count = on.black_box.flush()?;
            on.written += count;
            if let Some(ring) = &mut self.ring {
                ring.grew(count);
            }
        }
        Ok(())
    }

    /// Goes off if something went wrong.
    fn settle(&mut self, result: std::io::Result<()>, clock: Clock, log: &mut Log) {
        let Err(error) = result else { return };
        if let Some(on) = self.on.take() {
            self.counted = (on.turn, on.events);
        }
        let text = format!("{}: {error}", self.dir.display());
        log.say(
            clock.wall,
            Level::Error,
            "recorder",
            format_args!("the flight recorder is off and the node goes on without it: {text}"),
        );
        self.reason = Some(text);
    }

    fn begin_turn(&mut self, clock: Clock) {
        if let Some(on) = &mut self.on {
            on.digest.set(Digester::default());
            on.black_box.tape.borrow_mut().begin_turn(on.turn, clock);
            on.is_in_turn = true;
        }
    }

    /// The turn is committed.
    pub(crate) fn end_turn<M: Machine>(&mut self, machine: &M, clock: Clock, log: &mut Log) {
        let Some(on) = &mut self.on else { return };
        if !std::mem::take(&mut on.is_in_turn) {
            return;
        }
        let mut tape = on.black_box.tape.borrow_mut();
        if tape.end_turn(on.digest.get().finish()) > 0 {
            on.turn += 1;
        }
        let waits = tape.bytes().len();
        drop(tape);
        let is_late = clock.mono.0.saturating_sub(on.flushed_ms) >= BUFFER_MS;
        if on.written + waits as u64 >= on.segment_end {
            let result = self.next_segment(machine, clock);
            self.settle(result, clock, log);
        } else if waits >= BUFFER_SIZE || (waits > 0 && is_late) {
            on.flushed_ms = clock.mono.0;
            let result = self.flush_now();
            self.settle(result, clock, log);
        }
    }

    fn next_segment<M: Machine>(&mut self, machine: &M, clock: Clock) -> std::io::Result<()> {
        self.flush_now()?;
        let (Some(on), Some(ring)) = (&mut self.on, &mut self.ring) else { return Ok(()) };
        on.sequence += 1;
        let header = self.about.header(clock, on.sequence, on.turn);
        let file = ring.begin(&header)?;
        *on.black_box.file.borrow_mut() = file;
        self.open_segment(machine, &header)
    }

    /// Writes what waits; to be called between turns.
    pub(crate) fn flush(&mut self, clock: Clock, log: &mut Log) {
        let result = self.flush_now();
        self.settle(result, clock, log);
    }

    /// The loop ends, maybe within a turn that could not be committed: that turn is recorded, too.
    pub(crate) fn close(&mut self) {
        if let Some(on) = &self.on {
            on.black_box.last_words();
        }
    }

    /// How it is.
    pub(crate) fn info(&self) -> RecorderInfo {
        let (turns, events) = self.on.as_ref().map_or(self.counted, |on| (on.turn, on.events));
        let ring = self.ring.as_ref();
        RecorderInfo {
            on: self.on.is_some(),
            reason: self.reason.clone(),
            dir: self.dir.display().to_string(),
            segments: ring.map_or(0, |ring| ring.segments.len() as u64),
            bytes: ring.map_or(0, Ring::bytes),
            bytes_max: self.settings.segment_size.saturating_mul(self.settings.segments),
            turns,
            events,
            oldest: ring.and_then(|ring| ring.segments.front()).map(|segment| segment.from),
            build: BUILD_ID.to_owned(),
        }
    }

    /// Begins to copy the last minutes to `path`. The end comes out of [`Recorder::step_dump`].
    pub(crate) fn begin_dump(
        &mut self,
        id: RequestId,
        minutes: u64,
        path: &Path,
        clock: Clock,
        log: &mut Log,
    ) -> Result<(), RequestError> {
        self.flush(clock, log);
        let from = Wall(clock.wall.0.saturating_sub(minutes.saturating_mul(60_000)));
        let reason = self.reason.as_deref().unwrap_or_default();
        let nothing = || RequestError::generic(format!("there is no recording: {reason}"));
        let ring = self.ring.as_ref().filter(|ring| !ring.segments.is_empty()).ok_or_else(nothing)?;
        let dump = Dump::begin(id, path, ring.since(from)).map_err(|error| dump_error(path, &error))?;
        self.dumps.push_back(dump);
        Ok(())
    }

    /// Is there anything to copy?
    pub(crate) fn is_dumping(&self) -> bool {
        !self.dumps.is_empty()
    }

    /// Copies a slice: whom to tell how it ended, if it did.
    pub(crate) fn step_dump(&mut self) -> Option<(RequestId, Result<RecordingDumped, RequestError>)> {
        let dump = self.dumps.front_mut()?;
        let end = dump.step(&mut self.buffer)?;
        let dump = self.dumps.pop_front().expect("it is the first");
        self.buffer = Vec::new();
        Some((dump.id, end.map_err(|error| RequestError::generic(format!("the copy was not made: {error}")))))
    }
}

fn dump_error(path: &Path, error: &std::io::Error) -> RequestError {
    RequestError::generic(format!("cannot copy the recording to {}: {error}", path.display()))
}
