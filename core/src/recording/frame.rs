//! Frames: a kind, a length, the bytes, a checksum. A flipped bit or a missing end is found before anything is decoded.

/// The first bytes of each header, whatever its version.
pub(super) const MAGIC: &[u8; 8] = b"LEYDNREC";

/// Kind and length before the bytes.
const HEAD_SIZE: usize = 5;
/// The checksum behind them.
const TAIL_SIZE: usize = 4;

const HEADER: u8 = 1;
const SNAPSHOT: u8 = 2;
const TURN: u8 = 3;

/// What a recording is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A segment begins: see [`super::Header::decode`].
    Header(&'a [u8]),
    /// The node as it was before the next turn.
    Snapshot(&'a [u8]),
    /// A turn: see [`super::RecordedTurn::decode`].
    Turn(&'a [u8]),
}

/// The kinds, for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Snapshot,
    Turn,
}

/// Begins a frame; [`end`] needs what it returns.
pub(super) fn begin(kind: Kind, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.push(match kind {
        Kind::Header => HEADER,
        Kind::Snapshot => SNAPSHOT,
        Kind::Turn => TURN,
    });
    out.extend_from_slice(&[0; 4]);
    start
}

/// Ends the frame that began at `start`.
pub(super) fn end(start: usize, out: &mut Vec<u8>) {
    let len = u32::try_from(out.len() - start - HEAD_SIZE).expect("no frame holds 4 GiB");
    out[start + 1..start + HEAD_SIZE].copy_from_slice(&len.to_le_bytes());
    let checksum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// What is wrong with a recording, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// How many bytes lie before the damaged frame.
    pub at: usize,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The end of a frame is missing.
    Truncated {
        /// How many bytes are there.
        present: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The checksum does not fit.
    Checksum,
    /// A kind of frame that nobody wrote.
    Kind(u8),
    /// The checksum fits, but the bytes make no sense to this build.
    Malformed(super::Malformed),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match self.kind {
            DamageKind::Truncated { present, expected } => {
                write!(f, "the recording is cut off: {present} of a frame's {expected} bytes are there")
            }
            DamageKind::Checksum => f.write_str("the checksum does not fit: some bits were flipped"),
            DamageKind::Kind(kind) => write!(f, "no frame of the kind {kind} is known"),
            DamageKind::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl std::error::Error for Damage {}

/// Reads the frames of a file, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct FrameReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> FrameReader<'a> {
    /// Reads from the beginning of a file.
    pub fn new(bytes: &'a [u8]) -> FrameReader<'a> {
        FrameReader { bytes, at: 0 }
    }

    /// Where the next frame begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next frame; `None` at the end. After damage the reader stays where it is.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, Damage> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let damage = |kind| Damage { at: self.at, kind };
        let truncated = |expected| damage(DamageKind::Truncated { present: rest.len(), expected });
        let kind = rest[0];
        if !(HEADER..=TURN).contains(&kind) {
            return Err(damage(DamageKind::Kind(kind)));
        }
        let Some(len) = rest.get(1..HEAD_SIZE) else { return Err(truncated(HEAD_SIZE + TAIL_SIZE)) };
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        let (end, expected) = (HEAD_SIZE + len, HEAD_SIZE + len + TAIL_SIZE);
        let Some(checksum) = rest.get(end..expected) else { return Err(truncated(expected)) };
        if crc32c::crc32c(&rest[..end]).to_le_bytes() != checksum {
            return Err(damage(DamageKind::Checksum));
        }
        self.at += expected;
        let body = &rest[HEAD_SIZE..end];
        Ok(Some(match kind {
            HEADER => Frame::Header(body),
            SNAPSHOT => Frame::Snapshot(body),
            _ => Frame::Turn(body),
        }))
    }

    /// Goes on to the next whole header behind damage: false if there is none.
    pub fn skip_to_header(&mut self) -> bool {
        let mut at = self.at + 1;
        while let Some(rest) = self.bytes.get(at..) {
            let Some(found) = rest.windows(MAGIC.len()).position(|window| window == MAGIC) else { return false };
            if let Some(start) = (at + found).checked_sub(HEAD_SIZE) {
                let mut reader = FrameReader { bytes: self.bytes, at: start };
                if start > self.at && matches!(reader.next_frame(), Ok(Some(Frame::Header(_)))) {
                    self.at = start;
                    return true;
                }
            }
            at += found + 1;
        }
        false
    }
}
