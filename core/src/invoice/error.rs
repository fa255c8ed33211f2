//! What can be wrong with an invoice: what, where, and what to do about it.

use std::fmt;

use super::currency_prefix;
use crate::amount::Msat;
use crate::config::Network;

/// Why a text is not an invoice that can be paid, or terms cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvoiceError {
    /// No `1` between prefix and data.
    NoSeparator,
    /// Upper and lower case letters in one string.
    MixedCase,
    /// A character that bech32 does not have.
    Character {
        /// The character.
        character: char,
        /// Its index among the characters.
        position: usize,
    },
    /// The last six characters do not belong to the rest.
    Checksum,
    /// Not `ln` and a known currency in front.
    Prefix {
        /// What stands there instead.
        prefix: String,
    },
    /// For another chain.
    WrongNetwork {
        /// The invoice's.
        invoice: Network,
        /// This node's.
        ours: Network,
    },
    /// The amount is not a number without leading zeros and one of `m`, `u`, `n`, `p`.
    Amount {
        /// What stands there.
        amount: String,
    },
    /// The amount has a fraction of a millisatoshi.
    SubMillisatoshi {
        /// What stands there.
        amount: String,
    },
    /// More than there can ever be.
    TooMuch {
        /// What is asked.
        amount: Msat,
    },
    /// Nothing is left for timestamp or signature.
    TooShort {
        /// Symbols of data, without the checksum.
        symbols: usize,
        /// How many there are at least.
        minimum: usize,
    },
    /// A field that reaches beyond the data.
    FieldTooLong {
        /// Its letter.
        tag: char,
        /// Symbols it claims.
        claimed: usize,
        /// Symbols that are left.
        left: usize,
    },
    /// Symbols behind the last field that are none.
    TrailingSymbols {
        /// How many.
        symbols: usize,
    },
    /// A field whose contents make no sense.
    FieldValue {
        /// Its letter.
        tag: char,
        /// What should be there.
        expected: &'static str,
    },
    /// A compulsory field is missing.
    MissingField {
        /// Its letter.
        tag: char,
        /// What it holds.
        holds: &'static str,
    },
    /// Both a description and a description hash.
    TwoDescriptions,
    /// Paying it takes a feature that this node does not have.
    UnknownFeature {
        /// The compulsory bit.
        bit: usize,
    },
    /// No key gives this signature.
    NotRecoverable,
    /// The signature is not that of the node in `n`, or has a high s, which BOLT 11 forbids there.
    BadSignature,
    /// Terms that do not fit into the format.
    TooLarge {
        /// The field's letter; `t` is the timestamp.
        tag: char,
        /// Its size.
        actual: u64,
        /// The most that fits.
        maximum: u64,
    },
    /// An amount of zero cannot be written: leave it open instead.
    ZeroAmount,
}

impl fmt::Display for InvoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvoiceError::NoSeparator => {
                f.write_str("this is not an invoice: there is no 1 that separates prefix and data; copy the whole text")
            }
            InvoiceError::MixedCase => {
                f.write_str("the invoice mixes upper and lower case letters: use one or the other throughout")
            }
            InvoiceError::Character { character, position } => write!(
                f,
                "the invoice has {character:?} as character {}, which cannot be in an invoice: copy it again",
                position + 1
            ),
            InvoiceError::Checksum => f.write_str(
                "the invoice's checksum does not match: a character is missing or was changed; copy the whole text again",
            ),
            InvoiceError::Prefix { prefix } => write!(
                f,
                "{prefix:?} is not the beginning of an invoice: expected lnbc, lntb, lntbs or lnbcrt and an amount"
            ),
            InvoiceError::WrongNetwork { invoice, ours } => write!(
                f,
                "the invoice is for {}, this node is on {}: ask for an invoice that begins with ln{}",
                invoice.name(),
                ours.name(),
                currency_prefix(*ours)
            ),
            InvoiceError::Amount { amount } => write!(
                f,
                "the invoice's amount {amount:?} is not a number (without leading zeros) with m, u, n, p or nothing after it"
            ),
            InvoiceError::SubMillisatoshi { amount } => {
                write!(f, "the invoice's amount {amount:?} is not a whole number of millisatoshi: it must end in 0p")
            }
            InvoiceError::TooMuch { amount } => {
                write!(f, "the invoice asks for {amount}, more than all the bitcoin there can ever be")
            }
            InvoiceError::TooShort { symbols, minimum } => write!(
                f,
                "the invoice is too short: {symbols} characters of data, at least {minimum} hold timestamp and signature"
            ),
            InvoiceError::FieldTooLong { tag, claimed, left } => {
                write!(f, "field {tag:?} of the invoice claims {claimed} characters, only {left} are left")
            }
            InvoiceError::TrailingSymbols { symbols } => {
                write!(f, "{symbols} characters behind the invoice's last field are not a field")
            }
            InvoiceError::FieldValue { tag, expected } => {
                write!(f, "field {tag:?} of the invoice is malformed: expected {expected}")
            }
            InvoiceError::MissingField { tag, holds } => {
                write!(f, "the invoice has no field {tag:?} ({holds}): ask the payee for a correct one")
            }
            InvoiceError::TwoDescriptions => {
                f.write_str("the invoice has both a description (d) and a description hash (h): only one is allowed")
            }
            InvoiceError::UnknownFeature { bit } => write!(
                f,
                "the invoice can only be paid by nodes that know feature {bit}, and this one does not: ask for another"
            ),
            InvoiceError::NotRecoverable => f.write_str("the invoice's signature belongs to no key"),
            InvoiceError::BadSignature => {
                f.write_str("the invoice's signature is not a canonical signature of the node in field 'n'")
            }
            InvoiceError::TooLarge { tag, actual, maximum } => {
                write!(f, "field {tag:?} does not fit into an invoice: {actual}, at most {maximum}")
            }
            InvoiceError::ZeroAmount => {
                f.write_str("an invoice cannot ask for 0: leave the amount out to let the payer choose")
            }
        }
    }
}

impl std::error::Error for InvoiceError {}
