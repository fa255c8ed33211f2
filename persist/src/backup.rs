//! A consistent copy of a store, taken while it is in use.
//!
//! The copy is made row by row through a snapshot: every checksum is verified on the way, free pages are left out,
//! and the copy keeps the store's id and counter. It does not contain the counter file, so a copy that is opened later
//! is [unproven](crate::Freshness::Unproven) until its peers have shown that it is current.
//!
//! [`crate::Store::backup`] copies within the daemon and holds up its turns for as long as it takes. [`copy`] does the
//! same from another process, beside a running daemon and without stopping it.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::env::{self, Env, EnvError};
use crate::meta::{META_TABLE, Meta};
use crate::{OpenError, ReadError, rows};

/// How much goes into one transaction of the copy: its changed pages are held in memory until it commits.
const CHUNK_BYTES: usize = 8 << 20;

/// Room that the copy's map has beyond the original's use.
const SLACK_BYTES: u64 = 16 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The state counter of the copy.
    pub counter: u64,
}

/// Why there is no copy.
#[derive(Debug)]
pub enum BackupError {
    /// The target is there already; nothing is overwritten.
    Exists(PathBuf),
    /// The original or the copy does not open, or the file system refuses.
    Open(OpenError),
    /// The original does not read.
    Read(ReadError),
    /// The copy cannot be written.
    Write(String),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Exists(path) => write!(f, "{} exists: name a path that does not", path.display()),
            BackupError::Open(error) => error.fmt(f),
            BackupError::Read(error) => error.fmt(f),
            BackupError::Write(reason) => write!(f, "the copy cannot be written: {reason}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> BackupError {
        BackupError::Open(error)
    }
}

impl From<ReadError> for BackupError {
    fn from(error: ReadError) -> BackupError {
        BackupError::Read(error)
    }
}

impl From<EnvError> for BackupError {
    fn from(error: EnvError) -> BackupError {
        BackupError::Write(error.to_string())
    }
}

/// Copies the store in `from` to the new directory `to`. For use by another process than the daemon; a process that
/// has the store open itself uses [`crate::Store::backup`].
pub fn copy(from: &Path, to: &Path) -> Result<Copied, BackupError> {
    if !from.join(env::DATA_FILE).exists() {
        return Err(OpenError::NotAStore { dir: from.to_path_buf() }.into());
    }
    copy_env(&Env::open_to_read(from).map_err(OpenError::env(from))?, to)
}

pub(crate) fn copy_env(from: &Env, to: &Path) -> Result<Copied, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_path_buf()));
    }
    // A copy that was interrupted must not look like one: it is made under another name.
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(OpenError::io("remove", &partial))?;
    }
    DirBuilder::new().mode(0o700).create(&partial).map_err(OpenError::io("create", &partial))?;
    let copied = copy_rows(from, &partial)?;
    File::open(&partial).and_then(|dir| dir.sync_all()).map_err(OpenError::io("sync", &partial))?;
    fs::rename(&partial, to).map_err(OpenError::io("rename", &partial))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(OpenError::io("sync", parent))?;
    Ok(copied)
}

fn copy_rows(from: &Env, to: &Path) -> Result<Copied, BackupError> {
    let (_, used_bytes) = from.map_use()?;
    // Read before the snapshot, so that beside a running daemon the copy's counter is never too high.
    let last_commit = from.last_commit()?;
    let source = from.read()?;
    let meta = Meta::read(&source)?.ok_or_else(|| OpenError::NotAStore { dir: to.to_path_buf() })?;
    let counter = meta.counter(last_commit);

    let map_bytes = usize::try_from(used_bytes * 2 + SLACK_BYTES).unwrap_or(usize::MAX);
    let target = Env::open(to, map_bytes).map_err(OpenError::env(to))?;
    let mut copied = Copied { rows: 0, bytes: 0, counter };
    let mut cursor = source.cursor()?;
    let mut at = cursor.seek(&[0])?;
    let mut txn = target.write()?;
    let mut chunk_bytes = 0;
    while let Some((key, stored)) = at.filter(|(key, _)| key[0] < META_TABLE) {
        rows::open_value(key, stored)?;
        txn.append(key, stored)?;
        copied.rows += 1;
        copied.bytes += (key.len() - 1 + stored.len() - rows::TRAILER_BYTES) as u64;
        chunk_bytes += key.len() + stored.len();
        if chunk_bytes > CHUNK_BYTES {
            txn.commit()?;
            txn = target.write()?;
            chunk_bytes = 0;
        }
        at = cursor.next()?;
    }
    // The store's own row comes last, in a commit that is numbered one above the last one: so the copy's counter is
    // the original's.
    let base = counter.wrapping_sub(target.last_commit()? + 1);
    Meta { counter_base: base, ..meta }.write(&mut txn)?;
    txn.commit()?;
    Ok(copied)
}
