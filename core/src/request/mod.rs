//! What control clients ask, and what they get: plain data, so that requests can be recorded and replayed, and so that
//! nothing here depends on how either is written on a socket.
//!
//! Each topic has a file: the arguments of a request and the parts of its answer stand side by side there.

pub mod channel;
pub mod dev;
pub mod error;
pub mod graph;
pub mod invoice;
pub mod node;
pub mod payment;
pub mod peer;
pub mod wallet;

pub use error::{ErrorData, RequestError};

use crate::amount::Msat;
use crate::ids::{BlockHeight, NodeId, PaymentHash, Preimage, ShortChannelId};

/// A request of a control client. Each variant says which [`Response`] answers it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Request {
    /// Who are we? [`Response::NodeInfo`].
    Getinfo,
    /// End the process. [`Response::Stopping`], the last thing that is said.
    Stop,
    /// What do transactions cost? [`Response::Feerates`].
    Feerates(node::FeerateStyle),
    /// Answer once the chain is this high. [`Response::BlockHeight`].
    WaitBlockHeight(node::WaitBlockHeight),
    /// Answer once a list has come so far. [`Response::Grown`].
    Wait(node::Wait),
    /// Sign a text with the node's key. [`Response::MessageSignature`].
    SignMessage {
        /// The text.
        message: String,
    },

    /// Connect to a node. [`Response::Connected`].
    Connect(peer::Connect),
    /// End a connection. [`Response::Done`].
    Disconnect(peer::Disconnect),
    /// Whom do we know? [`Response::Peers`].
    ListPeers {
        /// Only this one.
        id: Option<NodeId>,
    },
    /// Does a peer answer? [`Response::Pong`].
    Ping(peer::Ping),

    /// The channels that are not forgotten. [`Response::PeerChannels`].
    ListPeerChannels(channel::ListPeerChannels),
    /// The channels that are forgotten. [`Response::ClosedChannels`].
    ListClosedChannels {
        /// Only those with this peer.
        id: Option<NodeId>,
    },
    /// Open a channel. [`Response::ChannelFunded`].
    FundChannel(Box<channel::FundChannel>),
    /// Close a channel. [`Response::ChannelClosed`].
    Close(Box<channel::Close>),
    /// Change what a channel charges and takes. [`Response::ChannelPolicies`].
    SetChannel(channel::SetChannel),

    /// A fresh address of the wallet. [`Response::Addresses`].
    NewAddr(wallet::AddressKind),
    /// What do we own? [`Response::Funds`].
    ListFunds {
        /// Outputs that are spent already, too.
        spent: bool,
    },
    /// Pay to an address. [`Response::Withdrawn`].
    Withdraw(Box<wallet::Withdraw>),
    /// The transactions of the wallet. [`Response::Transactions`].
    ListTransactions,
    /// Keep the inputs of a PSBT for its maker. [`Response::Reservations`].
    ReserveInputs(wallet::ReserveInputs),
    /// Release them. [`Response::Reservations`].
    UnreserveInputs(wallet::UnreserveInputs),
    /// Choose inputs that are worth an amount. [`Response::PsbtFunded`].
    FundPsbt(wallet::FundPsbt),
    /// Sign the wallet's inputs. [`Response::PsbtSigned`].
    SignPsbt(wallet::SignPsbt),
    /// Finish and broadcast. [`Response::PsbtSent`].
    SendPsbt(wallet::SendPsbt),

    /// A new invoice. [`Response::InvoiceCreated`].
    Invoice(Box<invoice::CreateInvoice>),
    /// The invoices. [`Response::Invoices`].
    ListInvoices(invoice::ListInvoices),
    /// Answer once this one is paid or expired. [`Response::Invoice`].
    WaitInvoice {
        /// Which.
        label: String,
    },
    /// Answer once any invoice is paid after a point. [`Response::Invoice`].
    WaitAnyInvoice(invoice::WaitAnyInvoice),
    /// Forget an invoice. [`Response::Invoice`].
    DelInvoice(invoice::DelInvoice),
    /// Take what is held for the invoice of this preimage. [`Response::Invoice`].
    SettleHoldInvoice {
        /// The proof of payment.
        preimage: Preimage,
    },
    /// Give back what is held for an invoice, and take nothing more. [`Response::Invoice`].
    CancelHoldInvoice {
        /// Which.
        payment_hash: PaymentHash,
    },

    /// Pay an invoice. [`Response::Paid`].
    Pay(Box<payment::Pay>),
    /// Pay an invoice, the newer call. [`Response::XPaid`].
    XPay(Box<payment::XPay>),
    /// Payments, one row for each, whatever its parts. [`Response::Pays`].
    ListPays(payment::ListPays),
    /// Send one part over a given route. [`Response::SendPay`].
    SendPay(Box<payment::SendPay>),
    /// Answer once a part is settled or failed. [`Response::SendPay`].
    WaitSendPay(payment::WaitSendPay),
    /// Parts of payments. [`Response::SendPays`].
    ListSendPays(payment::ListPays),
    /// Build an onion. [`Response::Onion`].
    CreateOnion(payment::CreateOnion),
    /// Send a given onion. [`Response::SendPay`].
    SendOnion(Box<payment::SendOnion>),
    /// What we forwarded. [`Response::Forwards`].
    ListForwards(payment::ListForwards),

    /// Nodes of the network. [`Response::Nodes`].
    ListNodes {
        /// Only this one.
        id: Option<NodeId>,
    },
    /// Channels of the network. [`Response::Channels`].
    ListChannels(graph::ListChannels),

    /// Mine, where the process hosts the chain. [`Response::DevGenerated`].
    DevGenerate(dev::DevGenerate),
    /// Make coins, where the process hosts the chain. [`Response::DevGift`].
    DevFaucet(dev::DevFaucet),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Response {
    /// Nothing to tell but success.
    Done,
    /// The process ends after this turn.
    Stopping,
    /// To [`Request::Getinfo`].
    NodeInfo(Box<node::NodeInfo>),
    /// To [`Request::Feerates`].
    Feerates(Box<node::FeeratesInfo>),
    /// To [`Request::WaitBlockHeight`].
    BlockHeight(BlockHeight),
    /// To [`Request::Wait`].
    Grown(node::Grown),
    /// To [`Request::SignMessage`].
    MessageSignature(node::MessageSignature),
    /// To [`Request::Connect`].
    Connected(peer::ConnectedPeer),
    /// To [`Request::ListPeers`].
    Peers(Vec<peer::PeerInfo>),
    /// To [`Request::Ping`].
    Pong {
        /// How long the answer was, with type and length field.
        total_len: u16,
    },
    /// To [`Request::ListPeerChannels`].
    PeerChannels(Vec<channel::PeerChannel>),
    /// To [`Request::ListClosedChannels`].
    ClosedChannels(Vec<channel::ClosedChannel>),
    /// To [`Request::FundChannel`].
    ChannelFunded(Box<channel::ChannelFunded>),
    /// To [`Request::Close`].
    ChannelClosed(channel::ChannelClosed),
    /// To [`Request::SetChannel`]: one entry for each channel that changed.
    ChannelPolicies(Vec<channel::ChannelPolicy>),
    /// To [`Request::NewAddr`].
    Addresses(wallet::Addresses),
    /// To [`Request::ListFunds`].
    Funds(wallet::Funds),
    /// To [`Request::Withdraw`].
    Withdrawn(Box<wallet::Withdrawn>),
    /// To [`Request::ListTransactions`].
    Transactions(Vec<wallet::WalletTransaction>),
    /// To [`Request::ReserveInputs`] and [`Request::UnreserveInputs`].
    Reservations(Vec<wallet::Reservation>),
    /// To [`Request::FundPsbt`].
    PsbtFunded(Box<wallet::PsbtFunded>),
    /// To [`Request::SignPsbt`].
    PsbtSigned(wallet::PsbtBytes),
    /// To [`Request::SendPsbt`].
    PsbtSent(Box<wallet::PsbtSent>),
    /// To [`Request::Invoice`].
    InvoiceCreated(Box<invoice::InvoiceCreated>),
    /// To [`Request::ListInvoices`].
    Invoices(Vec<invoice::InvoiceInfo>),
    /// To [`Request::WaitInvoice`], [`Request::WaitAnyInvoice`], [`Request::DelInvoice`],
    /// [`Request::SettleHoldInvoice`] and [`Request::CancelHoldInvoice`].
    Invoice(Box<invoice::InvoiceInfo>),
    /// To [`Request::Pay`].
    Paid(payment::Paid),
    /// To [`Request::XPay`].
    XPaid(payment::XPaid),
    /// To [`Request::ListPays`].
    Pays(Vec<payment::PayInfo>),
    /// To [`Request::SendPay`], [`Request::SendOnion`] and [`Request::WaitSendPay`].
    SendPay(Box<payment::SendPayInfo>),
    /// To [`Request::ListSendPays`].
    SendPays(Vec<payment::SendPayInfo>),
    /// To [`Request::CreateOnion`].
    Onion(Box<payment::OnionBuilt>),
    /// To [`Request::ListForwards`].
    Forwards(Vec<payment::ForwardInfo>),
    /// To [`Request::ListNodes`].
    Nodes(Vec<graph::GraphNode>),
    /// To [`Request::ListChannels`].
    Channels(Vec<graph::GraphChannel>),
    /// To [`Request::DevGenerate`].
    DevGenerated(dev::DevGenerated),
    /// To [`Request::DevFaucet`].
    DevGift(Box<dev::DevGift>),
}

/// Which rows of a list to show. Lists are numbered from 1, both by when a row came to be and by when it last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Page {
    /// Which numbering; `None` means all rows, by creation.
    pub index: Option<ListIndex>,
    /// The first number to show.
    pub start: u64,
    /// At most so many rows.
    pub limit: Option<u32>,
}

/// A numbering of the rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ListIndex {
    /// By when the row came to be.
    Created,
    /// By when the row last changed.
    Updated,
}

/// A feerate as a client may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FeerateChoice {
    /// Satoshi per 1,000 weight units.
    PerKw(u32),
    /// To confirm within 6 blocks.
    Urgent,
    /// To confirm within 12 blocks.
    Normal,
    /// To confirm within 100 blocks.
    Slow,
    /// The least that the backend's mempool takes.
    Minimum,
    /// What we use to open channels.
    Opening,
    /// What we use to close channels together.
    MutualClose,
    /// What we use to close channels alone.
    UnilateralClose,
    /// What we use to punish.
    Penalty,
    /// To confirm within this many blocks.
    Blocks(u32),
}

/// An amount, or all that can be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum AmountOrAll {
    /// This much.
    Amount(crate::amount::Sat),
    /// As much as there is, less fees.
    All,
}

/// One of the two directions of a channel in the network's map (BOLT 7: 0 leads from the lesser node id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct ScidDir {
    /// The channel.
    pub short_channel_id: ShortChannelId,
    /// 0 or 1.
    pub direction: u8,
}

/// What a channel charges for forwarding, and which HTLCs it takes: one direction's BOLT 7 policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ForwardPolicy {
    /// The smallest HTLC.
    pub htlc_minimum_msat: Msat,
    /// The largest HTLC.
    pub htlc_maximum_msat: Msat,
    /// Blocks between the incoming and the outgoing deadline.
    pub cltv_expiry_delta: u16,
    /// Fee for every HTLC.
    pub fee_base_msat: Msat,
    /// Fee in millionths of the amount.
    pub fee_proportional_millionths: u32,
}

#[cfg(test)]
mod tests;
