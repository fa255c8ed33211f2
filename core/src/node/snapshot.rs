//! The whole node in bytes, volatile state included: where a recording begins.
//!
//! Unlike rows, a snapshot is read by the build that wrote it: it follows the structs of this build and has one
//! version. The signer is no part of it, so there is no key in it; but whatever the node remembers of the signer's
//! answers is, so that a node that was thawed goes on to ask what the original asks.

use bincode::config::standard;

use super::Node;
use crate::store::encode_into;

/// The shape of snapshots. It changes with every change of the node's structs that would read old bytes wrongly.
const VERSION: u8 = 1;
/// Version byte and checksum.
const HEADER_SIZE: usize = 5;
/// No snapshot claims more memory than this.
const MEMORY_MAX: usize = 1 << 30;

/// Why a snapshot cannot be thawed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThawError {
    /// Not even a header.
    Truncated {
        /// How many bytes there are.
        len: usize,
    },
    /// Written by another build.
    UnknownVersion {
        /// The version it claims.
        version: u8,
    },
    /// Damaged.
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        actual: u32,
    },
    /// Whole, and yet no node of this build.
    Malformed {
        /// What the decoder says.
        detail: String,
    },
}

impl std::fmt::Display for ThawError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ThawError::Truncated { len } => {
                write!(f, "a snapshot of {len} bytes; its header alone takes {HEADER_SIZE}")
            }
            ThawError::UnknownVersion { version } => {
                write!(f, "a snapshot of version {version}; this build reads version {VERSION}")
            }
            ThawError::Checksum { expected, actual } => {
                write!(f, "a damaged snapshot: its checksum is {actual:08x}, not {expected:08x}")
            }
            ThawError::Malformed { detail } => write!(f, "a snapshot that this build cannot read: {detail}"),
        }
    }
}

impl std::error::Error for ThawError {}

impl Node {
    /// Appends the whole node. To be called between two steps.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        assert!(self.effects.is_empty(), "between two steps no effect waits");
        let start = out.len();
        out.push(VERSION);
        out.extend_from_slice(&[0; 4]);
        encode_into(self, out);
        let checksum = checksum(VERSION, &out[start + HEADER_SIZE..]);
        out[start + 1..start + HEADER_SIZE].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The node of a snapshot: it does with every later event what the original would do.
    pub fn thaw(bytes: &[u8]) -> Result<Node, ThawError> {
        let truncated = ThawError::Truncated { len: bytes.len() };
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_SIZE>() else { return Err(truncated) };
        let [version, expected @ ..] = *header;
        let (expected, actual) = (u32::from_le_bytes(expected), checksum(version, body));
        if expected != actual {
            return Err(ThawError::Checksum { expected, actual });
        }
        if version != VERSION {
            return Err(ThawError::UnknownVersion { version });
        }
        let malformed = |detail: String| ThawError::Malformed { detail };
        let config = standard().with_limit::<MEMORY_MAX>();
        let (node, used) =
            bincode::decode_from_slice::<Node, _>(body, config).map_err(|error| malformed(error.to_string()))?;
        if used != body.len() {
            return Err(malformed(format!("{} bytes too many", body.len() - used)));
        }
        Ok(node)
    }
}

/// Over the version byte as well: a flipped one is damage, not another build.
fn checksum(version: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), body)
}
