//! About money that others owe us.

use bitcoin::{OutPoint, ScriptBuf};

use super::Page;
use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{BlockHeight, PaymentHash, PaymentSecret, Preimage, ShortChannelId};

/// Asks for a new invoice.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CreateInvoice {
    /// How much; `None`: as much as the payer likes.
    pub amount_msat: Option<Msat>,
    /// The client's own name for it, unique.
    pub label: String,
    /// What it is for; goes into the invoice.
    pub description: String,
    /// For how long it can be paid.
    pub expiry_s: u64,
    /// Where it can be paid on chain.
    #[bincode(with_serde)]
    pub fallbacks: Vec<ScriptBuf>,
    /// The proof of payment.
    pub proof: WantedProof,
    /// Which unannounced channels to name in it.
    pub expose: ExposePrivate,
    /// Blocks that we want for the last hop.
    pub cltv: Option<u32>,
    /// Put only the description's hash into the invoice.
    pub description_hash_only: bool,
}

impl CreateInvoice {
    /// For how long an invoice can be paid, unless somebody says otherwise: a week, as with Core Lightning.
    pub const EXPIRY_S: u64 = 7 * 24 * 60 * 60;

    /// An invoice as most people want it; `None`: the payer says how much.
    pub fn new(label: impl Into<String>, amount_msat: Option<Msat>) -> CreateInvoice {
        CreateInvoice {
            amount_msat,
            label: label.into(),
            description: String::new(),
            expiry_s: CreateInvoice::EXPIRY_S,
            fallbacks: Vec::new(),
            proof: WantedProof::Fresh,
            expose: ExposePrivate::Auto,
            cltv: None,
            description_hash_only: false,
        }
    }
}

/// Which proof of payment an invoice has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum WantedProof {
    /// One that nobody knows yet.
    Fresh,
    /// This one.
    Preimage(Preimage),
    /// One of which the client gives only the hash: whatever pays the invoice is held until the client settles it with
    /// the preimage, or cancels it.
    Hold(PaymentHash),
}

/// Which unannounced channels an invoice names.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ExposePrivate {
    /// Those that are needed: all, if we have no announced channel.
    Auto,
    /// All.
    All,
    /// None.
    None,
    /// Exactly these.
    Only(Vec<ShortChannelId>),
}

/// Answers [`super::Request::Invoice`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceCreated {
    /// The text to give to the payer.
    pub bolt11: String,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// Its secret.
    pub payment_secret: PaymentSecret,
    /// Until when it can be paid, Unix seconds.
    pub expires_at_s: u64,
    /// Its number by creation.
    pub created_index: u64,
    /// What may keep it from being paid.
    pub warnings: Vec<InvoiceWarning>,
}

/// What may keep an invoice from being paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum InvoiceWarning {
    /// All channels together cannot receive the amount.
    Capacity,
    /// Enough could be received, were some peers not offline.
    Offline,
    /// Peers with enough have no other channels, so nobody can reach us through them.
    DeadEnds,
    /// Only unannounced channels are left out that could receive it.
    PrivateUnused,
    /// No single channel can receive the amount: it must come in parts.
    MultiPart,
}

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum InvoiceStatus {
    /// Can be paid.
    Unpaid,
    /// Is paid.
    Paid,
    /// Can no longer be paid.
    Expired,
    /// A hold invoice: the payment is here and waits to be settled or cancelled.
    Accepted,
    /// A hold invoice: nothing will be taken any more, and what was held went back.
    Cancelled,
}

/// An invoice as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceInfo {
    /// The client's own name for it.
    pub label: String,
    /// What it is for, unless it was deleted.
    pub description: Option<String>,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Until when it can be paid, Unix seconds.
    pub expires_at_s: u64,
    /// How much is asked; `None`: anything.
    pub amount_msat: Option<Msat>,
    /// The text.
    pub bolt11: Option<String>,
    /// Its number by creation.
    pub created_index: u64,
    /// Its number by last change, once it has changed.
    pub updated_index: Option<u64>,
    /// What is held for it.
    pub held: Option<InvoiceHeld>,
    /// How it was paid.
    pub paid: Option<InvoicePaid>,
}

/// What is held for a hold invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceHeld {
    /// How much came.
    pub amount_received_msat: Msat,
    /// When the last part of it came.
    pub accepted_at: Wall,
    /// At this height it goes back by itself.
    pub settle_before: BlockHeight,
}

/// How an invoice was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoicePaid {
    /// Its number by payment.
    pub pay_index: u64,
    /// How much came.
    pub amount_received_msat: Msat,
    /// When.
    pub paid_at: Wall,
    /// The proof.
    pub preimage: Preimage,
    /// The output that paid it, if it was paid on chain.
    #[bincode(with_serde)]
    pub outpoint: Option<OutPoint>,
}

/// Asks for invoices. At most one of the filters is given.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ListInvoices {
    /// Which.
    pub filter: InvoiceFilter,
    /// Which rows of these.
    pub page: Page,
}

/// Which invoices.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum InvoiceFilter {
    /// All.
    All,
    /// With this label.
    Label(String),
    /// With this text.
    Invstring(String),
    /// With this hash.
    PaymentHash(PaymentHash),
}

/// Asks to be told of the first payment after a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct WaitAnyInvoice {
    /// The last number by payment that the client knows; zero: none.
    pub last_pay_index: u64,
    /// For how long; `None`: forever. Zero: answer at once.
    pub timeout_s: Option<u64>,
}

/// Asks to forget an invoice.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct DelInvoice {
    /// Which.
    pub label: String,
    /// What it must be.
    pub status: InvoiceStatus,
    /// Forget only the description.
    pub description_only: bool,
}
