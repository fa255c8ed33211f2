//! The chain with its lock, its file and its bells.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Transaction};
use leyden_core::amount::Sat;
use leyden_core::chain::Tip;
use leyden_core::clock::Wall;
use leyden_core::ids::BlockHeight;
use leyden_sim::chain::{Chain, Fill, Params, Refused, anyone_can_spend};
use mio::unix::pipe;

use super::file::{BlockFile, Found, OpenError};
use crate::chain::rpc::{Answer, Call, ChainInfo, HeaderInfo, NetworkInfo, RpcError, code};
use crate::seed::os_random;

/// A new chain has so many blocks: all coinbases but the first are the faucet's, and a third can be spent at once.
const BLOCKS_AT_FIRST: u32 = 150;

/// Why blocks or coins could not be made.
#[derive(Debug)]
pub enum MakeError {
    /// The chain does not allow it.
    Refused(Refused),
    /// The faucet is asked for more than it has.
    FaucetDry {
        /// How much was asked for.
        wanted: Sat,
    },
    /// The blocks could not be written. They are there until the process ends; none is added to them.
    File {
        /// What the system says.
        reason: String,
    },
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MakeError::Refused(refused) => write!(f, "the chain refuses: {refused}"),
            MakeError::FaucetDry { wanted } => write!(
                f,
                "the faucet cannot give {} sat: it lives on the coinbases of blocks that are 100 deep; ask for less, or \
                 mine more with dev-generate",
                wanted.0
            ),
            MakeError::File { reason } => write!(
                f,
                "the chain's blocks cannot be written: {reason}; make room and restart leydend, the chain goes on from \
                 the last block that is on disk"
            ),
        }
    }
}

impl std::error::Error for MakeError {}

/// A regtest chain that several nodes of this process live on.
#[derive(Clone)]
pub struct SharedChain(Arc<Mutex<Hosted>>);

struct Hosted {
    chain: Chain,
    /// Where the blocks are kept, if anywhere.
    file: Option<BlockFile>,
    /// The blocks that are in the file. Hash sets with random state are fine here: nothing depends on their order.
    written: HashSet<BlockHash>,
    /// Why the file is of no use any more.
    broken: Option<String>,
    /// One for each node: it wakes the node's loop.
    bells: Vec<pipe::Sender>,
}

/// Whom a block pays when nobody says. On regtest the subsidy is halved every 150 blocks: the coins of late blocks would
/// only be in the faucet's way.
fn usual_miner(chain: &Chain) -> ScriptBuf {
    const FAUCET_BLOCKS: u32 = 1_000;
    if chain.tip().height.0 < FAUCET_BLOCKS { anyone_can_spend() } else { ScriptBuf::new_op_return([]) }
}

fn seconds(wall: Wall) -> u32 {
    u32::try_from(wall.0 / 1000).unwrap_or(u32::MAX)
}

/// Nothing but the genesis block.
fn empty(wall: Wall) -> Chain {
    // The clock is set before each block.
    Chain::new(Params { height: 0, time_s: seconds(wall), spacing_s: 0, ..Params::default() })
}

/// The first blocks. The salt is in the very first one, so that no two chains are taken for one another.
fn new_chain(wall: Wall, salt: [u8; 16]) -> Chain {
    const SPACING_S: u32 = 600;
    let mut chain = empty(wall);
    chain.set_miner(ScriptBuf::new_op_return(salt));
    for age in (0..BLOCKS_AT_FIRST).rev() {
        chain.set_time_s(seconds(wall).saturating_sub(age * SPACING_S));
        chain.mine();
        chain.set_miner(anyone_can_spend());
    }
    chain
}

impl SharedChain {
    /// A new chain that goes with the process.
    pub fn in_memory(wall: Wall) -> SharedChain {
        let chain = new_chain(wall, [0; 16]);
        let hosted = Hosted { chain, file: None, written: HashSet::new(), broken: None, bells: Vec::new() };
        SharedChain(Arc::new(Mutex::new(hosted)))
    }

    /// The chain of this file; a new one if there is none. The text says what was wrong with it and is mended.
    pub fn open(path: &Path, wall: Wall) -> Result<(SharedChain, Option<String>), OpenError> {
        let Found { file, blocks, bytes_cut } = BlockFile::open(path)?;
        let mut chain = empty(wall);
        let io = |error| OpenError::Io { path: path.to_path_buf(), error };
        let mut written = HashSet::new();
        for (block, number) in blocks.into_iter().zip(1..) {
            written.insert(block.block_hash());
            chain.replay(block).map_err(|error| OpenError::Block {
                path: path.to_path_buf(),
                number,
                reason: error.to_string(),
            })?;
        }
        let height = chain.tip().height;
        let warning = (bytes_cut > 0).then(|| {
            let path = path.display();
            format!("{bytes_cut} bytes at the end of {path} are no whole block and were cut off: the chain goes on at {height}")
        });
        if written.is_empty() {
            chain = new_chain(wall, *os_random::<16>().map_err(io)?);
        }
        let mut hosted = Hosted { chain, file: Some(file), written, broken: None, bells: Vec::new() };
        hosted.write().map_err(io)?;
        Ok((SharedChain(Arc::new(Mutex::new(hosted))), warning))
    }

    fn lock(&self) -> MutexGuard<'_, Hosted> {
        self.0.lock().expect("whoever has the chain does not panic")
    }

    /// The last block's place.
    pub fn tip(&self) -> Tip {
        self.lock().chain.tip()
    }

    /// Is this block known, be it of the chain or not?
    pub fn knows(&self, block: BlockHash) -> bool {
        self.lock().chain.block_by_hash(&block).is_some()
    }

    /// Mines so many blocks of what waits in the mempool; `destination` gets what they pay. They are on disk before
    /// anybody sees them.
    pub fn generate(&self, blocks: u32, destination: Option<ScriptBuf>, wall: Wall) -> Result<Vec<Tip>, MakeError> {
        self.grow(wall, |chain| {
            let mut tips = Vec::new();
            for _ in 0..blocks {
                chain.set_miner(destination.clone().unwrap_or_else(|| usual_miner(chain)));
                tips.push(chain.mine().tip);
            }
            Ok(tips)
        })
    }

    /// Pays to a script out of coins that are nobody's, and mines that.
    pub fn give(&self, script: ScriptBuf, amount: Sat, wall: Wall) -> Result<(OutPoint, BlockHeight), MakeError> {
        if amount > Sat(Amount::MAX_MONEY.to_sat()) {
            return Err(MakeError::FaucetDry { wanted: amount });
        }
        self.grow(wall, |chain| {
            let given = chain.faucet(script, amount).map_err(|refused| match refused {
                Refused::FaucetDry { .. } => MakeError::FaucetDry { wanted: amount },
                refused => MakeError::Refused(refused),
            })?;
            chain.set_miner(usual_miner(chain));
            chain.mine();
            if chain.place(&given.txid).is_none() {
                // Others pay more, and there are many.
                chain.mine_with(&[given.txid]).map_err(MakeError::Refused)?;
            }
            Ok((given, chain.tip().height))
        })
    }

    /// Takes the last `depth` blocks back and mines these in their place.
    pub fn reorganise(&self, depth: u32, blocks: &[Fill], wall: Wall) -> Result<Tip, MakeError> {
        self.grow(wall, |chain| {
            chain.set_miner(usual_miner(chain));
            chain.reorg(depth, blocks).map_err(MakeError::Refused)?;
            Ok(chain.tip())
        })
    }

    /// Lets something make blocks, writes them, and wakes everybody.
    fn grow<T>(&self, wall: Wall, make: impl FnOnce(&mut Chain) -> Result<T, MakeError>) -> Result<T, MakeError> {
        let mut hosted = self.lock();
        if let Some(reason) = &hosted.broken {
            return Err(MakeError::File { reason: reason.clone() });
        }
        hosted.chain.set_time_s(seconds(wall));
        let made = make(&mut hosted.chain)?;
        let written = hosted.write().map_err(|error| error.to_string());
        hosted.broken = written.clone().err();
        hosted.ring();
        written.map(|()| made).map_err(|reason| MakeError::File { reason })
    }

    /// From now on this pipe hears of new blocks.
    pub(super) fn add_bell(&self, bell: pipe::Sender) {
        self.lock().bells.push(bell);
    }

    /// What a bitcoind would answer.
    pub(super) fn answer(&self, call: &Call) -> Result<Answer<'static>, RpcError> {
        let chain = &mut self.lock().chain;
        let tip = chain.tip();
        Ok(match call {
            Call::NetworkInfo => Answer::NetworkInfo(NetworkInfo { subversion: "/leyden-embedded/".to_owned() }),
            Call::ChainInfo => Answer::ChainInfo(ChainInfo {
                chain: "regtest".to_owned(),
                blocks: tip.height.0,
                headers: tip.height.0,
                best: tip.hash,
                is_downloading: false,
            }),
            Call::BestBlock => Answer::BestBlock(tip.hash),
            Call::Header(hash) => Answer::Header(header(chain, *hash)?),
            Call::Block(hash) => {
                let block = chain.block_by_hash(hash).ok_or_else(not_found)?;
                Answer::Block(serialize_hex(&block.to_bitcoin()).into())
            }
            Call::EstimateFee(blocks) => Answer::Fee(Some(u64::from(chain.feerate_for(u32::from(*blocks))))),
            Call::MempoolInfo => Answer::MempoolMinimum(Some(u64::from(chain.feerates().mempool_minimum))),
            Call::Send(hex) => {
                let tx: Transaction = deserialize_hex(hex)
                    .map_err(|error| RpcError { code: DECODE_FAILED, message: format!("TX decode failed: {error}") })?;
                chain.broadcast(&tx).map_err(|refused| rejection(&refused))?;
                Answer::Sent
            }
        })
    }
}

impl Hosted {
    /// Writes the blocks that are not in the file yet.
    fn write(&mut self) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut blocks = Vec::new();
        let mut height = self.chain.tip().height.0;
        // The genesis block is everywhere.
        while height > 0
            && let Some(block) = self.chain.block(BlockHeight(height))
            && self.written.insert(block.tip.hash)
        {
            blocks.push(block.to_bitcoin());
            height -= 1;
        }
        file.append(blocks.iter().rev())
    }

    fn ring(&mut self) {
        // A full pipe rings already; one that nobody holds at the other end is of no use any more.
        self.bells.retain_mut(|bell| match bell.write(&[0]) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
    }
}

/// bitcoind's numbers: a transaction that does not read, one with unknown inputs, one that a rule forbids.
const DECODE_FAILED: i64 = -22;
const VERIFY_ERROR: i64 = -25;
const VERIFY_REJECTED: i64 = -26;

fn rejection(refused: &Refused) -> RpcError {
    let code = if matches!(refused, Refused::MissingInput(_)) { VERIFY_ERROR } else { VERIFY_REJECTED };
    RpcError { code, message: refused.to_string() }
}

fn not_found() -> RpcError {
    RpcError { code: code::NOT_FOUND, message: "Block not found".to_owned() }
}

fn header(chain: &Chain, hash: BlockHash) -> Result<HeaderInfo, RpcError> {
    let block = chain.block_by_hash(&hash).ok_or_else(not_found)?;
    let height = block.tip.height;
    let is_active = chain.is_active(&hash);
    Ok(HeaderInfo {
        confirmations: if is_active { i64::from(chain.tip().height.0 - height.0) + 1 } else { -1 },
        height: height.0,
        previous: (height.0 > 0).then_some(block.header.prev_blockhash),
        next: chain.block(height.plus(1)).filter(|_| is_active).map(|next| next.tip.hash),
    })
}
