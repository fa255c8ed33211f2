//! Invoices (BOLT 11), both ways, and messages signed with a node's key.
//!
//! Reading: [`Invoice::parse`] to pay, [`Invoice::read`] to show. Writing: fill an `Invoice<Unsigned>`, [`Invoice::prepare`] it, let the signer sign the
//! digest, and [`ToSign::finish`].

mod amount;
mod error;
mod fallback;
mod format;
pub mod message;
mod parse;
mod symbols;
mod write;

#[cfg(test)]
mod tests;

pub use error::InvoiceError;
pub use fallback::Fallback;
pub use write::ToSign;

use bitcoin::hashes::{Hash, sha256};

use crate::amount::Msat;
use crate::config::Network;
use crate::ids::{NodeId, PaymentHash, PaymentSecret, ShortChannelId};
use crate::wire::{Feature, Features};

/// `x` when it is absent (BOLT 11, tagged fields).
pub const DEFAULT_EXPIRY_S: u64 = 3600;
/// `c` when it is absent (BOLT 11, tagged fields).
pub const DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA: u32 = 18;

/// An invoice; `S` says whether it is signed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice<S = Signed> {
    /// Which chain's money.
    pub currency: Network,
    /// How much; `None` leaves it to the payer.
    pub amount: Option<Msat>,
    /// When it was made, in seconds since the Unix epoch.
    pub timestamp_s: u64,
    /// `p`.
    pub payment_hash: PaymentHash,
    /// `s`.
    pub payment_secret: PaymentSecret,
    /// `d` or `h`.
    pub description: Description,
    /// The node to pay: recovered from the signature, or from `n`.
    pub payee: NodeId,
    /// Whether the payee stands in an `n` field. Costs 53 characters and gains nothing, so writers leave it out.
    pub names_payee: bool,
    /// `x`: for how long after the timestamp it may be paid.
    pub expiry_s: u64,
    /// `c`: blocks that the final hop wants between its height and the HTLC's expiry.
    pub min_final_cltv_expiry_delta: u32,
    /// `f`: where to pay on chain, preferred first.
    pub fallbacks: Vec<Fallback>,
    /// `r`: private ways to the payee, each from a public node.
    pub route_hints: Vec<Vec<RouteHintHop>>,
    /// `m`: to be echoed in every HTLC.
    pub metadata: Option<Vec<u8>>,
    /// `9`.
    pub features: Features,
    /// The signature, if there is one.
    pub signature: S,
}

/// Not signed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsigned;

/// The payee's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// r, then s. An invoice without `n` may have a high s.
    pub compact: [u8; 64],
    /// Which of the possible keys signed.
    pub recovery_id: u8,
}

/// What the payment is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// `d`: the text itself.
    Text(String),
    /// `h`: SHA-256 of a text that travels another way.
    Hash([u8; 32]),
}

/// One hop of a private way: the channel that leaves `node_id` towards the payee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RouteHintHop {
    /// Where the channel starts. Not checked to be a point.
    pub node_id: NodeId,
    /// The channel, or its alias.
    pub short_channel_id: ShortChannelId,
    /// Its fee for each payment.
    pub fee_base_msat: u32,
    /// Its fee in millionths of the amount.
    pub fee_proportional_millionths: u32,
    /// Blocks it wants between the expiries.
    pub cltv_expiry_delta: u16,
}

impl Invoice<Unsigned> {
    /// An invoice for any amount with the defaults of BOLT 11, no hints, and the features without which nobody pays:
    /// var_onion_optin and payment_secret, compulsory.
    pub fn new(
        currency: Network,
        timestamp_s: u64,
        payment_hash: PaymentHash,
        payment_secret: PaymentSecret,
        description: Description,
        payee: NodeId,
    ) -> Invoice<Unsigned> {
        Invoice {
            currency,
            amount: None,
            timestamp_s,
            payment_hash,
            payment_secret,
            description,
            payee,
            names_payee: false,
            expiry_s: DEFAULT_EXPIRY_S,
            min_final_cltv_expiry_delta: DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA,
            fallbacks: Vec::new(),
            route_hints: Vec::new(),
            metadata: None,
            features: Features::new().with_required(Feature::VarOnionOptin).with_required(Feature::PaymentSecret),
            signature: Unsigned,
        }
    }
}

impl<S> Invoice<S> {
    /// The last second in which it may be paid.
    pub fn expires_at_s(&self) -> u64 {
        self.timestamp_s.saturating_add(self.expiry_s)
    }
}

impl Invoice<Signed> {
    /// The same terms without the signature.
    pub fn unsigned(self) -> Invoice<Unsigned> {
        Invoice {
            currency: self.currency,
            amount: self.amount,
            timestamp_s: self.timestamp_s,
            payment_hash: self.payment_hash,
            payment_secret: self.payment_secret,
            description: self.description,
            payee: self.payee,
            names_payee: self.names_payee,
            expiry_s: self.expiry_s,
            min_final_cltv_expiry_delta: self.min_final_cltv_expiry_delta,
            fallbacks: self.fallbacks,
            route_hints: self.route_hints,
            metadata: self.metadata,
            features: self.features,
            signature: Unsigned,
        }
    }
}

impl Description {
    /// Whether this is the description of `text`: BOLT 11 has the payer check a text that came another way against `h`.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Description::Text(own) => own == text,
            Description::Hash(hash) => sha256::Hash::hash(text.as_bytes()).to_byte_array() == *hash,
        }
    }
}

/// What stands behind `ln` for a chain (BOLT 11). `tb` is testnet 3 as well: an invoice does not tell them apart.
pub fn currency_prefix(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "bc",
        Network::Testnet4 => "tb",
        Network::Signet => "tbs",
        Network::Regtest => "bcrt",
    }
}
