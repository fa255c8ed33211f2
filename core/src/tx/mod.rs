//! BOLT 3: transactions, scripts and keys of a channel. Pure functions; secrets enter only as arguments from the signer.

pub mod closing;
pub mod commitment;
pub mod fee;
pub mod format;
pub mod htlc;
pub mod keys;
pub mod script;
pub mod secrets;
pub mod shutdown;
pub(crate) mod sighash;
pub mod sweep;

#[cfg(test)]
pub(crate) mod tests;

pub use closing::{ClosingInput, ClosingOutputs, ClosingTx};
pub use commitment::{
    CommitmentHtlc, CommitmentInput, CommitmentTx, Funding, HtlcOutput, ObscureFactor, Output, OutputKind,
    SignatureError,
};
pub use fee::{TrimRule, commitment_fee, dust_threshold, opener_cost, opener_remainder};
pub use format::{ANCHOR, CommitFormat, HtlcTxKind};
pub use keys::{Basepoints, CommitmentKeys, HtlcKeys, KeyScope};
pub use script::{OutputScript, WitnessScript};
pub use secrets::{SecretError, SecretStore};
pub use shutdown::ShutdownRules;
pub use sweep::{Claim, ClaimKey, Sweep, SweepError};
