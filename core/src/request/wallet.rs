//! About money on chain.

use bitcoin::{OutPoint, Psbt, ScriptBuf, Transaction};

use super::channel::ChannelState;
use super::{AmountOrAll, FeerateChoice};
use crate::amount::{Msat, Sat};
use crate::ids::{BlockHeight, ChannelId, NodeId, ShortChannelId};

/// A PSBT as BIP 174 writes it. Kept as bytes so that it is recorded exactly as it came.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PsbtBytes(pub Vec<u8>);

impl PsbtBytes {
    /// What it says.
    pub fn parse(&self) -> Result<Psbt, bitcoin::psbt::Error> {
        Psbt::deserialize(&self.0)
    }
}

impl From<&Psbt> for PsbtBytes {
    fn from(psbt: &Psbt) -> PsbtBytes {
        PsbtBytes(psbt.serialize())
    }
}

/// Which kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum AddressKind {
    /// Segregated witness, version 0.
    P2wpkh,
    /// Taproot.
    P2tr,
    /// One of each.
    All,
}

/// Answers [`super::Request::NewAddr`]: the scripts of fresh addresses.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Addresses {
    /// Taproot.
    #[bincode(with_serde)]
    pub p2tr: Option<ScriptBuf>,
    /// Segregated witness, version 0.
    #[bincode(with_serde)]
    pub p2wpkh: Option<ScriptBuf>,
}

/// Answers [`super::Request::ListFunds`].
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Funds {
    /// Outputs of the wallet.
    pub outputs: Vec<FundsOutput>,
    /// Channels.
    pub channels: Vec<FundsChannel>,
}

/// An output of the wallet.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FundsOutput {
    /// Which.
    #[bincode(with_serde)]
    pub outpoint: OutPoint,
    /// How much.
    pub amount_sat: Sat,
    /// To whom.
    #[bincode(with_serde)]
    pub script: ScriptBuf,
    /// What can be done with it.
    pub status: OutputStatus,
    /// Kept for somebody until this height.
    pub reserved_to: Option<BlockHeight>,
}

/// What can be done with an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum OutputStatus {
    /// Not in a block.
    Unconfirmed,
    /// In a block of this height.
    Confirmed(BlockHeight),
    /// In a block of this height, and still locked by its script or as a coinbase.
    Immature(BlockHeight),
    /// Spent; it was in a block of this height, if in any.
    Spent(Option<BlockHeight>),
}

/// A channel as a store of money.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FundsChannel {
    /// With whom.
    pub peer_id: NodeId,
    /// Is there a connection?
    pub connected: bool,
    /// Where it stands.
    pub state: ChannelState,
    /// Its id.
    pub channel_id: ChannelId,
    /// Its place in the chain, once known.
    pub short_channel_id: Option<ShortChannelId>,
    /// Our balance.
    pub our_amount_msat: Msat,
    /// All there is.
    pub amount_msat: Msat,
    /// Its funding.
    #[bincode(with_serde)]
    pub funding: OutPoint,
}

/// Asks to pay to an address.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Withdraw {
    /// To whom.
    #[bincode(with_serde)]
    pub destination: ScriptBuf,
    /// How much.
    pub amount: AmountOrAll,
    /// What it may cost; `None`: to confirm within 12 blocks.
    pub feerate: Option<FeerateChoice>,
    /// How deep the inputs must be.
    pub min_confirmations: u32,
    /// The inputs; `None` means that the wallet chooses.
    #[bincode(with_serde)]
    pub utxos: Option<Vec<OutPoint>>,
}

/// Answers [`super::Request::Withdraw`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Withdrawn {
    /// The transaction.
    #[bincode(with_serde)]
    pub tx: Transaction,
    /// The same, with what its inputs spend.
    pub psbt: PsbtBytes,
}

/// One entry of the answer to [`super::Request::ListTransactions`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct WalletTransaction {
    /// The transaction.
    #[bincode(with_serde)]
    pub tx: Transaction,
    /// The block that holds it and its index there; `None` while it is in none.
    pub confirmed: Option<(BlockHeight, u32)>,
}

/// Asks to keep inputs for the maker of a PSBT.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ReserveInputs {
    /// The inputs.
    pub psbt: PsbtBytes,
    /// Fail if one of them is kept already.
    pub exclusive: bool,
    /// For how many blocks.
    pub blocks: u32,
}

/// Asks to release inputs.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct UnreserveInputs {
    /// The inputs.
    pub psbt: PsbtBytes,
    /// By how many blocks to shorten the time.
    pub blocks: u32,
}

/// How an input is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Reservation {
    /// The input.
    #[bincode(with_serde)]
    pub outpoint: OutPoint,
    /// Was it kept before?
    pub was_reserved: bool,
    /// Until when it is kept now, if it is.
    pub reserved_to: Option<BlockHeight>,
}

/// Asks for inputs that are worth an amount.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FundPsbt {
    /// The amount.
    pub amount: AmountOrAll,
    /// What the transaction shall pay.
    pub feerate: FeerateChoice,
    /// Weight of what the client will add.
    pub start_weight: u32,
    /// How deep the inputs must be.
    pub min_confirmations: u32,
    /// For how many blocks to keep them; zero: not at all.
    pub reserve_blocks: u32,
    /// The lock time; `None`: one that hides among others.
    pub locktime: Option<u32>,
    /// Count every input's witness as at least so heavy.
    pub min_witness_weight: u32,
    /// Add an output of ours for what is too much.
    pub excess_as_change: bool,
    /// Keep enough aside to bump commitments with anchors.
    pub opening_anchor_channel: bool,
}

/// Answers [`super::Request::FundPsbt`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PsbtFunded {
    /// The inputs.
    pub psbt: PsbtBytes,
    /// The feerate that was taken.
    pub feerate_per_kw: u32,
    /// Weight of the transaction with the client's part and our witnesses.
    pub estimated_final_weight: u32,
    /// What is left over.
    pub excess_msat: Msat,
    /// The output that takes it, if there is one.
    pub change_output: Option<u32>,
    /// How the inputs are kept.
    pub reservations: Vec<Reservation>,
}

/// Asks to sign the wallet's inputs.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SignPsbt {
    /// Of what.
    pub psbt: PsbtBytes,
    /// Only these inputs; `None`: all that are ours.
    pub sign_only: Option<Vec<u32>>,
}

/// Asks to finish and broadcast.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SendPsbt {
    /// What.
    pub psbt: PsbtBytes,
    /// For how many blocks to keep its inputs.
    pub reserve_blocks: u32,
}

/// Answers [`super::Request::SendPsbt`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PsbtSent {
    /// The transaction.
    #[bincode(with_serde)]
    pub tx: Transaction,
}
