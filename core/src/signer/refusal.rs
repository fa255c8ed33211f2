//! What the signer does not do.

use std::fmt;

use crate::ids::KeysIndex;

/// Why the signer refused. Each would be a way to lose money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Refusal {
    /// Nothing is known of how far this channel has come.
    Untracked(KeysIndex),
    /// A commitment of the wrong side was passed.
    WrongOwner {
        /// Number of the commitment.
        number: u64,
    },
    /// The transaction does not spend a 2-of-2 with our key in our place.
    NotOurFunding,
    /// The peer has two valid commitments already: it must revoke one first.
    RemoteNotRevoked {
        /// Number of the commitment to be signed.
        number: u64,
        /// The oldest that the peer has not revoked.
        oldest: u64,
    },
    /// The peer has revoked this commitment.
    RemoteAlreadyRevoked {
        /// Number of the commitment.
        number: u64,
        /// The oldest that the peer has not revoked.
        oldest: u64,
    },
    /// Commitments and secrets are numbered without gaps.
    Gap {
        /// The next in turn.
        expected: u64,
        /// What was asked for.
        actual: u64,
    },
    /// Our own commitment is revoked: to publish it would give everything to the peer.
    LocalRevoked {
        /// Number of the commitment.
        number: u64,
        /// Our oldest valid one.
        oldest: u64,
    },
    /// We hold no signatures of the peer for this commitment of ours.
    LocalNotSigned {
        /// Number of the commitment.
        number: u64,
        /// The next that the peer will sign.
        next: u64,
    },
    /// Our newest commitment must stay valid: without a newer one its secret stays here.
    SecretOfNewest {
        /// Number of the commitment.
        number: u64,
        /// The next that the peer will sign.
        next: u64,
    },
    /// Our commitment was signed for the chain: its secret would be a gift.
    Published {
        /// Number of the commitment whose secret was asked for.
        number: u64,
        /// Number of the commitment that was signed for the chain.
        published: u64,
    },
    /// The transaction does not spend the output in question at this input.
    WrongInput {
        /// Index of the input.
        input: usize,
    },
    /// An input of a PSBT lacks the output that it spends, or has one that does not fit its key.
    Psbt {
        /// Index of the input.
        input: usize,
    },
    /// A revocation secret is not a valid secret key.
    InvalidSecret,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Untracked(keys) => write!(f, "channel keys {keys} are not tracked"),
            Refusal::WrongOwner { number } => write!(f, "commitment {number} is the other side's"),
            Refusal::NotOurFunding => f.write_str("the funding output does not hold our key"),
            Refusal::RemoteNotRevoked { number, oldest } => {
                write!(f, "cannot sign remote commitment {number} before {oldest} is revoked")
            }
            Refusal::RemoteAlreadyRevoked { number, oldest } => {
                write!(f, "remote commitment {number} is revoked, the oldest valid one is {oldest}")
            }
            Refusal::Gap { expected, actual } => write!(f, "commitment {actual} where {expected} is next"),
            Refusal::LocalRevoked { number, oldest } => {
                write!(f, "our commitment {number} is revoked, the oldest valid one is {oldest}")
            }
            Refusal::LocalNotSigned { number, next } => {
                write!(f, "the peer has not signed our commitment {number}, its next one is {next}")
            }
            Refusal::SecretOfNewest { number, next } => {
                write!(f, "cannot revoke our commitment {number} before the peer signs {next}")
            }
            Refusal::Published { number, published } => {
                write!(f, "cannot revoke our commitment {number}: {published} was signed for the chain")
            }
            Refusal::WrongInput { input } => write!(f, "input {input} does not spend the output to be signed for"),
            Refusal::Psbt { input } => write!(f, "input {input} of the PSBT does not tell what it spends"),
            Refusal::InvalidSecret => f.write_str("the revocation secret is not a secret key"),
        }
    }
}

impl std::error::Error for Refusal {}
