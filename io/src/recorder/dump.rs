//! Copies of the newest segments in one file, a slice per turn: no client may hold up the loop.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use leyden_core::clock::Wall;
use leyden_core::ids::RequestId;
use leyden_rpc::daemon::RecordingDumped;

use super::ring::Segment;

/// Bytes of one slice.
const SLICE: usize = 1 << 20;

/// A copy under way.
pub(super) struct Dump {
    pub(super) id: RequestId,
    path: PathBuf,
    target: File,
    /// What is left: open, so that the ring may drop them meanwhile, and no longer than they were when it began.
    sources: VecDeque<std::io::Take<File>>,
    done: RecordingDumped,
}

impl Dump {
    /// Opens everything.
    pub(super) fn begin<'a>(id: RequestId, path: &Path, segments: impl Iterator<Item = &'a Segment>) -> Result<Dump> {
        let mut sources = VecDeque::new();
        let mut from: Option<Wall> = None;
        for segment in segments {
            from = from.or(Some(segment.from));
            sources.push_back(File::open(&segment.path)?.take(segment.bytes));
        }
        let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let done = RecordingDumped { path: path.display().to_string(), segments: sources.len() as u64, bytes: 0, from };
        Ok(Dump { id, path: path.to_path_buf(), target, sources, done })
    }

    /// Copies a slice; the end of it, if it came.
    pub(super) fn step(&mut self, buffer: &mut Vec<u8>) -> Option<Result<RecordingDumped>> {
        match self.copy(buffer) {
            Ok(true) => None,
            Ok(false) => Some(Ok(self.done.clone())),
            Err(error) => {
                // Half a copy is of no use.
                let _ = std::fs::remove_file(&self.path);
                Some(Err(error))
            }
        }
    }

    fn copy(&mut self, buffer: &mut Vec<u8>) -> Result<bool> {
        buffer.resize(SLICE, 0);
        let Some(source) = self.sources.front_mut() else { return Ok(false) };
        let count = source.read(buffer)?;
        self.target.write_all(&buffer[..count])?;
        self.done.bytes += count as u64;
        if count == 0 {
            self.sources.pop_front();
        }
        Ok(true)
    }
}
