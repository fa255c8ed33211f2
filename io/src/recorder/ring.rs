//! The files of the recording: a bounded ring of segments, the oldest go first.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, Read, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use leyden_core::clock::Wall;
use leyden_core::recording::{Frame, FrameReader, Header};

/// Ending of the files.
const ENDING: &str = "rec";
/// Each start begins a file, however little it comes to hold; so many may be kept.
const FILES_MAX: usize = 1_024;
/// A header is shorter than this.
const HEADER_SIZE_MAX: u64 = 4_096;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it begins.
    pub(super) from: Wall,
}

/// The files, oldest first. The last is the one that is written.
#[derive(Debug)]
pub(super) struct Ring {
    dir: PathBuf,
    /// All files together shall not be larger.
    pub(super) size_max: u64,
    pub(super) segments: VecDeque<Segment>,
}

impl Ring {
    /// Finds what earlier runs left.
    pub(super) fn open(dir: &Path, size_max: u64) -> Result<Ring> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut found: Vec<((u64, u32), Segment)> = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING)
                && let Some((header, bytes)) = look(&path)
            {
                found.push(((header.run.0, header.sequence), Segment { path, bytes, from: header.clock.wall }));
            }
        }
        found.sort_by_key(|(key, _)| *key);
        let segments = found.into_iter().map(|(_, segment)| segment).collect();
        Ok(Ring { dir: dir.to_path_buf(), size_max, segments })
    }

    /// Begins the next file; the oldest make room for it.
    pub(super) fn begin(&mut self, header: &Header) -> Result<File> {
        let path = self.dir.join(format!("{:013}-{:06}.{ENDING}", header.run.0, header.sequence));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        self.segments.push_back(Segment { path, bytes: 0, from: header.clock.wall });
        Ok(file)
    }

    /// The file in hand has grown; the oldest make room.
    pub(super) fn grew(&mut self, bytes: u64) {
        if let Some(last) = self.segments.back_mut() {
            last.bytes += bytes;
        }
        while self.segments.len() > 1 && (self.bytes() > self.size_max || self.segments.len() > FILES_MAX) {
            let oldest = self.segments.pop_front().expect("there is more than one");
            // One that is gone already needs no removal, and one that stays is found again at the next start.
            let _ = std::fs::remove_file(oldest.path);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The files that reach back to `from`.
    pub(super) fn since(&self, from: Wall) -> impl Iterator<Item = &Segment> {
        // A segment lasts until the next begins.
        let after = self.segments.iter().rposition(|segment| segment.from <= from).unwrap_or(0);
        self.segments.iter().skip(after)
    }
}

/// Reads what a file says of itself, if it is a segment.
fn look(path: &Path) -> Option<(Header, u64)> {
    let file = File::open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    let mut head = Vec::new();
    file.take(HEADER_SIZE_MAX).read_to_end(&mut head).ok()?;
    match FrameReader::new(&head).next_frame() {
        Ok(Some(Frame::Header(body))) => Some((Header::decode(body).ok()?, bytes)),
        _ => None,
    }
}

/// Is the file still in its folder? Writing to one that is not helps nobody.
pub(super) fn check_linked(file: &File) -> Result<()> {
    match file.metadata()?.nlink() {
        0 => Err(Error::other("its file was removed")),
        _ => Ok(()),
    }
}
