//! Blocks as the network would take them: headers with proof of work, coinbases, commitments.

use std::sync::{Arc, LazyLock};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as HeaderVersion};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytes};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode, TxOut, Txid, Weight,
    Witness, WitnessMerkleNode, Wtxid,
};
use leyden_core::chain::Tip;
use leyden_core::ids::BlockHeight;

/// Regtest halves the subsidy so soon that tests can see it.
const HALVING_BLOCKS: u32 = 150;

/// BIP 141: the coinbase's witness is this reserved value.
const WITNESS_RESERVED: [u8; 32] = [0; 32];

/// BIP 141: what the output that commits to the witnesses begins with, behind `OP_RETURN`.
const COMMITMENT_TAG: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];

/// A block. Its transactions are shared with whoever else knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it stands.
    pub tip: Tip,
    /// Its header.
    pub header: Header,
    /// What it holds; the coinbase first.
    pub txs: Vec<Arc<Transaction>>,
}

impl Block {
    /// The block as it goes over the wire.
    pub fn to_bitcoin(&self) -> bitcoin::Block {
        let txdata = self.txs.iter().map(|tx| Transaction::clone(tx)).collect();
        bitcoin::Block { header: self.header, txdata }
    }

    /// What it weighs.
    pub fn weight(&self) -> Weight {
        let head = Weight::from_vb_unwrap(80 + varint_len(self.txs.len()));
        head + self.txs.iter().map(|tx| tx.weight()).sum::<Weight>()
    }

    /// Whom it paid how much.
    pub fn coinbase(&self) -> &Transaction {
        &self.txs[0]
    }
}

fn varint_len(count: usize) -> u64 {
    bitcoin::VarInt::from(count).size() as u64
}

/// Regtest's first block.
pub(super) fn genesis() -> Arc<Block> {
    static GENESIS: LazyLock<Arc<Block>> = LazyLock::new(|| {
        let block = bitcoin::constants::genesis_block(Network::Regtest);
        let tip = Tip { height: BlockHeight(0), hash: block.block_hash() };
        let txs = block.txdata.into_iter().map(Arc::new).collect();
        Arc::new(Block { tip, header: block.header, txs })
    });
    Arc::clone(&GENESIS)
}

/// What a block may create out of nothing.
pub(super) fn subsidy_sat(height: u32) -> u64 {
    const FIRST_SAT: u64 = 50 * 100_000_000;
    FIRST_SAT.checked_shr(height / HALVING_BLOCKS).unwrap_or(0)
}

/// What a block is made of.
pub(super) struct Recipe<'a> {
    pub(super) previous: Tip,
    pub(super) time_s: u32,
    pub(super) miner: &'a ScriptBuf,
    pub(super) fees_sat: u64,
    /// Makes two blocks different that would be the same otherwise, as after a reorganisation.
    pub(super) salt: u32,
    pub(super) txs: Vec<Arc<Transaction>>,
}

/// Makes the block and works for it. On regtest every second nonce will do.
pub(super) fn build(recipe: Recipe<'_>) -> Block {
    let height = recipe.previous.height.0 + 1;
    let coinbase = coinbase(&recipe, height);
    let mut txs = Vec::with_capacity(recipe.txs.len() + 1);
    txs.push(Arc::new(coinbase));
    txs.extend(recipe.txs);
    let root = bitcoin::merkle_tree::calculate_root(txs.iter().map(|tx| tx.compute_txid().to_raw_hash()));
    let mut header = Header {
        version: HeaderVersion::from_consensus(0x2000_0000),
        prev_blockhash: recipe.previous.hash,
        merkle_root: TxMerkleNode::from_raw_hash(root.expect("there is a coinbase")),
        time: recipe.time_s,
        bits: Target::MAX_ATTAINABLE_REGTEST.to_compact_lossy(),
        nonce: 0,
    };
    while header.validate_pow(Target::MAX_ATTAINABLE_REGTEST).is_err() {
        header.nonce += 1;
    }
    Block { tip: Tip { height: BlockHeight(height), hash: header.block_hash() }, header, txs }
}

fn coinbase(recipe: &Recipe<'_>, height: u32) -> Transaction {
    // BIP 34: the height comes first; what follows also brings low heights to the two bytes that a coinbase needs.
    let script_sig = Builder::new().push_int(i64::from(height)).push_slice(recipe.salt.to_le_bytes()).into_script();
    let reward =
        TxOut { value: Amount::from_sat(subsidy_sat(height) + recipe.fees_sat), script_pubkey: recipe.miner.clone() };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[WITNESS_RESERVED]),
        }],
        output: vec![reward, TxOut { value: Amount::ZERO, script_pubkey: commitment(&recipe.txs) }],
    }
}

/// BIP 141: the coinbase commits to all witnesses; its own place in that tree is zero.
fn commitment(txs: &[Arc<Transaction>]) -> ScriptBuf {
    let coinbase = Wtxid::all_zeros().to_raw_hash();
    let leaves = std::iter::once(coinbase).chain(txs.iter().map(|tx| tx.compute_wtxid().to_raw_hash()));
    let root = bitcoin::merkle_tree::calculate_root(leaves).expect("there is a coinbase");
    let root = WitnessMerkleNode::from_raw_hash(root);
    let commitment = bitcoin::Block::compute_witness_commitment(&root, &WITNESS_RESERVED);
    let mut data = [0; 36];
    data[..4].copy_from_slice(&COMMITMENT_TAG);
    data[4..].copy_from_slice(commitment.as_byte_array());
    let data: &PushBytes = (&data).into();
    Builder::new().push_opcode(OP_RETURN).push_slice(data).into_script()
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the block at this height.
    pub height: BlockHeight,
    /// At this position of the block.
    pub index: u32,
}

/// How the miner fills a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fill {
    /// With what pays best.
    Best,
    /// With nothing.
    Empty,
    /// With these, which wait in the mempool; their ancestors come along.
    Only(Vec<Txid>),
    /// With what pays best but these and what depends on them.
    Without(Vec<Txid>),
    /// With just these, whatever the mempool thinks of them: a miner follows consensus, not policy.
    Exactly(Vec<Transaction>),
}

/// What a reorganisation did.
#[derive(Clone, Debug, Default)]
pub struct Reorg {
    /// Blocks that are no longer of the chain; the last one first.
    pub disconnected: Vec<Arc<Block>>,
    /// Blocks that took their place, in order.
    pub connected: Vec<Arc<Block>>,
    /// Transactions that waited or were in a block and are neither any more, and why.
    pub dropped: Vec<(Txid, super::Refused)>,
}
