//! The arrays in gossip queries (BOLT 7, query messages): short channel ids, and what belongs to each of them.

use std::marker::PhantomData;

use super::codec::{BigSize, Cursor, Field, Full, Reader};
use super::message::{QueryShortChannelIds, ReplyChannelRange, Rest};
use crate::ids::ShortChannelId;

/// The only encoding that may be used: one item after the other.
const UNCOMPRESSED: u8 = 0;
/// The encoding that BOLT 7 forbids: a few bytes could blow up to a great many.
const ZLIB: u8 = 1;

/// Why an array is not taken: a warning, and the connection may be closed (BOLT 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// Not even an encoding type.
    NoEncoding,
    /// Encoding type 1, which must not be used any more.
    Zlib,
    /// An encoding type that is not known.
    UnknownEncoding {
        /// The type.
        encoding: u8,
    },
    /// The bytes end within an item.
    Partial {
        /// How many bytes the items take.
        bytes: usize,
    },
    /// An id that is not above the one before it.
    Order {
        /// Which, counted from 0.
        index: usize,
    },
    /// Not one item for each short channel id.
    Count {
        /// How many ids.
        ids: usize,
        /// How many items.
        items: usize,
    },
    /// A flag that is no BigSize in its shortest form.
    BadFlag {
        /// Which, counted from 0.
        index: usize,
    },
}

impl std::fmt::Display for ArrayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ArrayError::NoEncoding => f.write_str("an array without encoding type"),
            ArrayError::Zlib => f.write_str("an array in zlib encoding, which must not be used"),
            ArrayError::UnknownEncoding { encoding } => write!(f, "an array of unknown encoding type {encoding}"),
            ArrayError::Partial { bytes } => write!(f, "an array of {bytes} bytes, which ends within an item"),
            ArrayError::Order { index } => write!(f, "short channel id {index} is not above the one before it"),
            ArrayError::Count { ids, items } => write!(f, "{items} items for {ids} short channel ids"),
            ArrayError::BadFlag { index } => write!(f, "query flag {index} is malformed"),
        }
    }
}

impl std::error::Error for ArrayError {}

/// Takes off the encoding type.
fn uncompressed(bytes: &[u8]) -> Result<&[u8], ArrayError> {
    match bytes.split_first() {
        Some((&UNCOMPRESSED, items)) => Ok(items),
        Some((&ZLIB, _)) => Err(ArrayError::Zlib),
        Some((&encoding, _)) => Err(ArrayError::UnknownEncoding { encoding }),
        None => Err(ArrayError::NoEncoding),
    }
}

/// Items of one size in a row, in the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a, T> {
    bytes: &'a [u8],
    item: PhantomData<T>,
}

impl<'a, T: Field<'a> + Default> Array<'a, T> {
    fn new(bytes: &'a [u8]) -> Result<Array<'a, T>, ArrayError> {
        if !bytes.len().is_multiple_of(T::default().size()) {
            return Err(ArrayError::Partial { bytes: bytes.len() });
        }
        Ok(Array { bytes, item: PhantomData })
    }

    fn for_each_id(bytes: &'a [u8], ids: &Array<'a, ShortChannelId>) -> Result<Array<'a, T>, ArrayError> {
        let items = Array::new(bytes)?;
        let (ids, len) = (ids.len(), items.len());
        if len == ids { Ok(items) } else { Err(ArrayError::Count { ids, items: len }) }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::default().size()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || reader.read().ok())
    }
}

/// Reads `encoded_short_ids`: ascending, a whole number of them.
pub fn short_ids(bytes: &[u8]) -> Result<Array<'_, ShortChannelId>, ArrayError> {
    let ids: Array<'_, ShortChannelId> = Array::new(uncompressed(bytes)?)?;
    let mut last = None;
    for (index, id) in ids.iter().enumerate() {
        if last.is_some_and(|last| id <= last) {
            return Err(ArrayError::Order { index });
        }
        last = Some(id);
    }
    Ok(ids)
}

/// Two numbers of a channel, one for each `channel_update` of it: `node_id_1`'s, then `node_id_2`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfBoth {
    /// Of the update of `node_id_1`; 0 where there is none.
    pub node_1: u32,
    /// Of the update of `node_id_2`; 0 where there is none.
    pub node_2: u32,
}

impl Field<'_> for OfBoth {
    fn read(reader: &mut Reader<'_>) -> Result<Self, super::codec::Eof> {
        Ok(OfBoth { node_1: reader.read()?, node_2: reader.read()? })
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        self.node_1.write(out)?;
        self.node_2.write(out)
    }
    fn size(&self) -> usize {
        8
    }
}

/// What is wanted of a channel: a bit field of `query_short_channel_ids`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryFlags(pub u64);

impl QueryFlags {
    /// Everything: what a query without flags wants.
    pub const ALL: QueryFlags = QueryFlags(0b1_1111);

    fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
    /// Its `channel_announcement`.
    pub fn announcement(self) -> bool {
        self.has(0)
    }
    /// The `channel_update` of `node_id_1`.
    pub fn update_1(self) -> bool {
        self.has(1)
    }
    /// The `channel_update` of `node_id_2`.
    pub fn update_2(self) -> bool {
        self.has(2)
    }
    /// The `node_announcement` of `node_id_1`.
    pub fn node_1(self) -> bool {
        self.has(3)
    }
    /// The `node_announcement` of `node_id_2`.
    pub fn node_2(self) -> bool {
        self.has(4)
    }
}

/// A checked `query_short_channel_ids`: every id with what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    ids: Array<'a, ShortChannelId>,
    flags: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    /// Checks both arrays of the message.
    pub fn of(message: &QueryShortChannelIds<'a>) -> Result<Query<'a>, ArrayError> {
        let ids = short_ids(message.encoded_short_ids)?;
        let Some(Rest(flags)) = message.query_flags else { return Ok(Query { ids, flags: None }) };
        let flags = uncompressed(flags)?;
        let mut reader = Reader::new(flags);
        let mut items = 0;
        while !reader.is_empty() {
            BigSize::read(&mut reader).map_err(|_| ArrayError::BadFlag { index: items })?;
            items += 1;
        }
        // BOLT 7: exactly one flag for each id.
        if items != ids.len() {
            return Err(ArrayError::Count { ids: ids.len(), items });
        }
        Ok(Query { ids, flags: Some(flags) })
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = (ShortChannelId, QueryFlags)> + use<'a> {
        let mut flags = self.flags.map(Reader::new);
        self.ids.iter().map(move |id| {
            let wanted = flags.as_mut().map(|flags| BigSize::read(flags).expect("counted when it was checked"));
            (id, wanted.map_or(QueryFlags::ALL, |BigSize(flags)| QueryFlags(flags)))
        })
    }
}

/// A checked `reply_channel_range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The channels of these blocks.
    pub ids: Array<'a, ShortChannelId>,
    /// When the updates of each were made, if asked for.
    pub timestamps: Option<Array<'a, OfBoth>>,
    /// The checksums of the updates of each, if asked for: see [`super::gossip::checksum`].
    pub checksums: Option<Array<'a, OfBoth>>,
}

impl<'a> Reply<'a> {
    /// Checks all arrays of the message. Checksums have no encoding type.
    pub fn of(message: &ReplyChannelRange<'a>) -> Result<Reply<'a>, ArrayError> {
        let ids = short_ids(message.encoded_short_ids)?;
        let timestamps = message.timestamps.map(|Rest(bytes)| Array::for_each_id(uncompressed(bytes)?, &ids));
        let checksums = message.checksums.map(|Rest(bytes)| Array::for_each_id(bytes, &ids));
        Ok(Reply { ids, timestamps: timestamps.transpose()?, checksums: checksums.transpose()? })
    }
}

/// Fills `out` with an array as `encoded_short_ids` and `timestamps` hold it: the encoding type, then the items.
pub fn encode_array<'a, T: Field<'a>>(items: impl Iterator<Item = T>, out: &mut Vec<u8>) {
    out.clear();
    out.push(UNCOMPRESSED);
    append(items, out);
}

/// Fills `out` with an array as `checksums` holds it: the items alone.
pub fn encode_checksums(items: impl Iterator<Item = OfBoth>, out: &mut Vec<u8>) {
    out.clear();
    append(items, out);
}

/// Fills `out` with `query_flags`.
pub fn encode_flags(flags: impl Iterator<Item = QueryFlags>, out: &mut Vec<u8>) {
    out.clear();
    out.push(UNCOMPRESSED);
    for QueryFlags(flags) in flags {
        BigSize(flags).push(out);
    }
}

fn append<'a, T: Field<'a>>(items: impl Iterator<Item = T>, out: &mut Vec<u8>) {
    for item in items {
        let from = out.len();
        out.resize(from + item.size(), 0);
        item.write(&mut Cursor::new(&mut out[from..])).expect("there is room for its size");
    }
}
