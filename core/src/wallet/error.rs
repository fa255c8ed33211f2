//! Why the wallet does not do what it was asked.

use std::fmt;

use bitcoin::OutPoint;

use crate::amount::Sat;
use crate::ids::BlockHeight;
use crate::request::RequestError;
use crate::signer::Refusal;

/// Why no transaction was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalletError {
    /// There is too little that may be spent.
    CannotAfford {
        /// Outputs and fee.
        needed: Sat,
        /// What may be spent, after what its own inputs cost.
        available: Sat,
    },
    /// What would be left could not pay for the commitments of channels with anchors.
    EmergencyReserve {
        /// What must be left.
        reserve: Sat,
        /// What would be left.
        left: Sat,
    },
    /// An output is too small to be relayed.
    Dust {
        /// Its amount.
        amount: Sat,
        /// The least there may be.
        minimum: Sat,
    },
    /// A named input is not in the wallet.
    UnknownInput(OutPoint),
    /// A named input is spent.
    Spent(OutPoint),
    /// A named input is kept for another transaction.
    Reserved {
        /// Which.
        outpoint: OutPoint,
        /// Until when.
        reserved_to: BlockHeight,
    },
    /// A named input cannot be spent yet.
    Immature(OutPoint),
    /// An input is named twice, or none is.
    BadInputs,
    /// The PSBT has no such input.
    NoSuchInput(u32),
    /// The PSBT spends nothing of ours that could be signed.
    NothingToSign,
    /// An input has no final witness and we cannot make one.
    Unfinished(u32),
    /// The bytes are no PSBT.
    BadPsbt(String),
    /// Somebody asks for a fee that can only be a mistake.
    AbsurdFee {
        /// The fee.
        fee: Sat,
        /// Weight of the transaction.
        weight: u64,
    },
    /// The signer refuses.
    Signer(Refusal),
}

impl fmt::Display for WalletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalletError::CannotAfford { needed, available } => {
                write!(f, "Could not afford {needed}: {available} available")
            }
            WalletError::EmergencyReserve { reserve, left } => {
                write!(
                    f,
                    "We would not have enough left for min-emergency: {left} of {reserve}, kept for channels with anchors"
                )
            }
            WalletError::Dust { amount, minimum } => write!(f, "Output of {amount} is dust: {minimum} at least"),
            WalletError::UnknownInput(outpoint) => write!(f, "{outpoint} is no output of this wallet"),
            WalletError::Spent(outpoint) => write!(f, "{outpoint} is already spent"),
            WalletError::Reserved { outpoint, reserved_to } => {
                write!(f, "{outpoint} is reserved until block {reserved_to}")
            }
            WalletError::Immature(outpoint) => write!(f, "{outpoint} cannot be spent yet"),
            WalletError::BadInputs => f.write_str("name at least one input, and none twice"),
            WalletError::NoSuchInput(index) => write!(f, "the PSBT has no input {index}"),
            WalletError::NothingToSign => f.write_str("No wallet inputs to sign. Are the inputs reserved?"),
            WalletError::Unfinished(index) => write!(f, "PSBT input {index} is not signed"),
            WalletError::BadPsbt(detail) => write!(f, "not a PSBT: {detail}"),
            WalletError::AbsurdFee { fee, weight } => write!(f, "a fee of {fee} for {weight} weight units is absurd"),
            WalletError::Signer(refusal) => write!(f, "the signer refuses: {refusal}"),
        }
    }
}

impl std::error::Error for WalletError {}

impl From<Refusal> for WalletError {
    fn from(refusal: Refusal) -> WalletError {
        WalletError::Signer(refusal)
    }
}

impl From<WalletError> for RequestError {
    fn from(error: WalletError) -> RequestError {
        let code = match error {
            WalletError::CannotAfford { .. } | WalletError::EmergencyReserve { .. } => RequestError::FUND_CANNOT_AFFORD,
            WalletError::Dust { .. } => RequestError::FUND_OUTPUT_IS_DUST,
            WalletError::UnknownInput(_)
            | WalletError::Spent(_)
            | WalletError::Reserved { .. }
            | WalletError::Immature(_)
            | WalletError::BadInputs
            | WalletError::NoSuchInput(_)
            | WalletError::BadPsbt(_) => RequestError::INVALID_PARAMS,
            WalletError::NothingToSign
            | WalletError::Unfinished(_)
            | WalletError::AbsurdFee { .. }
            | WalletError::Signer(_) => RequestError::GENERIC,
        };
        RequestError::new(code, error.to_string())
    }
}
