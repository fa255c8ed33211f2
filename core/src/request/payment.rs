//! About money that we owe others, and that passes through.

use super::{Page, ScidDir};
use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{HtlcId, NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId};

/// Asks to pay an invoice.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Pay {
    /// The invoice.
    pub invoice: String,
    /// How much, if the invoice leaves it open.
    pub amount_msat: Option<Msat>,
    /// The client's own name for it.
    pub label: Option<String>,
    /// What it may cost.
    pub fee_limit: FeeLimit,
    /// For how long to try.
    pub retry_for_s: u64,
    /// For how many blocks a route may lock money; `None`: what the node allows.
    pub max_delay_blocks: Option<u32>,
    /// What routes must not use.
    pub exclude: Vec<Exclusion>,
    /// The text whose hash the invoice holds, if it holds one.
    pub description: Option<String>,
    /// Pay only so much of it: others pay the rest.
    pub partial_msat: Option<Msat>,
}

impl Pay {
    /// For how long to try, unless somebody says otherwise: a minute, as with Core Lightning.
    pub const RETRY_FOR_S: u64 = 60;

    /// All of an invoice that says how much, at what the node thinks fair.
    pub fn new(invoice: impl Into<String>) -> Pay {
        Pay {
            invoice: invoice.into(),
            amount_msat: None,
            label: None,
            fee_limit: FeeLimit::Default,
            retry_for_s: Pay::RETRY_FOR_S,
            max_delay_blocks: None,
            exclude: Vec::new(),
            description: None,
            partial_msat: None,
        }
    }
}

/// What a payment may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FeeLimit {
    /// What the node allows.
    Default,
    /// This.
    Absolute(Msat),
    /// This share of the amount, and in any case so much.
    Proportional {
        /// Millionths of the amount.
        millionths: u64,
        /// Fees up to this are fine, however small the amount.
        exempt_msat: Msat,
    },
}

/// What a route must not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Exclusion {
    /// A node.
    Node(NodeId),
    /// One direction of a channel.
    Channel(ScidDir),
}

/// Answers [`super::Request::Pay`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Paid {
    /// The proof.
    pub preimage: Preimage,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// To whom.
    pub destination: Option<NodeId>,
    /// Since when.
    pub created_at: Wall,
    /// How many parts were tried.
    pub parts: u32,
    /// How much arrived.
    pub amount_msat: Msat,
    /// How much left.
    pub amount_sent_msat: Msat,
    /// Some parts are not settled yet.
    pub partial_completion: bool,
}

/// Asks to pay an invoice, the newer call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct XPay {
    /// The invoice.
    pub invoice: String,
    /// How much, if the invoice leaves it open.
    pub amount_msat: Option<Msat>,
    /// What it may cost; `None`: what the node allows.
    pub max_fee_msat: Option<Msat>,
    /// For how long to try.
    pub retry_for_s: u64,
    /// Pay only so much of it: others pay the rest.
    pub partial_msat: Option<Msat>,
    /// For how many blocks a route may lock money; `None`: what the node allows.
    pub max_delay_blocks: Option<u32>,
    /// The client's own name for it.
    pub label: Option<String>,
}

/// Answers [`super::Request::XPay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct XPaid {
    /// The proof.
    pub preimage: Preimage,
    /// Parts that failed.
    pub failed_parts: u32,
    /// Parts that arrived.
    pub successful_parts: u32,
    /// How much arrived.
    pub amount_msat: Msat,
    /// How much left.
    pub amount_sent_msat: Msat,
}

/// Asks for payments, or for their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ListPays {
    /// Only for this invoice.
    pub invoice: Option<String>,
    /// Only for this hash.
    pub payment_hash: Option<PaymentHash>,
    /// Only in this state.
    pub status: Option<PayStatus>,
    /// Which rows of these.
    pub page: Page,
}

/// Where a payment or a part of one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum PayStatus {
    /// On its way.
    Pending,
    /// It came back.
    Failed,
    /// It arrived.
    Complete,
}

/// One entry of the answer to [`super::Request::ListPays`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PayInfo {
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// Where it stands.
    pub status: PayStatus,
    /// To whom.
    pub destination: Option<NodeId>,
    /// Since when, Unix seconds.
    pub created_at_s: u64,
    /// When it ended, Unix seconds.
    pub completed_at_s: Option<u64>,
    /// The client's own name for it.
    pub label: Option<String>,
    /// The invoice.
    pub bolt11: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// How much arrives; `None` if parts were sent that did not say.
    pub amount_msat: Option<Msat>,
    /// How much left.
    pub amount_sent_msat: Msat,
    /// The proof, once complete.
    pub preimage: Option<Preimage>,
    /// How many parts arrived.
    pub number_of_parts: Option<u32>,
    /// Number by creation of its first part.
    pub created_index: u64,
    /// Number by last change of its parts.
    pub updated_index: Option<u64>,
}

/// One hop of a route that a client gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RouteHop {
    /// Where it ends.
    pub node: NodeId,
    /// Over which channel.
    pub channel: ShortChannelId,
    /// How much arrives at its end.
    pub amount_msat: Msat,
    /// Blocks that the HTLC has left at its end.
    pub delay: u32,
}

/// Asks to send one part over a given route.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SendPay {
    /// The route, from us to the destination; not empty.
    pub route: Vec<RouteHop>,
    /// The hash.
    pub payment_hash: PaymentHash,
    /// The client's own name for it.
    pub label: Option<String>,
    /// What all parts together pay; `None`: this is all.
    pub total_msat: Option<Msat>,
    /// The invoice, to be remembered.
    pub bolt11: Option<String>,
    /// The invoice's secret.
    pub payment_secret: Option<PaymentSecret>,
    /// Which part.
    pub part_id: u64,
    /// Which attempt; `None`: the next.
    pub group_id: Option<u64>,
    /// The invoice's metadata.
    pub payment_metadata: Option<Vec<u8>>,
    /// What it is for, to be remembered.
    pub description: Option<String>,
}

impl SendPay {
    /// The only part of a payment.
    pub fn new(route: Vec<RouteHop>, payment_hash: PaymentHash, payment_secret: Option<PaymentSecret>) -> SendPay {
        SendPay {
            route,
            payment_hash,
            label: None,
            total_msat: None,
            bolt11: None,
            payment_secret,
            part_id: 0,
            group_id: None,
            payment_metadata: None,
            description: None,
        }
    }
}

/// Asks to be told how a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct WaitSendPay {
    /// The hash.
    pub payment_hash: PaymentHash,
    /// For how long; `None`: forever.
    pub timeout_s: Option<u64>,
    /// Which part; `None`: the only one.
    pub part_id: Option<u64>,
    /// Which attempt; `None`: the last.
    pub group_id: Option<u64>,
}

/// A part of a payment.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SendPayInfo {
    /// Its number by creation.
    pub created_index: u64,
    /// Its number by last change, once it has changed.
    pub updated_index: Option<u64>,
    /// Which attempt.
    pub group_id: u64,
    /// Which part; zero if it is the only one.
    pub part_id: u64,
    /// The hash.
    pub payment_hash: PaymentHash,
    /// Where it stands.
    pub status: PayStatus,
    /// How much arrives, if known.
    pub amount_msat: Option<Msat>,
    /// How much left.
    pub amount_sent_msat: Msat,
    /// To whom, if known.
    pub destination: Option<NodeId>,
    /// Since when, Unix seconds.
    pub created_at_s: u64,
    /// When it ended.
    pub completed_at: Option<Wall>,
    /// The client's own name for it.
    pub label: Option<String>,
    /// The invoice.
    pub bolt11: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// The proof, once complete.
    pub preimage: Option<Preimage>,
    /// The failure as it came, if we could not read it.
    pub error_onion: Option<Vec<u8>>,
    /// For people: what to do next.
    pub message: Option<String>,
}

/// Asks to build an onion.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CreateOnion {
    /// The hops, first first; not empty.
    pub hops: Vec<OnionHop>,
    /// What binds it to a payment.
    pub associated_data: Vec<u8>,
    /// The session key; `None`: one that nobody knows. A key that a client gives is no secret of this node.
    pub session_key: Option<[u8; 32]>,
    /// Size of the hops' part; 1300 in payments.
    pub onion_size: u16,
}

/// One hop of an onion that a client gives.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct OnionHop {
    /// Who opens it.
    pub node: NodeId,
    /// What it finds, with its length in front.
    pub payload: Vec<u8>,
}

/// Answers [`super::Request::CreateOnion`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct OnionBuilt {
    /// The packet.
    pub onion: Vec<u8>,
    /// With these its failures can be read, first hop first.
    pub shared_secrets: Vec<[u8; 32]>,
}

/// Asks to send a given onion.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SendOnion {
    /// The packet.
    pub onion: Vec<u8>,
    /// To whom it goes.
    pub first_hop: FirstHop,
    /// The hash.
    pub payment_hash: PaymentHash,
    /// The client's own name for it.
    pub label: Option<String>,
    /// To read failures; `None`: the client reads them.
    pub shared_secrets: Option<Vec<[u8; 32]>>,
    /// Which part.
    pub part_id: u64,
    /// The invoice, to be remembered.
    pub bolt11: Option<String>,
    /// How much arrives, to be remembered.
    pub amount_msat: Option<Msat>,
    /// To whom, to be remembered.
    pub destination: Option<NodeId>,
    /// Which attempt; `None`: the next.
    pub group_id: Option<u64>,
    /// What it is for, to be remembered.
    pub description: Option<String>,
}

/// Where a given onion goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FirstHop {
    /// To whom, or over which channel; at least one is given.
    pub node: Option<NodeId>,
    /// Over which channel.
    pub channel: Option<ShortChannelId>,
    /// How much it takes.
    pub amount_msat: Msat,
    /// Blocks that the HTLC has.
    pub delay: u32,
}

/// Asks for forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ListForwards {
    /// Only in this state.
    pub status: Option<ForwardStatus>,
    /// Only those that came in here.
    pub in_channel: Option<ShortChannelId>,
    /// Only those that went out there.
    pub out_channel: Option<ShortChannelId>,
    /// Which rows of these.
    pub page: Page,
}

/// Where a forward stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum ForwardStatus {
    /// On its way.
    Offered,
    /// It arrived, and we earned its fee.
    Settled,
    /// Somebody further on refused it.
    Failed,
    /// We refused it.
    LocalFailed,
}

/// One entry of the answer to [`super::Request::ListForwards`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ForwardInfo {
    /// Its number by creation.
    pub created_index: u64,
    /// Its number by last change, once it has changed.
    pub updated_index: Option<u64>,
    /// Where it came in.
    pub in_channel: ShortChannelId,
    /// Its id there.
    pub in_htlc: Option<HtlcId>,
    /// How much came in.
    pub in_msat: Msat,
    /// Where it went out, or was meant to.
    pub out_channel: Option<ShortChannelId>,
    /// Its id there.
    pub out_htlc: Option<HtlcId>,
    /// How much went out.
    pub out_msat: Option<Msat>,
    /// The difference.
    pub fee_msat: Option<Msat>,
    /// Where it stands.
    pub status: ForwardStatus,
    /// BOLT 4's code, if we refused it.
    pub failure_code: Option<u16>,
    /// When it came.
    pub received_at: Wall,
    /// When it ended.
    pub resolved_at: Option<Wall>,
}
