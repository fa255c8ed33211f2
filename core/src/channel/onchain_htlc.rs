//! HTLCs of a commitment that is on chain: which outputs they have, and how each is claimed. Everything is derived from
//! the ledger; whoever follows the chain decides when to do what.

use bitcoin::{OutPoint, Transaction, Witness};

use crate::amount::Sat;
use crate::ids::{BlockHeight, Preimage};
use crate::side::Side;
use crate::tx::{Claim, CommitmentTx, HtlcOutput, HtlcTxKind};

use super::ledger::{HtlcKey, HtlcState, Removal};
use super::{Channel, Cx};

/// An HTLC output of the peer's commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TheirHtlc {
    /// Which HTLC it is.
    pub key: HtlcKey,
    /// The output.
    pub outpoint: OutPoint,
    /// What it holds.
    pub amount: Sat,
    /// From when its offerer may take it back.
    pub cltv_expiry: BlockHeight,
    /// Our way to it: by the preimage at once, or by the expiry. `None` while we lack the preimage.
    pub claim: Option<Claim>,
}

/// An HTLC output of our own commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurHtlc {
    /// Which HTLC it is.
    pub key: HtlcKey,
    /// The output.
    pub outpoint: OutPoint,
    /// What it holds.
    pub amount: Sat,
    /// From when its offerer may take it back.
    pub cltv_expiry: BlockHeight,
    /// The HTLC transaction that both ends agreed on, without a witness. `None` while we lack the preimage. With
    /// anchors it pays no fee: inputs and outputs are to be added behind its own.
    pub tx: Option<Transaction>,
}

impl Channel {
    /// The preimage that we have for an HTLC, from us or from the peer.
    pub fn preimage(&self, key: HtlcKey) -> Option<Preimage> {
        match &self.ledger.htlc(key)?.state {
            HtlcState::Decided(Removal::Fulfilled(preimage)) | HtlcState::Removing(_, Removal::Fulfilled(preimage)) => {
                Some(*preimage)
            }
            _ => None,
        }
    }

    /// The HTLC outputs of a commitment of the peer that is not revoked, each with our claim on it.
    pub fn htlcs_on_theirs(&self, cx: &mut Cx<'_>, number: u64) -> Vec<TheirHtlc> {
        let Some(commitment) = self.remote_commitment(cx, number) else { return Vec::new() };
        commitment.htlcs.iter().map(|output| self.on_theirs(&commitment, output)).collect()
    }

    fn on_theirs(&self, commitment: &CommitmentTx, output: &HtlcOutput) -> TheirHtlc {
        let key = HtlcKey { offered_by: output.htlc.offered_by, id: output.htlc.id };
        let (outpoint, amount) = (commitment.outpoint(output.vout), output.htlc.amount.sat_floor());
        let (format, keys, cltv_expiry) = (commitment.format, &commitment.keys, output.htlc.cltv_expiry);
        let claim = match key.offered_by {
            Side::Local => Some(Claim::htlc_timeout(outpoint, amount, format, keys, output.script, cltv_expiry)),
            Side::Remote => self
                .preimage(key)
                .map(|preimage| Claim::htlc_preimage(outpoint, amount, format, keys, output.script, preimage)),
        };
        TheirHtlc { key, outpoint, amount, cltv_expiry, claim }
    }

    /// The HTLC outputs of our latest commitment, each with its HTLC transaction.
    pub fn htlcs_on_ours(&self, cx: &mut Cx<'_>) -> Vec<OurHtlc> {
        let commitment = self.local_commitment(cx);
        let all = commitment.htlcs.iter().enumerate().map(|(index, output)| {
            let key = HtlcKey { offered_by: output.htlc.offered_by, id: output.htlc.id };
            let takes = commitment.htlc_tx_kind(index) == HtlcTxKind::Timeout || self.preimage(key).is_some();
            OurHtlc {
                key,
                outpoint: commitment.outpoint(output.vout),
                amount: output.htlc.amount.sat_floor(),
                cltv_expiry: output.htlc.cltv_expiry,
                tx: takes.then(|| commitment.htlc_tx(index)),
            }
        });
        all.collect()
    }

    /// The witness for `input` of `tx`, an HTLC transaction that may have got more inputs and outputs since. `None` if
    /// our latest commitment has no such output, or we lack the preimage.
    pub fn htlc_witness(&self, cx: &mut Cx<'_>, key: HtlcKey, tx: &Transaction, input: usize) -> Option<Witness> {
        let commitment = self.local_commitment(cx);
        let is = |output: &HtlcOutput| output.htlc.offered_by == key.offered_by && output.htlc.id == key.id;
        let index = commitment.htlcs.iter().position(is)?;
        let preimage = match commitment.htlc_tx_kind(index) {
            HtlcTxKind::Timeout => None,
            HtlcTxKind::Success => Some(self.preimage(key)?),
        };
        let theirs = self.signature.htlc_signatures.get(index)?;
        let ours = cx.signer.sign_htlc(self.row.keys, &commitment, index, tx, input).ok()?;
        Some(commitment.htlc_witness(index, &ours, theirs, preimage.as_ref()))
    }
}
