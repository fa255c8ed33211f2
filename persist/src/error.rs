//! What can go wrong with a store, in words that say what to do.

use std::fmt;
use std::path::PathBuf;

use crate::env::EnvError;

/// Why a store did not open.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    InUse {
        /// The store's directory.
        dir: PathBuf,
        /// The other process, if it wrote its number.
        pid: Option<u32>,
    },
    /// The file system refused.
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Its reason.
        error: std::io::Error,
    },
    /// The rows were written by a build with another format.
    Format {
        /// The store's directory.
        dir: PathBuf,
        /// The format of the rows.
        found: u32,
        /// The only format that this build knows.
        expected: u32,
    },
    /// There are rows, but not the one that says what they are.
    NotAStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The map may not be larger than `max`, yet the file already is.
    MapTooSmall {
        /// The configured ceiling.
        max: u64,
        /// Bytes already in use.
        used: u64,
    },
    /// The database library refused.
    Database {
        /// The store's directory.
        dir: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// A row of the store itself does not read back.
    Read(ReadError),
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> OpenError {
        let path = path.into();
        move |error| OpenError::Io { action, path, error }
    }

    pub(crate) fn env(dir: impl Into<PathBuf>) -> impl FnOnce(EnvError) -> OpenError {
        let dir = dir.into();
        move |error| match error.is_foreign() {
            true => OpenError::NotAStore { dir },
            false => OpenError::Database { dir, reason: error.to_string() },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { dir, pid: Some(pid) } => write!(
                f,
                "the store in {} is in use by process {pid}: two daemons on one store would lose money; stop that \
                 process first, or give this one another data directory",
                dir.display()
            ),
            OpenError::InUse { dir, pid: None } => write!(
                f,
                "the store in {} is in use by another process: stop it first, or use another data directory",
                dir.display()
            ),
            OpenError::Io { action, path, error } => write!(f, "cannot {action} {}: {error}", path.display()),
            OpenError::Format { dir, found, expected } => write!(
                f,
                "the store in {} has format {found}, this build reads format {expected}: run the build that wrote it, \
                 or a later one that knows how to convert it",
                dir.display()
            ),
            OpenError::NotAStore { dir } => write!(
                f,
                "{} holds a database that is not a store of this program: check the configured data directory",
                dir.display()
            ),
            OpenError::MapTooSmall { max, used } => write!(
                f,
                "the store uses {used} bytes but the configured limit is {max}: raise the limit of the store's size"
            ),
            OpenError::Database { dir, reason } => write!(f, "the database in {} refuses: {reason}", dir.display()),
            OpenError::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why rows could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The checksum of a row does not fit its bytes.
    Corrupt {
        /// The row's table.
        table: u8,
        /// The row's key.
        key: Vec<u8>,
    },
    /// The database library refused.
    Database {
        /// Its reason.
        reason: String,
    },
}

impl From<EnvError> for ReadError {
    fn from(error: EnvError) -> ReadError {
        ReadError::Database { reason: error.to_string() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Corrupt { table, key } => {
                write!(f, "the row {} of table {table} is damaged: ", Hex(key))?;
                write!(
                    f,
                    "its checksum does not fit. The disk or the memory of this machine is at fault. Keep a copy of the \
                     directory as it is, check the disk, and do not put an older copy back: its channel states would \
                     be out of date"
                )
            }
            ReadError::Database { reason } => write!(f, "the database does not read: {reason}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> OpenError {
        OpenError::Read(error)
    }
}

/// A turn's rows could not be made durable. The process must end: nothing of the turn may leave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The map has no page left. Headroom is looked at before a turn so that this does not happen.
    MapFull {
        /// Its size.
        map_bytes: u64,
    },
    /// The operating system refused to write, for instance because the disk is full.
    Io {
        /// Its error number.
        code: i32,
        /// Its reason.
        reason: String,
    },
    /// The database library refused.
    Database {
        /// Its reason.
        reason: String,
    },
}

impl Fatal {
    pub(crate) fn env(error: EnvError, map_bytes: u64) -> Fatal {
        match error.os_code() {
            _ if error.is_map_full() => Fatal::MapFull { map_bytes },
            Some(code) => Fatal::Io { code, reason: error.to_string() },
            None => Fatal::Database { reason: error.to_string() },
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fatal::MapFull { map_bytes } => {
                write!(f, "the store is full at {map_bytes} bytes: raise the limit of the store's size and restart")
            }
            Fatal::Io { reason, .. } => {
                write!(f, "the store cannot be written: {reason}. Make room or repair the disk, then restart")
            }
            Fatal::Database { reason } => write!(f, "the store cannot be written: {reason}"),
        }
    }
}

impl std::error::Error for Fatal {}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
