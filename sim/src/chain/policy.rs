//! What a chain starts with, and what its mempool takes: the numbers of Bitcoin Core 29.

use bitcoin::opcodes::all::OP_PUSHNUM_1;
use bitcoin::{Script, ScriptBuf, Witness};

/// The mempool's rules, as numbers. The feerates are those that the network knew when Lightning's were chosen: one
/// satoshi per vbyte; from 29.1 on, Bitcoin Core relays for a tenth of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Feerate below which nothing is relayed, in satoshi per 1,000 vbytes.
    pub min_relay_per_kvb: u64,
    /// Feerate by which replacements and a full mempool raise the price, in satoshi per 1,000 vbytes.
    pub incremental_per_kvb: u64,
    /// Feerate that decides what is dust, in satoshi per 1,000 vbytes.
    pub dust_per_kvb: u64,
    /// How heavy a transaction may be.
    pub max_weight: u64,
    /// How long an output script that carries data may be, its opcodes included.
    pub max_data_script: usize,
    /// Are bare multisig outputs relayed?
    pub permit_bare_multisig: bool,
    /// May a transaction replace others that it conflicts with? Without regard to what these signal.
    pub replace: bool,
    /// How many transactions one may replace.
    pub max_replacements: u64,
    /// How many ancestors a transaction may have in the mempool, itself included.
    pub ancestor_count: u64,
    /// How large it may be together with them, in vbytes.
    pub ancestor_vsize: u64,
    /// How many descendants a transaction may have in the mempool, itself included.
    pub descendant_count: u64,
    /// How large it may be together with them, in vbytes.
    pub descendant_vsize: u64,
    /// How much memory the mempool may take, in bytes (an estimate of what bitcoind would need).
    pub max_mempool_bytes: u64,
    /// After how many seconds a transaction leaves the mempool.
    pub expiry_s: u32,
    /// How heavy the miner's blocks are, the header and the coinbase included.
    pub block_weight: u64,
    /// What the miner keeps free of that for the header and the coinbase.
    pub block_reserved_weight: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            min_relay_per_kvb: 1_000,
            incremental_per_kvb: 1_000,
            dust_per_kvb: 3_000,
            max_weight: 400_000,
            max_data_script: 83,
            permit_bare_multisig: true,
            replace: true,
            max_replacements: 100,
            ancestor_count: 25,
            ancestor_vsize: 101_000,
            descendant_count: 25,
            descendant_vsize: 101_000,
            max_mempool_bytes: 300_000_000,
            expiry_s: 336 * 3_600,
            block_weight: 4_000_000,
            block_reserved_weight: 8_000,
        }
    }
}

/// What a chain starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How many blocks are mined upon the genesis block at once.
    pub height: u32,
    /// What the clock says then, in seconds since 1970. The first blocks are older.
    pub time_s: u32,
    /// By how many seconds each block that is mined moves the clock; zero where somebody else sets it.
    pub spacing_s: u32,
    /// Whom the coinbases pay.
    pub miner: ScriptBuf,
    /// The mempool's rules.
    pub policy: Policy,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            height: 100,
            time_s: 1_700_000_000,
            spacing_s: 600,
            miner: anyone_can_spend(),
            policy: Policy::default(),
        }
    }
}

/// The script whose coins need no key: a witness program of `OP_TRUE`, so that they can be spent as policy likes it.
pub fn anyone_can_spend() -> ScriptBuf {
    true_script().to_p2wsh()
}

/// The witness that spends from [`anyone_can_spend`].
pub fn anyones_witness() -> Witness {
    Witness::from_slice(&[true_script().as_bytes()])
}

fn true_script() -> &'static Script {
    const TRUE: &[u8] = &[OP_PUSHNUM_1.to_u8()];
    Script::from_bytes(TRUE)
}
