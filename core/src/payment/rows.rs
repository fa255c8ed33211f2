//! Rows of outgoing payments and of forwards.
//!
//! A payment is everything sent for one (payment hash, group). What never changes is one row, how it ended another:
//! so a payment is written once and its end costs a few bytes.

use super::route::{FinalData, Hop};
use crate::amount::Msat;
use crate::ids::{ChannelKey, HtlcId, NodeId, PaymentHash, Preimage, ShortChannelId};
use crate::store::{Key, RowError, RowValue, Table, decode_from};

/// An outgoing payment, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PaymentRow {
    /// What a preimage is bought for.
    pub payment_hash: PaymentHash,
    /// Attempts of one hash that may not run at the same time have different groups.
    pub group: u64,
    /// Who is paid, where known.
    pub destination: Option<NodeId>,
    /// What the destination shall receive, where known.
    pub amount: Option<Msat>,
    /// Unix seconds.
    pub created_at_s: u64,
    /// The caller's name for it.
    pub label: Option<String>,
    /// The invoice paid.
    pub bolt11: Option<String>,
    /// The invoice's description, or what the caller says it is.
    pub description: Option<String>,
}

impl RowValue for PaymentRow {
    const TABLE: Table = Table::Payment;
}

/// How a payment ended.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PaymentEndRow {
    /// Unix seconds.
    pub ended_at_s: u64,
    /// The proof, or nothing: then it failed.
    pub preimage: Option<[u8; 32]>,
    /// What left this node in all, fees included; zero when it failed.
    pub amount_sent: Msat,
    /// What the destination received of it; zero when it failed.
    pub amount_received: Msat,
    /// How many parts succeeded.
    pub parts: u32,
}

impl RowValue for PaymentEndRow {
    const TABLE: Table = Table::PaymentEnd;
}

/// One HTLC of a payment.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PartRow {
    /// The payment's created index.
    pub payment: u64,
    /// Repeated, so that a part can be listed by itself.
    pub payment_hash: PaymentHash,
    /// Repeated likewise.
    pub group: u64,
    /// The caller's or our number of it within the payment; zero for the only one.
    pub part_id: u64,
    /// Unix seconds.
    pub created_at_s: u64,
    /// What it is made of.
    pub content: PartContent,
    /// How it is.
    pub state: PartState,
    /// Its number by its last change, once it has changed. What changed before such numbers were kept has none.
    pub updated: Option<u64>,
}

/// Version 1 of [`PartRow`].
#[derive(bincode::Encode, bincode::Decode)]
struct PartRow1 {
    payment: u64,
    payment_hash: PaymentHash,
    group: u64,
    part_id: u64,
    created_at_s: u64,
    content: PartContent,
    state: PartState,
}

/// What an onion is built from: enough to build it again, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum PartContent {
    /// A route of ours.
    Route {
        /// Where it goes; never empty.
        hops: Vec<Hop>,
        /// For the last hop.
        last: FinalData,
        /// The session key the onion is built with.
        session_key: [u8; 32],
    },
    /// An onion that the caller of `sendonion` made; it is a row of its own.
    Onion {
        /// The first hop.
        first: Hop,
        /// What the destination receives, where the caller said so.
        amount: Option<Msat>,
        /// The destination, where the caller said so.
        destination: Option<NodeId>,
        /// The caller's shared secrets, to read failures with.
        shared_secrets: Vec<[u8; 32]>,
    },
}

impl PartContent {
    /// The hop that this node sends to.
    pub fn first(&self) -> &Hop {
        match self {
            PartContent::Route { hops, .. } => hops.first().expect("a route is never empty"),
            PartContent::Onion { first, .. } => first,
        }
    }

    /// What the destination receives of it, where known.
    pub fn amount(&self) -> Option<Msat> {
        match self {
            PartContent::Route { hops, .. } => hops.last().map(|hop| hop.amount),
            PartContent::Onion { amount, .. } => *amount,
        }
    }

    /// The destination, where known.
    pub fn destination(&self) -> Option<NodeId> {
        match self {
            PartContent::Route { hops, .. } => hops.last().map(|hop| hop.node_id),
            PartContent::Onion { destination, .. } => *destination,
        }
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum PartState {
    /// On its way: an HTLC of this channel, whose id the channel knows.
    Pending {
        /// The channel it left by.
        channel: ChannelKey,
    },
    /// The preimage has come.
    Complete {
        /// Proof of payment.
        preimage: [u8; 32],
        /// Unix seconds.
        at_s: u64,
    },
    /// It came back.
    Failed {
        /// Why.
        failure: PartFailure,
        /// Unix seconds.
        at_s: u64,
    },
}

/// Why a part came back.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PartFailure {
    /// Which node of the route says so: 0 is this node, 1 the first hop's. `None`: the failure was unreadable, and
    /// it is not known who made it so.
    pub erring_index: Option<u32>,
    /// BOLT 4 failure code; zero when unreadable.
    pub code: u16,
    /// The failure message as it came, or, where unreadable, the whole onion.
    pub raw: Vec<u8>,
    /// Does the destination itself refuse?
    pub by_destination: bool,
    /// For people.
    pub message: String,
}

impl RowValue for PartRow {
    const TABLE: Table = Table::Part;
    const VERSION: u8 = 2;

    fn decode_old(version: u8, bytes: &[u8]) -> Result<PartRow, RowError> {
        let PartRow1 { payment, payment_hash, group, part_id, created_at_s, content, state } =
            decode_version_1(Self::TABLE, version, bytes)?;
        Ok(PartRow { payment, payment_hash, group, part_id, created_at_s, content, state, updated: None })
    }
}

/// Reads what a build wrote that knew only the first version.
fn decode_version_1<T: bincode::Decode<()>>(table: Table, version: u8, bytes: &[u8]) -> Result<T, RowError> {
    if version != 1 {
        return Err(RowError::UnknownVersion { table, version });
    }
    decode_from(bytes).map_err(|error| RowError::Malformed { table, detail: error.to_string() })
}

/// Payment hash and created index of a payment: all payments of a hash stand together. The value is its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PaymentHashRow(pub u64);

impl RowValue for PaymentHashRow {
    const TABLE: Table = Table::PaymentHash;
}

/// An HTLC that came in to be sent on.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ForwardRow {
    /// Where it came in.
    pub in_channel: ChannelKey,
    /// The name it came in by, for people.
    pub in_scid: ShortChannelId,
    /// Its id there.
    pub in_htlc: HtlcId,
    /// What came in.
    pub in_amount: Msat,
    /// The channel that the sender asked for.
    pub out_scid: ShortChannelId,
    /// What goes out.
    pub out_amount: Msat,
    /// The hash, for people.
    pub payment_hash: PaymentHash,
    /// Unix milliseconds.
    pub received_ms: u64,
    /// How it is.
    pub state: ForwardState,
    /// Its number by its last change, once it has changed. What changed before such numbers were kept has none.
    pub updated: Option<u64>,
}

/// Version 1 of [`ForwardRow`].
#[derive(bincode::Encode, bincode::Decode)]
struct ForwardRow1 {
    in_channel: ChannelKey,
    in_scid: ShortChannelId,
    in_htlc: HtlcId,
    in_amount: Msat,
    out_scid: ShortChannelId,
    out_amount: Msat,
    payment_hash: PaymentHash,
    received_ms: u64,
    state: ForwardState,
}

/// How a forward is.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ForwardState {
    /// It left by this channel.
    Offered {
        /// The channel.
        channel: ChannelKey,
        /// The id there.
        htlc: HtlcId,
    },
    /// The preimage came back.
    Settled {
        /// The channel it left by.
        channel: ChannelKey,
        /// The id there.
        htlc: HtlcId,
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// The next node, or one behind it, refused.
    Failed {
        /// The channel it left by.
        channel: ChannelKey,
        /// The id there.
        htlc: HtlcId,
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// We refused.
    Refused {
        /// BOLT 4 failure code.
        code: u16,
        /// Unix milliseconds.
        at_ms: u64,
    },
}

impl RowValue for ForwardRow {
    const TABLE: Table = Table::Forward;
    const VERSION: u8 = 2;

    fn decode_old(version: u8, bytes: &[u8]) -> Result<ForwardRow, RowError> {
        let ForwardRow1 {
            in_channel,
            in_scid,
            in_htlc,
            in_amount,
            out_scid,
            out_amount,
            payment_hash,
            received_ms,
            state,
        } = decode_version_1(Self::TABLE, version, bytes)?;
        Ok(ForwardRow {
            in_channel,
            in_scid,
            in_htlc,
            in_amount,
            out_scid,
            out_amount,
            payment_hash,
            received_ms,
            state,
            updated: None,
        })
    }
}

/// Numberings that rows of their own keep, because the numbered things stand in another order. Nothing is ever taken
/// out of them, so the last number given is known after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Parts, as they came to be: they stand with their payments.
    PartCreated = 0,
    /// Parts, as they ended.
    PartUpdated = 1,
    /// Forwards, as they ended.
    ForwardUpdated = 2,
}

impl Changes {
    /// Key of a number.
    pub fn key(self, number: u64) -> Key {
        Key::new().u8(self as u8).u64(number)
    }

    /// The number, if the key is one of this numbering.
    pub fn number(self, key: &[u8]) -> Option<u64> {
        match key {
            [kind, number @ ..] if *kind == self as u8 => Some(u64::from_be_bytes(number.try_into().ok()?)),
            _ => None,
        }
    }
}

/// What has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChangeRow {
    /// The payment or the forward.
    pub head: u64,
    /// The part, or zero.
    pub part: u64,
}

impl RowValue for ChangeRow {
    const TABLE: Table = Table::Change;
}

/// Key of a part: parts of a payment stand together.
pub fn part_key(payment: u64, number: u64) -> Key {
    Key::new().u64(payment).u64(number)
}

/// Key of a payment or a forward.
pub fn index_key(index: u64) -> Key {
    Key::new().u64(index)
}

/// Key of [`PaymentHashRow`].
pub fn hash_key(payment_hash: PaymentHash, payment: u64) -> Key {
    Key::new().bytes(&payment_hash.0).u64(payment)
}

/// The preimage of an ended payment.
pub fn preimage_of(end: &PaymentEndRow) -> Option<Preimage> {
    end.preimage.map(Preimage)
}
