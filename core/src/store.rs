//! Tables, keys and versioned rows: what is written down, and in which shape.
//!
//! A value is a version byte and then bincode. The checksum is the store's own business. Keys are big-endian, so that
//! the store's order is the order of numbers.

use bincode::config::{Configuration, standard};
use bincode::error::DecodeError;

/// The tables. A number, once given, keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
#[repr(u8)]
pub enum Table {
    /// Facts of the whole node: counters, the birthday. Key: a fact byte.
    Node = 0,
    /// What does not change with a commitment. Key: `ChannelKey`.
    Channel = 1,
    /// What changes with each commitment: counters, balances, points. Key: `ChannelKey`.
    Commitment = 2,
    /// HTLCs in flight. Key: `ChannelKey`, offering side, `HtlcId`.
    Htlc = 3,
    /// Onions to forward, until the next peer has them for good. Key as [`Table::Htlc`], of the incoming HTLC.
    Onion = 4,
    /// The peer's revoked secrets. Key: `ChannelKey`, slot byte.
    Secret = 5,
    /// The peer's signatures on our latest commitment. Key: `ChannelKey`, funding txid.
    Signature = 6,
    /// HTLCs of revoked commitments: what a penalty needs. Key: `ChannelKey`, offering side, `HtlcId`.
    Revoked = 7,
    /// Outgoing payments, what never changes. Key: created index.
    Payment = 8,
    /// Outgoing payments, how they ended. Key: created index.
    PaymentEnd = 9,
    /// Parts of outgoing payments. Key: created index of the part.
    Part = 10,
    /// Invoices, what never changes. Key: created index.
    Invoice = 11,
    /// Invoices, how they ended. Key: created index.
    InvoiceEnd = 12,
    /// Label to created index of an invoice. Key: the label's bytes.
    InvoiceLabel = 13,
    /// Payment hash to created index of an invoice. Key: payment hash.
    InvoiceHash = 14,
    /// Pay index to created index of an invoice. Key: pay index.
    InvoicePaid = 15,
    /// Forwards, open and ended. Key: created index.
    Forward = 16,
    /// Onions seen, until their HTLC would have expired. Key: the onion's replay key.
    Replay = 17,
    /// The wallet's outputs. Key: outpoint.
    Utxo = 18,
    /// Transactions that are ours or matter to us. Key: txid.
    Transaction = 19,
    /// The wallet's addresses in use. Key: keychain byte, index.
    Address = 20,
    /// Recent blocks, for reorganisations. Key: height.
    Block = 21,
    /// Peers to reconnect to, with their addresses. Key: node id.
    Peer = 22,
    /// Payment hash to created index of a payment. Key: payment hash, group.
    PaymentHash = 23,
    /// Channels that have ended. Key: `ChannelKey`.
    ClosedChannel = 24,
    /// Outputs on chain that wait to be claimed. Key: `ChannelKey`, outpoint.
    Claim = 25,
    /// What has which number in lists by creation or by last change. Key: which list, number.
    Change = 26,
    /// What became of hold invoices that are neither paid nor untouched. Key: created index.
    InvoiceHold = 27,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Table; 28] = [
        Table::Node,
        Table::Channel,
        Table::Commitment,
        Table::Htlc,
        Table::Onion,
        Table::Secret,
        Table::Signature,
        Table::Revoked,
        Table::Payment,
        Table::PaymentEnd,
        Table::Part,
        Table::Invoice,
        Table::InvoiceEnd,
        Table::InvoiceLabel,
        Table::InvoiceHash,
        Table::InvoicePaid,
        Table::Forward,
        Table::Replay,
        Table::Utxo,
        Table::Transaction,
        Table::Address,
        Table::Block,
        Table::Peer,
        Table::PaymentHash,
        Table::ClosedChannel,
        Table::Claim,
        Table::Change,
        Table::InvoiceHold,
    ];

    /// The table with this number.
    pub fn from_number(number: u8) -> Option<Table> {
        Table::ALL.get(usize::from(number)).copied()
    }
}

/// One stored row, as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Where it stands.
    pub table: Table,
    /// Its key there.
    pub key: &'a [u8],
    /// Version byte and bincode, without the store's checksum.
    pub value: &'a [u8],
}

/// A type that is a row's value. The shape behind a version never changes; a new shape gets the next number, and
/// `decode_old` turns the older ones into it.
pub trait RowValue: bincode::Encode + bincode::Decode<()> {
    /// Where such rows stand.
    const TABLE: Table;
    /// The version that is written.
    const VERSION: u8 = 1;

    /// Reads a row of an older version.
    fn decode_old(version: u8, _bytes: &[u8]) -> Result<Self, RowError> {
        Err(RowError::UnknownVersion { table: Self::TABLE, version })
    }
}

/// A value on its way into the store. Object safe, so that commands can borrow any of them.
pub trait StoreValue {
    /// Appends version byte and body.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: RowValue> StoreValue for T {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(T::VERSION);
        encode_into(self, out);
    }
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowError {
    /// Nothing at all in it.
    Empty {
        /// Where it stands.
        table: Table,
    },
    /// Written by a newer build, or damaged.
    UnknownVersion {
        /// Where it stands.
        table: Table,
        /// The version it claims.
        version: u8,
    },
    /// The bytes do not make the type.
    Malformed {
        /// Where it stands.
        table: Table,
        /// What the decoder says.
        detail: String,
    },
    /// The key has another length or form than the table's.
    BadKey {
        /// Where it stands.
        table: Table,
    },
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowError::Empty { table } => write!(f, "an empty row in table {table:?}"),
            RowError::UnknownVersion { table, version } => {
                write!(f, "a row of version {version} in table {table:?}: written by a newer build?")
            }
            RowError::Malformed { table, detail } => write!(f, "a row in table {table:?} does not decode: {detail}"),
            RowError::BadKey { table } => write!(f, "a key of the wrong form in table {table:?}"),
        }
    }
}

impl std::error::Error for RowError {}

impl<'a> Row<'a> {
    /// Reads the value as `T`.
    pub fn decode<T: RowValue>(&self) -> Result<T, RowError> {
        debug_assert_eq!(self.table, T::TABLE);
        let (&version, bytes) = self.value.split_first().ok_or(RowError::Empty { table: T::TABLE })?;
        if version != T::VERSION {
            return T::decode_old(version, bytes);
        }
        decode_from(bytes).map_err(|error| RowError::Malformed { table: T::TABLE, detail: error.to_string() })
    }

    /// The key as a fixed number of bytes.
    pub fn key_array<const N: usize>(&self) -> Result<[u8; N], RowError> {
        self.key.try_into().map_err(|_| RowError::BadKey { table: self.table })
    }
}

/// The one configuration of bincode: little-endian, variable-length integers.
const CONFIG: Configuration = standard();

/// Appends the bincode of `value`.
pub fn encode_into<T: bincode::Encode>(value: &T, out: &mut Vec<u8>) {
    struct Appender<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Appender<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    bincode::encode_into_writer(value, Appender(out), CONFIG).expect("appending to memory does not fail");
}

/// Reads bincode that fills `bytes` exactly.
pub fn decode_from<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used) = bincode::decode_from_slice(bytes, CONFIG)?;
    if used == bytes.len() { Ok(value) } else { Err(DecodeError::Other("trailing bytes")) }
}

/// Builds keys on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; Key::SIZE_MAX],
    len: u8,
}

impl Key {
    /// No key of ours is longer.
    pub const SIZE_MAX: usize = 80;

    /// An empty key.
    pub fn new() -> Key {
        Key { bytes: [0; Key::SIZE_MAX], len: 0 }
    }

    /// Appends bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Key {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
        self
    }

    /// Appends one byte.
    pub fn u8(self, value: u8) -> Key {
        self.bytes(&[value])
    }

    /// Appends a number, big-endian.
    pub fn u32(self, value: u32) -> Key {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a number, big-endian.
    pub fn u64(self, value: u64) -> Key {
        self.bytes(&value.to_be_bytes())
    }

    /// The key.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for Key {
    fn default() -> Key {
        Key::new()
    }
}
