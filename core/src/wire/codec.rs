//! Reading and writing the fundamental types of BOLT 1, without an allocation on either side.

use bitcoin::Txid;
use bitcoin::hashes::Hash;

use crate::amount::{Msat, Sat};
use crate::ids::{ChainHash, ChannelId, CommitmentSecret, NodeId, PaymentHash, Point, Preimage, ShortChannelId, Sig};

/// The bytes end within a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eof;

/// The caller's buffer cannot take the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Reads from the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Is everything read?
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Eof> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Eof)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Eof> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Eof)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next field.
    pub fn read<T: Field<'a>>(&mut self) -> Result<T, Eof> {
        T::read(self)
    }
}

/// Writes into a caller's buffer.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// From the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// How much is written.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Writes bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at + bytes.len();
        self.bytes.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }
}

/// A value with a fixed form on the wire.
pub trait Field<'a>: Sized {
    /// Reads one.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Eof>;
    /// Writes one.
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full>;
    /// How many bytes that takes.
    fn size(&self) -> usize;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Field<'_> for $number {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Eof> {
                reader.array().map(|bytes| <$number>::from_be_bytes(*bytes))
            }
            fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                out.put(&self.to_be_bytes())
            }
            fn size(&self) -> usize {
                size_of::<$number>()
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! wrapped {
    ($($name:ident($inner:ty))*) => {$(
        impl Field<'_> for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Eof> {
                <$inner>::read(reader).map($name)
            }
            fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                self.0.write(out)
            }
            fn size(&self) -> usize {
                self.0.size()
            }
        }
    )*};
}
wrapped!(Sat(u64) Msat(u64) ShortChannelId(u64));
wrapped!(ChannelId([u8; 32]) PaymentHash([u8; 32]) Preimage([u8; 32]) ChainHash([u8; 32]) CommitmentSecret([u8; 32]));
wrapped!(Point([u8; 33]) NodeId([u8; 33]) Sig([u8; 64]));

impl<const N: usize> Field<'_> for [u8; N] {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Eof> {
        reader.array().copied()
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        out.put(self)
    }
    fn size(&self) -> usize {
        N
    }
}

impl<'a, const N: usize> Field<'a> for &'a [u8; N] {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Eof> {
        reader.array()
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        out.put(&self[..])
    }
    fn size(&self) -> usize {
        N
    }
}

impl Field<'_> for Txid {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Eof> {
        reader.array().map(|bytes| Txid::from_byte_array(*bytes))
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        out.put(&self.to_byte_array())
    }
    fn size(&self) -> usize {
        32
    }
}

/// A byte string with its length, a `u16`, in front. A longer one cannot be written.
impl<'a> Field<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Eof> {
        let len = u16::read(reader)?;
        reader.take(usize::from(len))
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        u16::try_from(self.len()).map_err(|_| Full)?.write(out)?;
        out.put(self)
    }
    fn size(&self) -> usize {
        2 + self.len()
    }
}

/// BOLT 1's variable-length integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigSize(pub u64);

/// Why bytes are no BigSize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BigSizeError {
    /// No bytes at all.
    Empty,
    /// The bytes end within it.
    Truncated,
    /// It would have fitted into fewer bytes.
    NotMinimal,
}

impl BigSize {
    /// Reads one, which must have the shortest form.
    pub fn read(reader: &mut Reader<'_>) -> Result<BigSize, BigSizeError> {
        let first: u8 = reader.read().map_err(|Eof| BigSizeError::Empty)?;
        let cut = |Eof| BigSizeError::Truncated;
        let (value, minimum) = match first {
            0xff => (reader.read::<u64>().map_err(cut)?, 0x1_0000_0000),
            0xfe => (u64::from(reader.read::<u32>().map_err(cut)?), 0x1_0000),
            0xfd => (u64::from(reader.read::<u16>().map_err(cut)?), 0xfd),
            value => (u64::from(value), 0),
        };
        if value < minimum { Err(BigSizeError::NotMinimal) } else { Ok(BigSize(value)) }
    }

    /// Writes it.
    pub fn write(self, out: &mut Cursor<'_>) -> Result<(), Full> {
        match self.0 {
            value @ 0..=0xfc => (value as u8).write(out),
            value @ 0xfd..=0xffff => out.put(&[0xfd]).and_then(|()| (value as u16).write(out)),
            value @ 0x1_0000..=0xffff_ffff => out.put(&[0xfe]).and_then(|()| (value as u32).write(out)),
            value => out.put(&[0xff]).and_then(|()| value.write(out)),
        }
    }

    /// Appends it.
    pub fn push(self, out: &mut Vec<u8>) {
        let mut bytes = [0; 9];
        let mut cursor = Cursor::new(&mut bytes);
        self.write(&mut cursor).expect("nine bytes hold any");
        let len = cursor.position();
        out.extend_from_slice(&bytes[..len]);
    }

    /// Takes one off the front of `bytes`: its value, and what follows.
    pub fn split(bytes: &[u8]) -> Result<(u64, &[u8]), BigSizeError> {
        let mut reader = Reader::new(bytes);
        let BigSize(value) = BigSize::read(&mut reader)?;
        Ok((value, reader.rest()))
    }

    /// How many bytes that takes.
    pub fn size(self) -> usize {
        match self.0 {
            0..=0xfc => 1,
            0xfd..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        }
    }
}

/// The bytes of a number, of which `tu64` leaves out the leading zeros: it fills its TLV record.
pub fn truncated(bytes: &[u8; 8]) -> &[u8] {
    &bytes[u64::from_be_bytes(*bytes).leading_zeros() as usize / 8..]
}

/// Reads a whole record as a `tu16`, `tu32` or `tu64`, by `size_max`.
pub fn read_truncated(bytes: &[u8], size_max: usize) -> Option<u64> {
    if bytes.len() > size_max || bytes.first() == Some(&0) {
        return None;
    }
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Reads a whole record as a `tu64`.
pub fn read_tu64(bytes: &[u8]) -> Option<u64> {
    read_truncated(bytes, 8)
}

/// Reads a whole record as a `tu32`.
pub fn read_tu32(bytes: &[u8]) -> Option<u32> {
    read_truncated(bytes, 4).map(|value| value as u32)
}
