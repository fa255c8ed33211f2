//! Memory that all channels of a node use one after another, so that none has to keep its own.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};

use super::ledger::{Moved, Spec};
use super::spare::Spare;
use crate::ids::{HtlcId, Sig};
use crate::tx::CommitmentTx;

/// What a channel fills while it takes in or makes a message. Nothing in it outlives that: only the memory stays.
#[derive(Default)]
pub struct Scratch {
    /// What a commitment shows.
    pub(super) spec: Spec,
    /// The commitment that was built last.
    pub(super) commitment: Option<CommitmentTx>,
    /// Signatures of HTLCs, made or received.
    pub(super) htlc_sigs: Vec<Sig>,
    /// What a step moves.
    pub(super) moved: Vec<Moved>,
    /// What a second step in a row moves.
    pub(super) moved_again: Vec<Moved>,
    /// Removals that are to be proposed.
    pub(super) removals: Vec<HtlcId>,
    /// Memory of HTLCs that have ended.
    pub(super) spare: Spare,
}

/// A snapshot holds nothing of it.
impl bincode::Encode for Scratch {
    fn encode<E: Encoder>(&self, _: &mut E) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<C> bincode::Decode<C> for Scratch {
    fn decode<D: Decoder<Context = C>>(_: &mut D) -> Result<Scratch, DecodeError> {
        Ok(Scratch::default())
    }
}
