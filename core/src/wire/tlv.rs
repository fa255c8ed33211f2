//! TLV streams (BOLT 1, type-length-value format): read in place, with all the checks that make them canonical.

use super::codec::{BigSize, BigSizeError, Cursor, Full, Reader};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its type.
    pub kind: u64,
    /// Its value.
    pub value: &'a [u8],
    /// Where in the stream its type begins.
    pub offset: usize,
}

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvError {
    /// A type or length that is no BigSize, or not the shortest form of one.
    BigSize {
        /// What is wrong with it.
        error: BigSizeError,
        /// The record's type; 0 when not even that could be read.
        kind: u64,
        /// Where in the stream it begins.
        offset: usize,
    },
    /// A value longer than the stream.
    Truncated {
        /// The record's type.
        kind: u64,
        /// Where in the stream it begins.
        offset: usize,
    },
    /// A type that is not above the one before it.
    Order {
        /// The record's type.
        kind: u64,
        /// Where in the stream it begins.
        offset: usize,
    },
    /// An even type that is not known here.
    UnknownEven {
        /// The record's type.
        kind: u64,
        /// Where in the stream it begins.
        offset: usize,
    },
    /// A value that does not have its type's form.
    BadValue {
        /// The record's type.
        kind: u64,
        /// Where in the stream it begins.
        offset: usize,
    },
}

impl TlvError {
    /// Type and offset of the record at fault, as `invalid_onion_payload` tells them.
    pub fn place(&self) -> (u64, usize) {
        match *self {
            TlvError::BigSize { kind, offset, .. }
            | TlvError::Truncated { kind, offset }
            | TlvError::Order { kind, offset }
            | TlvError::UnknownEven { kind, offset }
            | TlvError::BadValue { kind, offset } => (kind, offset),
        }
    }
}

impl std::fmt::Display for TlvError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlvError::BigSize { error, .. } => write!(f, "a TLV type or length is malformed ({error:?})"),
            TlvError::Truncated { kind, .. } => write!(f, "TLV record {kind} is longer than its stream"),
            TlvError::Order { kind, .. } => write!(f, "TLV record {kind} is out of order"),
            TlvError::UnknownEven { kind, .. } => write!(f, "TLV record {kind} is even and not known"),
            TlvError::BadValue { kind, .. } => write!(f, "TLV record {kind} has a malformed value"),
        }
    }
}

/// Reads records one after the other; ends after the first error.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    reader: Reader<'a>,
    len: usize,
    last: Option<u64>,
    failed: bool,
}

impl<'a> Stream<'a> {
    /// A stream that fills `bytes`.
    pub fn new(bytes: &'a [u8]) -> Stream<'a> {
        Stream { reader: Reader::new(bytes), len: bytes.len(), last: None, failed: false }
    }

    fn record(&mut self) -> Result<Record<'a>, TlvError> {
        let offset = self.len - self.reader.rest().len();
        let bad_size = |kind| move |error| TlvError::BigSize { error, kind, offset };
        let BigSize(kind) = BigSize::read(&mut self.reader).map_err(bad_size(0))?;
        if self.last.is_some_and(|last| kind <= last) {
            return Err(TlvError::Order { kind, offset });
        }
        self.last = Some(kind);
        let BigSize(len) = BigSize::read(&mut self.reader).map_err(bad_size(kind))?;
        let truncated = TlvError::Truncated { kind, offset };
        let len = usize::try_from(len).map_err(|_| truncated)?;
        let value = self.reader.take(len).map_err(|_| truncated)?;
        Ok(Record { kind, value, offset })
    }
}

impl<'a> Iterator for Stream<'a> {
    type Item = Result<Record<'a>, TlvError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let record = self.record();
        self.failed = record.is_err();
        Some(record)
    }
}

/// Checks a stream of which no type is known: unknown odd records are ignored, unknown even ones are an error.
pub fn check_unknown(bytes: &[u8]) -> Result<(), TlvError> {
    for record in Stream::new(bytes) {
        let Record { kind, offset, .. } = record?;
        if kind % 2 == 0 {
            return Err(TlvError::UnknownEven { kind, offset });
        }
    }
    Ok(())
}

/// Writes one record; the caller keeps the order.
pub fn write_record(kind: u64, value: &[u8], out: &mut Cursor<'_>) -> Result<(), Full> {
    write_head(kind, value.len(), out)?;
    out.put(value)
}

/// Appends one record; the caller keeps the order.
pub fn push_record(kind: u64, value: &[u8], out: &mut Vec<u8>) {
    BigSize(kind).push(out);
    BigSize(value.len() as u64).push(out);
    out.extend_from_slice(value);
}

/// Writes type and length of a record whose value follows.
pub fn write_head(kind: u64, len: usize, out: &mut Cursor<'_>) -> Result<(), Full> {
    BigSize(kind).write(out)?;
    BigSize(len as u64).write(out)
}

/// How many bytes a record with such a value takes.
pub fn record_size(kind: u64, value_len: usize) -> usize {
    BigSize(kind).size() + BigSize(value_len as u64).size() + value_len
}
