//! The chain's blocks on disk: one file that only ever grows, each block with its length and a checksum.
//!
//! A block of a branch that lost stays in the file; reading them all in order ends at the same tip again.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bitcoin::Block;
use bitcoin::consensus::{deserialize, serialize};

/// What the file begins with; the format's number follows.
const MAGIC: &[u8; 12] = b"leydenblocks";
const FORMAT: u32 = 1;
const HEADER_SIZE: usize = MAGIC.len() + 4;
/// Length and CRC-32C of a block, before it.
const FRAME_SIZE: usize = 8;

/// Why a chain's file cannot be used. What the people see says what would help.
#[derive(Debug)]
pub enum OpenError {
    /// The system says no.
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// Another process has it.
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    NoChain {
        /// The file.
        path: PathBuf,
    },
    /// Another version wrote it.
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number there.
        found: u32,
    },
    /// A block does not follow from those before it.
    Block {
        /// The file.
        path: PathBuf,
        /// Which, from one.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io { path, error } => write!(f, "cannot use the chain's file {}: {error}", path.display()),
            OpenError::Locked { path } => write!(
                f,
                "the chain's file {} is in use: another leydend runs there; stop it, or choose another folder",
                path.display()
            ),
            OpenError::NoChain { path } => write!(
                f,
                "{} is not a file of an embedded chain; move it away, or choose another folder",
                path.display()
            ),
            OpenError::Format { path, found } => write!(
                f,
                "the chain's file {} has format {found}, this leydend reads {FORMAT}: use the version that wrote it, or \
                 begin with an empty folder",
                path.display()
            ),
            OpenError::Block { path, number, reason } => write!(
                f,
                "block {number} in the chain's file {} is not valid: {reason}; begin with an empty folder",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// The file, open at its end and locked.
#[derive(Debug)]
pub(super) struct BlockFile {
    file: File,
    len: u64,
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: BlockFile,
    /// In the order in which they were written.
    pub(super) blocks: Vec<Block>,
    /// Bytes at the end that were no whole block, and are gone.
    pub(super) bytes_cut: u64,
}

impl BlockFile {
    /// Opens or makes the file, and reads it. A write that was torn by a crash is cut off.
    pub(super) fn open(path: &Path) -> Result<Found, OpenError> {
        let io = |error| OpenError::Io { path: path.to_path_buf(), error };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;

        let header = header();
        let (mut blocks, mut good) = (Vec::new(), HEADER_SIZE);
        if bytes.len() < HEADER_SIZE && header.starts_with(&bytes) {
            // New, or a crash came while it was made.
            good = 0;
        } else if !bytes.starts_with(MAGIC) || bytes.len() < HEADER_SIZE {
            return Err(OpenError::NoChain { path: path.to_path_buf() });
        } else if !bytes.starts_with(&header) {
            let found = u32_at(&bytes, MAGIC.len());
            return Err(OpenError::Format { path: path.to_path_buf(), found });
        } else {
            while let Some((block, size)) = next_block(&bytes[good..]) {
                blocks.push(block);
                good += size;
            }
        }
        let bytes_cut = (bytes.len() - good) as u64;
        let mut file = BlockFile { file, len: good as u64 };
        file.cut().map_err(io)?;
        if good == 0 {
            file.write(&header).map_err(io)?;
            // The file's name shall last as long as its bytes.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(Found { file, blocks, bytes_cut: if good == 0 { 0 } else { bytes_cut } })
    }

    /// Adds blocks, durably or not at all.
    pub(super) fn append<'b>(&mut self, blocks: impl IntoIterator<Item = &'b Block>) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for block in blocks {
            let block = serialize(block);
            let len = u32::try_from(block.len()).expect("a block has a few megabytes at most");
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(&block).to_le_bytes());
            bytes.extend_from_slice(&block);
        }
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.len += bytes.len() as u64,
            // Half a block would hide those behind it.
            Err(_) => self.cut()?,
        }
        written
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len)).map(|_| ())
    }
}

fn header() -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(&FORMAT.to_le_bytes());
    header
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

/// The next block and how many bytes it takes, if it is whole.
fn next_block(bytes: &[u8]) -> Option<(Block, usize)> {
    if bytes.len() < FRAME_SIZE {
        return None;
    }
    let size = FRAME_SIZE.checked_add(u32_at(bytes, 0) as usize)?;
    let block = bytes.get(FRAME_SIZE..size)?;
    if crc32c::crc32c(block) != u32_at(bytes, 4) {
        return None;
    }
    Some((deserialize(block).ok()?, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::Network;
    use bitcoin::constants::genesis_block;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Temp {
            let path = std::env::temp_dir().join(format!("leyden-blocks-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Temp(path)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Blocks that differ; the file does not look into them.
    fn blocks() -> [Block; 3] {
        [Network::Regtest, Network::Signet, Network::Bitcoin].map(genesis_block)
    }

    #[test]
    fn what_was_written_is_read_again_and_a_torn_tail_is_cut() {
        let temp = Temp::new("torn");
        let [one, two, three] = blocks();
        let mut found = BlockFile::open(&temp.0).expect("a new file");
        assert!(found.blocks.is_empty());
        found.file.append([&one, &two]).expect("written");
        drop(found);
        let whole = std::fs::read(&temp.0).expect("ours");
        let second_at = whole.len() - FRAME_SIZE - serialize(&two).len();
        for end in 0..whole.len() {
            std::fs::write(&temp.0, &whole[..end]).expect("ours");
            let mut found = BlockFile::open(&temp.0).expect("a torn file is of use");
            let expected = usize::from(end >= second_at);
            assert_eq!(found.blocks.len(), expected, "of {end} bytes");
            found.file.append([&three]).expect("written");
            drop(found);
            let found = BlockFile::open(&temp.0).expect("whole again");
            assert_eq!((found.blocks.len(), found.bytes_cut), (expected + 1, 0));
            assert_eq!(found.blocks.last(), Some(&three));
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        std::fs::write(&temp.0, &flipped).expect("ours");
        let found = BlockFile::open(&temp.0).expect("a damaged block is cut");
        assert_eq!((found.blocks, found.bytes_cut), (vec![one], (whole.len() - second_at) as u64));
    }

    #[test]
    fn other_files_other_formats_and_a_file_in_use_are_left_alone() {
        let temp = Temp::new("other");
        std::fs::write(&temp.0, b"a letter to my aunt").expect("ours");
        assert!(matches!(BlockFile::open(&temp.0), Err(OpenError::NoChain { .. })));
        assert_eq!(std::fs::read(&temp.0).expect("ours"), b"a letter to my aunt");
        std::fs::write(&temp.0, b"leydenblocks\x02\0\0\0and so on").expect("ours");
        assert!(matches!(BlockFile::open(&temp.0), Err(OpenError::Format { found: 2, .. })));
        std::fs::remove_file(&temp.0).expect("ours");
        let held = BlockFile::open(&temp.0).expect("a new file");
        assert!(matches!(BlockFile::open(&temp.0), Err(OpenError::Locked { .. })));
        drop(held);
        BlockFile::open(&temp.0).expect("it is free");
        assert!(matches!(BlockFile::open(Path::new("/nowhere/at/all")), Err(OpenError::Io { .. })));
    }
}
