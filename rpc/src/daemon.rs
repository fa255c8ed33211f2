//! What control clients ask the daemon itself: nothing that the core knows or decides, so it never sees these.

use std::path::PathBuf;

use leyden_core::clock::Wall;

/// A request that the loop answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonRequest {
    /// How is the flight recorder? [`DaemonResponse::Recorder`].
    Recorder,
    /// Copy the newest part of the recording into one file. [`DaemonResponse::RecordingDumped`].
    DumpRecording {
        /// How far back it shall reach at least.
        minutes: u64,
        /// The file to make.
        path: PathBuf,
    },
}

/// The loop's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonResponse {
    /// To [`DaemonRequest::Recorder`].
    Recorder(RecorderInfo),
    /// To [`DaemonRequest::DumpRecording`].
    RecordingDumped(RecordingDumped),
}

/// How the flight recorder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderInfo {
    /// Is it on?
    pub on: bool,
    /// Why it is off.
    pub reason: Option<String>,
    /// Where its files are.
    pub dir: String,
    /// Files of the ring, those of earlier runs too.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The ring's bound.
    pub bytes_max: u64,
    /// Turns of this run that are recorded.
    pub turns: u64,
    /// Events of this run that are recorded.
    pub events: u64,
    /// When the oldest segment begins.
    pub oldest: Option<Wall>,
    /// The source that decides: a recording replays with no other.
    pub build: String,
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingDumped {
    /// The file.
    pub path: String,
    /// Segments in it.
    pub segments: u64,
    /// Its bytes.
    pub bytes: u64,
    /// When it begins.
    pub from: Option<Wall>,
}
