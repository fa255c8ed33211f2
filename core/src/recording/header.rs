//! What a segment says of itself.

use std::fmt;

use super::bytes::{Reader, put_bytes, put_u64};
use super::digest::Digester;
use super::frame::{self, Kind, MAGIC};
use super::{BUILD_ID, FORMAT_VERSION, Malformed};
use crate::clock::{Clock, Mono, Wall};
use crate::config::{Config, Network};
use crate::ids::NodeId;
use crate::store::encode_into;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The source that decided: [`BUILD_ID`] of the writer.
    pub build: String,
    /// The chain.
    pub network: Network,
    /// Whose recording it is.
    pub node_id: NodeId,
    /// Of the operator's settings: see [`config_hash`].
    pub config_hash: u64,
    /// Names the run among those of this node: when the process started.
    pub run: Wall,
    /// Which segment of its run, from 0.
    pub sequence: u32,
    /// The number of its first turn within the run.
    pub first_turn: u64,
    /// When the segment begins.
    pub clock: Clock,
}

/// Why a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// It is no recording.
    NoRecording,
    /// Another format.
    Version {
        /// Which.
        found: u16,
    },
    /// Damaged.
    Malformed(Malformed),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::NoRecording => f.write_str("this is no recording"),
            HeaderError::Version { found } => {
                write!(
                    f,
                    "a recording of format {found}; this build reads format {FORMAT_VERSION}: use the build that wrote it"
                )
            }
            HeaderError::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl std::error::Error for HeaderError {}

impl From<Malformed> for HeaderError {
    fn from(malformed: Malformed) -> HeaderError {
        HeaderError::Malformed(malformed)
    }
}

/// Names an operator's settings.
pub fn config_hash(config: &Config) -> u64 {
    let mut bytes = Vec::new();
    encode_into(config, &mut bytes);
    let mut digester = Digester::default();
    digester.bytes(&bytes);
    digester.finish()
}

impl Header {
    /// Was it written by the source that this build decides by? Only then a replay must agree.
    pub fn is_of_this_build(&self) -> bool {
        self.build == BUILD_ID
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = frame::begin(Kind::Header, out);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        put_bytes(self.build.as_bytes(), out);
        put_bytes(self.network.name().as_bytes(), out);
        out.extend_from_slice(&self.node_id.0);
        out.extend_from_slice(&self.config_hash.to_le_bytes());
        put_u64(self.run.0, out);
        put_u64(u64::from(self.sequence), out);
        put_u64(self.first_turn, out);
        put_u64(self.clock.mono.0, out);
        put_u64(self.clock.wall.0, out);
        frame::end(start, out);
    }

    /// Reads the body of a header frame.
    pub fn decode(body: &[u8]) -> Result<Header, HeaderError> {
        let mut reader = Reader(body);
        if !matches!(reader.array::<8>(), Ok(magic) if magic == *MAGIC) {
            return Err(HeaderError::NoRecording);
        }
        let found = u16::from_le_bytes(reader.array()?);
        if found != FORMAT_VERSION {
            return Err(HeaderError::Version { found });
        }
        let header = Header {
            build: reader.text()?.to_owned(),
            network: Network::from_name(reader.text()?).ok_or(Malformed { expected: "name of a network" })?,
            node_id: NodeId(reader.array()?),
            config_hash: u64::from_le_bytes(reader.array()?),
            run: Wall(reader.u64()?),
            sequence: reader.u32()?,
            first_turn: reader.u64()?,
            clock: Clock { mono: Mono(reader.u64()?), wall: Wall(reader.u64()?) },
        };
        if reader.is_empty() { Ok(header) } else { Err(Malformed { expected: "end of the header" }.into()) }
    }
}
