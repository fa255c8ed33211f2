//! TLV records inside payloads (BOLT 1, type-length-value format): bigsizes, truncated integers, a strict reader.

/// How many bytes a bigsize takes.
pub fn bigsize_len(value: u64) -> usize {
    match value {
        0..0xfd => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Writes a bigsize to the front of `out`, which must have room, and returns its length.
pub fn write_bigsize(out: &mut [u8], value: u64) -> usize {
    let len = bigsize_len(value);
    let bytes = value.to_be_bytes();
    match len {
        1 => out[0] = bytes[7],
        _ => {
            out[0] = match len {
                3 => 0xfd,
                5 => 0xfe,
                _ => 0xff,
            };
            out[1..len].copy_from_slice(&bytes[8 - (len - 1)..]);
        }
    }
    len
}

/// Appends a bigsize.
pub fn push_bigsize(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 9];
    let len = write_bigsize(&mut bytes, value);
    out.extend_from_slice(&bytes[..len]);
}

/// Reads a minimal bigsize from the front: the value and its length.
pub fn read_bigsize(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => return Some((u64::from(small), 1)),
    };
    let value = be_u64(rest.get(..width)?);
    (bigsize_len(value) == width + 1).then_some((value, width + 1))
}

/// A big-endian number of at most 8 bytes.
fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Reads a truncated integer (`tu64`): at most 8 bytes, no leading zero.
pub fn read_tu64(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8 && bytes.first() != Some(&0)).then(|| be_u64(bytes))
}

/// Reads a truncated `tu32`.
pub fn read_tu32(bytes: &[u8]) -> Option<u32> {
    read_tu64(bytes).and_then(|value| u32::try_from(value).ok())
}

/// The significant bytes of a number, as a `tu64` carries it.
pub fn tu64(bytes: &[u8; 8]) -> &[u8] {
    &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(8)..]
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its type; even ones must be understood.
    pub kind: u64,
    /// Where it begins in the stream.
    pub offset: usize,
    /// Its value.
    pub value: &'a [u8],
}

/// A stream that breaks the rules of BOLT 1: not minimal, not ascending, or running past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Type of the record at fault; zero when not even that could be read.
    pub kind: u64,
    /// Where it begins.
    pub offset: usize,
}

/// Reads a stream strictly: types ascend, lengths stay inside. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    stream: &'a [u8],
    offset: usize,
    /// The smallest type that may follow; `None` after the largest there is.
    next_kind: Option<u64>,
}

impl<'a> Records<'a> {
    /// The records of a stream.
    pub fn new(stream: &'a [u8]) -> Records<'a> {
        Records { stream, offset: 0, next_kind: Some(0) }
    }

    fn read(&mut self) -> Result<Record<'a>, Malformed> {
        let offset = self.offset;
        let rest = &self.stream[offset..];
        let (kind, kind_len) = read_bigsize(rest).ok_or(Malformed { kind: 0, offset })?;
        let malformed = Malformed { kind, offset };
        if self.next_kind.is_none_or(|next| kind < next) {
            return Err(malformed);
        }
        let rest = &rest[kind_len..];
        let (len, len_len) = read_bigsize(rest).ok_or(malformed)?;
        let rest = &rest[len_len..];
        let len = usize::try_from(len).ok().filter(|len| *len <= rest.len()).ok_or(malformed)?;
        self.offset += kind_len + len_len + len;
        self.next_kind = kind.checked_add(1);
        Ok(Record { kind, offset, value: &rest[..len] })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;
    fn next(&mut self) -> Option<Result<Record<'a>, Malformed>> {
        if self.offset >= self.stream.len() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.offset = self.stream.len();
        }
        Some(record)
    }
}

/// Appends a record.
pub fn push_record(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    push_bigsize(out, kind);
    push_bigsize(out, value.len() as u64);
    out.extend_from_slice(value);
}
