//! About a chain that the process itself hosts: there, blocks and coins are to be had for the asking.
//!
//! The core takes no part in making them. These requests stand among the others so that clients ask them the same way;
//! the loop answers them, and whatever reaches the core is refused.

use bitcoin::{BlockHash, OutPoint, ScriptBuf};

use super::RequestError;
use crate::amount::Sat;
use crate::ids::BlockHeight;

/// Asks to mine.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct DevGenerate {
    /// How many blocks.
    pub blocks: u32,
    /// Who gets what they pay; `None`: nobody who could spend it.
    #[bincode(with_serde)]
    pub destination: Option<ScriptBuf>,
}

/// Answers [`super::Request::DevGenerate`], once this node has taken the blocks in.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct DevGenerated {
    /// The height of the last one.
    pub height: BlockHeight,
    /// The blocks, in their order.
    #[bincode(with_serde)]
    pub blocks: Vec<BlockHash>,
}

/// Asks for coins out of nowhere, in a block at once.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct DevFaucet {
    /// How much.
    pub amount: Sat,
    /// To whom; `None`: to this node's wallet.
    #[bincode(with_serde)]
    pub destination: Option<ScriptBuf>,
}

/// Answers [`super::Request::DevFaucet`], once this node has taken the block in.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct DevGift {
    /// The coin.
    #[bincode(with_serde)]
    pub outpoint: OutPoint,
    /// What it is worth.
    pub amount: Sat,
    /// Whose it is.
    #[bincode(with_serde)]
    pub script: ScriptBuf,
    /// Its block's height.
    pub height: BlockHeight,
}

/// What a node says that has its chain from elsewhere.
pub(crate) fn refusal() -> RequestError {
    RequestError::generic(
        "blocks and coins cannot be made here: this node's chain is a bitcoind's, which mines by \
         `bitcoin-cli generatetoaddress`; `leydend playground` and `leydend --chain embedded` host a chain of their own",
    )
}
