//! The wallet's rows: one small row per output, per address in use, per transaction.

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Transaction, Txid};

use super::keychain::Place;
use crate::amount::Sat;
use crate::ids::BlockHeight;
use crate::store::{Key, Row, RowError, RowValue, Table};

/// What spends an output of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SpentBy {
    /// The transaction.
    #[bincode(with_serde)]
    pub txid: Txid,
    /// Its block, once it is in one.
    pub height: Option<BlockHeight>,
}

/// An output of ours. Key: outpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Coin {
    /// How much.
    pub amount: Sat,
    /// The address it pays.
    pub place: Place,
    /// The block that holds its transaction, once one does.
    pub confirmed: Option<BlockHeight>,
    /// Is it a miner's reward? Then it rests for 100 blocks.
    pub coinbase: bool,
    /// Did we make its transaction ourselves? Then it can be spent before it is in a block.
    pub ours: bool,
    /// What spends it, as far as we know.
    pub spent: Option<SpentBy>,
    /// Kept for somebody until the chain is this high.
    pub reserved_to: Option<BlockHeight>,
}

impl RowValue for Coin {
    const TABLE: Table = Table::Utxo;
}

/// A transaction that pays us, spends from us, or that we broadcast. Key: txid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct TransactionRow {
    /// As Bitcoin writes it.
    bytes: Vec<u8>,
    /// The block that holds it and its index there.
    pub confirmed: Option<(BlockHeight, u32)>,
    /// In which order we learned of transactions: of two that exclude each other the later stands.
    pub order: u64,
    /// Our tip when we learned of it.
    pub since: BlockHeight,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a transaction comes from.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Origin {
    /// We saw it in a block.
    Chain,
    /// We made it.
    Ours {
        /// What it is for.
        label: String,
        /// Has the backend ever taken it?
        accepted: bool,
    },
}

impl RowValue for TransactionRow {
    const TABLE: Table = Table::Transaction;
}

impl TransactionRow {
    /// A row of `tx`.
    pub(super) fn new(
        tx: &Transaction,
        confirmed: Option<(BlockHeight, u32)>,
        order: u64,
        since: BlockHeight,
        origin: Origin,
    ) -> TransactionRow {
        TransactionRow { bytes: serialize(tx), confirmed, order, since, origin }
    }

    /// The transaction.
    pub fn tx(&self) -> Result<Transaction, RowError> {
        deserialize(&self.bytes)
            .map_err(|error| RowError::Malformed { table: Table::Transaction, detail: error.to_string() })
    }
}

/// An address that was given out, or paid. Key: keychain byte, index. Deriving a script costs two curve operations, so
/// it is kept.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct AddressRow {
    /// Its script.
    pub script: Vec<u8>,
    /// Was it ever paid in a block?
    pub used: bool,
}

impl RowValue for AddressRow {
    const TABLE: Table = Table::Address;
}

/// Key of a [`Coin`].
pub fn outpoint_key(outpoint: OutPoint) -> Key {
    Key::new().bytes(outpoint.txid.as_byte_array()).u32(outpoint.vout)
}

/// Reads such a key.
pub fn parse_outpoint_key(row: &Row<'_>) -> Result<OutPoint, RowError> {
    let key: [u8; 36] = row.key_array()?;
    let (txid, vout) = key.split_at(32);
    let txid = Txid::from_slice(txid).expect("32 bytes");
    Ok(OutPoint { txid, vout: u32::from_be_bytes(vout.try_into().expect("4 of 36 bytes")) })
}

/// Key of a [`TransactionRow`].
pub fn txid_key(txid: Txid) -> Key {
    Key::new().bytes(txid.as_byte_array())
}

/// Key of an [`AddressRow`].
pub fn place_key(place: Place) -> Key {
    Key::new().u8(place.keychain as u8).u32(place.index)
}
