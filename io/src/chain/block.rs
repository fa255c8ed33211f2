//! Looks through a block for what is watched.
//!
//! The backend has verified the block; what is checked here is only that it is the one that was asked for. The
//! transactions are read one by one and dropped at once unless they match.

use std::fmt;

use bitcoin::block::Header;
use bitcoin::consensus::Decodable;
use bitcoin::consensus::encode::{Error, VarInt};
use bitcoin::hex::FromHex;
use bitcoin::{BlockHash, Transaction};

use super::filter::Filter;

/// What is of interest in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its header.
    pub header: Header,
    /// What matched, with its index.
    pub matches: Vec<(u32, Transaction)>,
}

/// Why a block does not read.
#[derive(Debug)]
pub enum BlockError {
    /// It is not given in hexadecimal digits.
    Hex,
    /// It is another block.
    Other {
        /// The block that was asked for.
        expected: BlockHash,
        /// The block that came.
        actual: BlockHash,
    },
    /// Its bytes are no block.
    Decode(Error),
    /// There are more bytes than the block.
    Trailing(usize),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::Hex => write!(f, "the block is not in hexadecimal digits"),
            BlockError::Other { expected, actual } => write!(f, "block {actual} came instead of {expected}"),
            BlockError::Decode(error) => write!(f, "the block does not read: {error}"),
            BlockError::Trailing(bytes) => write!(f, "there are {bytes} bytes behind the block"),
        }
    }
}

impl std::error::Error for BlockError {}

/// Reads the block `expected` from its hexadecimal digits.
pub fn scan(hex: &str, expected: BlockHash, filter: &Filter) -> Result<Scanned, BlockError> {
    let bytes = Vec::<u8>::from_hex(hex).map_err(|_| BlockError::Hex)?;
    let rest = &mut &bytes[..];
    let header = Header::consensus_decode(rest).map_err(BlockError::Decode)?;
    let actual = header.block_hash();
    if actual != expected {
        return Err(BlockError::Other { expected, actual });
    }
    let count = VarInt::consensus_decode(rest).map_err(BlockError::Decode)?.0;
    let mut block = filter.block();
    let mut matches = Vec::new();
    for index in 0..count {
        let tx = Transaction::consensus_decode(rest).map_err(BlockError::Decode)?;
        if block.takes(&tx) {
            let index = u32::try_from(index).expect("a block of a few megabytes has fewer transactions than 2^32");
            matches.push((index, tx));
        }
    }
    match rest.len() {
        0 => Ok(Scanned { header, matches }),
        bytes => Err(BlockError::Trailing(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::serialize_hex;
    use bitcoin::constants::genesis_block;
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Txid, Witness, absolute, transaction};
    use leyden_core::command::Watch;

    fn spend(previous_output: OutPoint, script: &[u8]) -> Transaction {
        let input =
            TxIn { previous_output, script_sig: ScriptBuf::new(), sequence: Sequence::MAX, witness: Witness::new() };
        let output = TxOut { value: Amount::from_sat(1000), script_pubkey: ScriptBuf::from_bytes(script.to_vec()) };
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![input],
            output: vec![output],
        }
    }

    fn outpoint(number: u8) -> OutPoint {
        OutPoint { txid: Txid::from_byte_array([number; 32]), vout: u32::from(number) }
    }

    #[test]
    fn spends_payments_and_what_spends_them_match() {
        let mut block = genesis_block(Network::Regtest);
        let funding = spend(outpoint(1), b"funding");
        let commitment = spend(OutPoint { txid: funding.compute_txid(), vout: 0 }, b"commitment");
        let close = spend(outpoint(2), b"close");
        for tx in [&spend(outpoint(3), b"nothing"), &funding, &commitment, &close, &spend(outpoint(4), b"nothing")] {
            block.txdata.push(tx.clone());
        }
        let mut filter = Filter::default();
        filter.apply(&Watch::Script(ScriptBuf::from_bytes(b"funding".to_vec()).as_script()));
        filter.apply(&Watch::Spend(outpoint(2)));
        filter.apply(&Watch::Spend(outpoint(4)));
        filter.apply(&Watch::Unspend(outpoint(4)));
        assert_eq!(filter.len(), 2);

        let hex = serialize_hex(&block);
        let scanned = scan(&hex, block.block_hash(), &filter).unwrap();
        assert_eq!(scanned.header, block.header);
        assert_eq!(scanned.matches, [(2, funding), (3, commitment), (4, close)]);
    }

    #[test]
    fn another_block_and_broken_ones_are_refused() {
        let block = genesis_block(Network::Regtest);
        let hash = block.block_hash();
        let hex = serialize_hex(&block);
        let filter = Filter::default();
        assert!(matches!(scan(&hex, BlockHash::all_zeros(), &filter), Err(BlockError::Other { .. })));
        assert!(matches!(scan(&hex[..hex.len() - 2], hash, &filter), Err(BlockError::Decode(_))));
        assert!(matches!(scan(&format!("{hex}00"), hash, &filter), Err(BlockError::Trailing(1))));
        assert!(matches!(scan("xy", hash, &filter), Err(BlockError::Hex)));
        // A count of transactions that are not there costs nothing.
        let claim = format!("{}ff{}", &hex[..160], "ff".repeat(8));
        assert!(matches!(scan(&claim, hash, &filter), Err(BlockError::Decode(_))));
    }
}
