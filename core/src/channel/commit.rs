//! `commitment_signed` and `revoke_and_ack`: the steps of the ledger, with real signatures.

use bitcoin::Transaction;

use crate::amount::Msat;
use crate::command::Command;
use crate::ids::{BlockHeight, CommitmentSecret, Point};
use crate::side::{PerSide, Side};
use crate::signer::{CommitmentOf, Signer, SignerState};
use crate::store::Table;
use crate::tx::secrets::NUMBER_MAX;
use crate::tx::{CommitmentHtlc, CommitmentInput, CommitmentTx, KeyScope, ObscureFactor, SignatureError, TrimRule};
use crate::wire::{self, Message};

use super::ledger::{Age, Detail, HtlcState, Moved, Removal, Spec, Stage, Step};
use super::rows::{ChannelRow, SecretRow, Signed, channel_key, put_onion};
use super::{Channel, ChannelError, Cx, Effect, Failure, HtlcKey, KEPT_SMALL, Link, Phase};

/// What is prepared once from the keys of both sides.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) struct KeyRing {
    funding: crate::tx::Funding,
    obscure: ObscureFactor,
}

impl KeyRing {
    pub(super) fn new(row: &ChannelRow) -> KeyRing {
        let funding = &row.fundings[0];
        let keys = PerSide { local: row.basepoints.local.funding_pubkey, remote: row.basepoints.remote.funding_pubkey };
        KeyRing {
            funding: crate::tx::Funding::new(funding.outpoint, funding.amount, keys),
            obscure: ObscureFactor::new(&row.basepoints[row.opener].payment, &row.basepoints[!row.opener].payment),
        }
    }

    pub(super) fn obscure(&self) -> ObscureFactor {
        self.obscure
    }

    pub(super) fn funding(&self) -> &crate::tx::Funding {
        &self.funding
    }

    /// Builds a commitment, in the buffers of an earlier one if there is one.
    pub(super) fn build(
        &self,
        signer: &mut dyn Signer,
        row: &ChannelRow,
        (number, of): (u64, CommitmentOf),
        spec: &Spec,
        buffers: Option<CommitmentTx>,
    ) -> CommitmentTx {
        let owner = match of {
            CommitmentOf::Local(_) => Side::Local,
            CommitmentOf::Remote(_) => Side::Remote,
        };
        let to_msat = |balance: i64| Msat(u64::try_from(balance).expect("what is signed is affordable"));
        let input = CommitmentInput {
            format: row.fundings[0].format,
            number,
            obscure: self.obscure,
            owner,
            opener: row.opener,
            dust_limit: row.params[owner].dust_limit,
            to_self_delay: row.params[!owner].to_self_delay,
            feerate_per_kw: spec.feerate_per_kw,
            balance: PerSide { local: to_msat(spec.balance_msat.local), remote: to_msat(spec.balance_msat.remote) },
            funding: &self.funding,
        };
        let amounts = spec.htlcs.iter().map(|htlc| (htlc.key.offered_by, htlc.amount_msat));
        let scope = KeyScope::for_htlcs(input.trim_rule().untrimmed(amounts));
        let keys = signer.commitment_keys(row.keys, of, &row.basepoints.remote, scope);
        let htlcs = spec.htlcs.iter().map(|htlc| CommitmentHtlc {
            offered_by: htlc.key.offered_by,
            id: htlc.key.id,
            amount: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: BlockHeight(htlc.cltv_expiry),
        });
        match buffers {
            Some(mut commitment) => {
                commitment.rebuild(&input, &keys, htlcs);
                commitment
            }
            None => CommitmentTx::new(&input, &keys, htlcs),
        }
    }
}

impl From<SignatureError> for ChannelError {
    fn from(error: SignatureError) -> ChannelError {
        match error {
            SignatureError::Commitment { .. } => ChannelError::BadSignature,
            SignatureError::Htlc { index } => ChannelError::BadHtlcSignature { index },
            SignatureError::HtlcCount { expected, actual } => ChannelError::HtlcSignatureCount { expected, actual },
        }
    }
}

impl Channel {
    /// How far the channel has come, as the signer needs to know it.
    pub(super) fn signer_state(&self) -> SignerState {
        let latest = self.ledger.latest_number(Side::Local);
        let published = matches!(self.row.phase, Phase::OnChain { reason: Some(_), .. });
        SignerState {
            remote_signed: self.ledger.latest_number(Side::Remote) + 1,
            remote_revoked: self.ledger.oldest_number(Side::Remote),
            local_signed: latest + 1,
            local_released: self.ledger.oldest_number(Side::Local),
            local_published: published.then_some(latest),
        }
    }

    /// Our point of this number.
    pub(super) fn local_point(&self, cx: &mut Cx<'_>, number: u64) -> Point {
        cx.signer.per_commitment_point(self.row.keys, number).into()
    }

    /// Builds a commitment in the buffers of the last one.
    fn build(&self, cx: &mut Cx<'_>, number: u64, of: CommitmentOf, age: Age) -> CommitmentTx {
        let whose = match of {
            CommitmentOf::Local(_) => Side::Local,
            CommitmentOf::Remote(_) => Side::Remote,
        };
        self.ledger.spec_into(whose, age, &mut cx.scratch.spec);
        let buffers = cx.scratch.commitment.take();
        self.ring.build(cx.signer, &self.row, (number, of), &cx.scratch.spec, buffers)
    }

    /// Is this the secret of our commitment of that number? Answered from public points: nothing is revealed.
    pub(super) fn is_our_secret(&self, cx: &mut Cx<'_>, number: u64, secret: &[u8; 32]) -> bool {
        // The number is the peer's word, and no commitment has a greater one.
        if number > NUMBER_MAX {
            return false;
        }
        let point = cx.signer.per_commitment_point(self.row.keys, number);
        CommitmentSecret(*secret).is_of(&point)
    }

    /// Which HTLCs have an output.
    pub(super) fn trim_rule(&self, owner: Side, feerate_per_kw: u32) -> TrimRule {
        TrimRule { format: self.funding().format, owner, dust_limit: self.row.params[owner].dust_limit, feerate_per_kw }
    }

    /// Does what the turn has left to do: proposes decided removals, signs one commitment for all updates, writes the
    /// rows that nothing else wrote. The node calls it for each dirty channel before a turn ends.
    pub fn flush(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let talks = !matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed);
        if talks && matches!(self.link, Link::Live { .. }) && !self.row.behind {
            self.propose_decided(cx);
            if !self.ledger.awaiting_revoke() && self.ledger.has_changes(Step::SendCommit) {
                self.sign_next(cx);
            }
        }
        // What went into the commitment has been written with its new stage; the rest is written as decided.
        let mut unsaved = std::mem::take(&mut self.unsaved);
        for key in unsaved.drain(..) {
            self.put_htlc(cx, key);
        }
        // The memory is kept for the next ones, unless there were many.
        if unsaved.capacity() <= KEPT_SMALL {
            self.unsaved = unsaved;
        }
        self.advance_close(cx);
    }

    /// Signs the peer's next commitment.
    fn sign_next(&mut self, cx: &mut Cx<'_>) {
        if self.remote_points.next.is_none() {
            return;
        }
        let mut moved = std::mem::take(&mut cx.scratch.moved);
        self.ledger.step(Step::SendCommit, &mut moved);
        let written = |key| moved.iter().any(|moved| matches!(moved, Moved::Advanced(other) if *other == key));
        self.unsaved.retain(|key| !written(*key));
        self.put_moved(cx, &moved);
        moved.clear();
        cx.scratch.moved = moved;
        self.send_commitment(cx);
    }

    /// Sends `commitment_signed` for the latest commitment of the peer, for the first time or again.
    pub(super) fn send_commitment(&mut self, cx: &mut Cx<'_>) {
        let number = self.ledger.latest_number(Side::Remote);
        let point = self.remote_point(number).expect("the peer's point came before we signed for it");
        let commitment = self.build(cx, number, CommitmentOf::Remote(point), Age::Latest);
        let mut htlc_sigs = std::mem::take(&mut cx.scratch.htlc_sigs);
        let signed = cx.signer.sign_remote_commitment(self.row.keys, &commitment, &mut htlc_sigs);
        let signature = signed.expect("the ledger and the signer agree on what may be signed");
        cx.scratch.commitment = Some(commitment);
        let message = wire::CommitmentSigned {
            channel_id: self.row.id,
            signature,
            htlc_signatures: wire::Sigs::Made(&htlc_sigs),
            funding_txid: None,
        };
        self.send(cx, &Message::CommitmentSigned(message));
        cx.scratch.htlc_sigs = htlc_sigs;
    }

    pub(super) fn receive_commit(
        &mut self,
        cx: &mut Cx<'_>,
        signed: &wire::CommitmentSigned<'_>,
    ) -> Result<(), ChannelError> {
        if self.row.phase == Phase::AwaitingFunding {
            return Err(ChannelError::Unexpected { message: "commitment_signed", state: self.row.phase.name() });
        }
        // An empty one is a violation by its sender (BOLT 2), but harms nobody: some peers send them.
        let number = self.ledger.latest_number(Side::Local) + 1;
        let commitment = self.build(cx, number, CommitmentOf::Local(number), Age::Next);
        let htlc_sigs = &mut cx.scratch.htlc_sigs;
        htlc_sigs.clear();
        htlc_sigs.extend(signed.htlc_signatures.iter());
        let checked = cx.signer.check_signatures(self.row.keys, &commitment, &signed.signature, htlc_sigs);
        let made = signed_of(&commitment);
        cx.scratch.commitment = Some(commitment);
        checked?;

        self.signature.keep(number, signed.signature, &cx.scratch.htlc_sigs, made);
        let mut moved = std::mem::take(&mut cx.scratch.moved);
        self.ledger.step(Step::RecvCommit, &mut moved);
        self.ledger.step(Step::SendRevoke, &mut cx.scratch.moved_again);
        self.put_signature(cx);
        cx.signer.local_signed(self.row.keys, number).expect("numbers follow each other");
        coalesce(&mut moved, &mut cx.scratch.moved_again);
        self.put_moved(cx, &moved);
        self.keep_new_onions(cx, &moved);
        self.send_revoke(cx);
        self.tell_moved(cx, &mut moved);
        cx.scratch.moved = moved;
        // Whatever the peer has added is to be signed into its own commitment too.
        self.dirty = true;
        Ok(())
    }

    /// A peer's HTLC is in a commitment for the first time: from now on it survives a restart, and so must its onion.
    fn keep_new_onions(&mut self, cx: &mut Cx<'_>, moved: &[Moved]) {
        for moved in moved {
            let Moved::Advanced(key) = moved else { continue };
            let fresh = self.ledger.htlc(*key).map(|htlc| &htlc.state) == Some(&HtlcState::Adding(Stage::PeerRevoked));
            if key.offered_by != Side::Remote || !fresh {
                continue;
            }
            if let Some(kept) = self.onions.get_mut(key).filter(|kept| !kept.stored) {
                kept.stored = true;
                put_onion(cx, self.key, *key, &kept.onion);
            }
        }
    }

    /// Sends `revoke_and_ack` for our commitment before the latest, for the first time or again.
    pub(super) fn send_revoke(&mut self, cx: &mut Cx<'_>) {
        let latest = self.ledger.oldest_number(Side::Local);
        let revoked = latest.checked_sub(1).expect("something was revoked");
        let released = cx.signer.release_secret(self.row.keys, revoked);
        let per_commitment_secret = released.expect("the next commitment is signed, and none was published");
        let next_per_commitment_point = self.local_point(cx, latest + 1);
        let channel_id = self.row.id;
        let revoke = wire::RevokeAndAck { channel_id, per_commitment_secret, next_per_commitment_point };
        self.send(cx, &Message::RevokeAndAck(revoke));
    }

    pub(super) fn receive_revoke(&mut self, cx: &mut Cx<'_>, revoke: &wire::RevokeAndAck) -> Result<(), ChannelError> {
        if !self.ledger.awaiting_revoke() {
            return Err(ChannelError::RevokeNotDue);
        }
        let number = self.ledger.oldest_number(Side::Remote);
        let (secret, point) = (&revoke.per_commitment_secret, &self.remote_points.current);
        if !cx.signer.check_secret(self.row.keys, number, secret, point) {
            return Err(ChannelError::BadSecret { number });
        }
        let next = revoke
            .next_per_commitment_point
            .parse()
            .map_err(|_| ChannelError::BadPoint { field: "next_per_commitment_point" })?;
        let slot = self
            .secrets
            .insert(number, revoke.per_commitment_secret)
            .map_err(|_| ChannelError::BadSecret { number })?;
        let row = SecretRow(*self.secrets.slot(slot).expect("it was just filled"));
        let key = channel_key(self.key).u8(slot as u8);
        cx.out.emit(Command::Put { table: Table::Secret, key: key.as_slice(), value: &row });
        cx.signer.remote_revoked(self.row.keys, number).expect("we signed it, and revocations come in order");

        let mut moved = std::mem::take(&mut cx.scratch.moved);
        self.ledger.step(Step::RecvRevoke, &mut moved);
        self.remote_points.current = self.remote_points.next.expect("we signed with it");
        self.remote_points.next = Some(next);
        cx.signer.expect(self.row.keys, CommitmentOf::Remote(next), &self.row.basepoints.remote);
        self.put_moved(cx, &moved);
        self.tell_moved(cx, &mut moved);
        cx.scratch.moved = moved;
        cx.effects.push(Effect::Room { channel: self.key });
        self.dirty = true;
        Ok(())
    }

    /// Tells the node what has become irrevocable.
    fn tell_moved(&mut self, cx: &mut Cx<'_>, moved: &mut Vec<Moved>) {
        let channel = self.key;
        for moved in moved.drain(..) {
            match moved {
                Moved::Advanced(key) => {
                    // Our add is in the only commitment that the peer has: nobody needs its onion again.
                    let Some(htlc) = self.ledger.htlc(key) else { continue };
                    if let (HtlcState::Adding(Stage::PeerRevoked), Detail::Offered { origin, .. }) =
                        (&htlc.state, &htlc.detail)
                    {
                        let origin = *origin;
                        self.forget_onion(cx, key);
                        cx.effects.push(Effect::Delivered { channel, id: key.id, origin });
                    }
                }
                Moved::Added(key) if key.offered_by == Side::Remote => {
                    let dust_excess = self.is_dust_excess(cx, key);
                    let Some(htlc) = self.ledger.htlc(key) else { continue };
                    cx.effects.push(Effect::Incoming {
                        channel,
                        id: key.id,
                        amount_msat: htlc.amount_msat,
                        payment_hash: htlc.payment_hash,
                        cltv_expiry: htlc.cltv_expiry,
                        dust_excess,
                    });
                }
                Moved::Added(_) => {}
                Moved::Removed(key, mut htlc) => {
                    let id = key.id;
                    if key.offered_by == Side::Remote {
                        self.fulfilled_at.remove(&id);
                    }
                    let state = std::mem::replace(&mut htlc.state, HtlcState::Live);
                    let HtlcState::Removing(_, removal) = state else { continue };
                    let effect = match (&htlc.detail, removal) {
                        (Detail::Received { .. }, removal) => {
                            let fulfilled = matches!(removal, Removal::Fulfilled(_));
                            Effect::Settled { channel, id, fulfilled }
                        }
                        (&Detail::Offered { origin, .. }, Removal::Fulfilled(_)) => {
                            Effect::Cleared { channel, id, origin }
                        }
                        (&Detail::Offered { origin, .. }, Removal::Failed(reason)) => {
                            Effect::Failed { channel, id, origin, failure: Failure::Reason(reason) }
                        }
                        (&Detail::Offered { origin, .. }, Removal::Malformed { sha256_of_onion, failure_code }) => {
                            let failure = Failure::Malformed { failure_code, sha256_of_onion };
                            Effect::Failed { channel, id, origin, failure }
                        }
                    };
                    cx.effects.push(effect);
                    cx.scratch.spare.keep_htlc(htlc);
                }
            }
        }
    }

    /// A dust HTLC of the peer beyond what we bear can only be failed: it is in both commitments.
    fn is_dust_excess(&self, cx: &Cx<'_>, key: HtlcKey) -> bool {
        let Some(htlc) = self.ledger.htlc(key) else { return false };
        let feerate = self.ledger.highest_feerate();
        let is_dust = |owner| self.trim_rule(owner, feerate).is_trimmed(key.offered_by, htlc.amount_msat);
        (is_dust(Side::Local) || is_dust(Side::Remote)) && self.terms(cx.config).dust_exceeded()
    }

    /// Our latest commitment, unsigned.
    pub fn local_commitment(&self, cx: &mut Cx<'_>) -> CommitmentTx {
        let number = self.ledger.latest_number(Side::Local);
        let spec = self.ledger.spec(Side::Local, Age::Latest);
        self.ring.build(cx.signer, &self.row, (number, CommitmentOf::Local(number)), &spec, None)
    }

    /// A commitment of the peer that is not revoked, unsigned; `None` for any other number.
    pub fn remote_commitment(&self, cx: &mut Cx<'_>, number: u64) -> Option<CommitmentTx> {
        let point = self.remote_point(number)?;
        let age = if number == self.ledger.oldest_number(Side::Remote) { Age::Oldest } else { Age::Latest };
        let spec = self.ledger.spec(Side::Remote, age);
        Some(self.ring.build(cx.signer, &self.row, (number, CommitmentOf::Remote(point)), &spec, None))
    }

    /// Our latest commitment, ready for the chain.
    pub(super) fn signed_local_commitment(&self, cx: &mut Cx<'_>) -> Transaction {
        let commitment = self.local_commitment(cx);
        let local = cx.signer.sign_local_commitment(self.row.keys, &commitment);
        let local = local.expect("the latest commitment is neither revoked nor without the peer's signatures");
        commitment.signed(PerSide { local, remote: self.signature.signature })
    }
}

/// What people are told of a commitment.
pub(super) fn signed_of(commitment: &CommitmentTx) -> Signed {
    Signed { txid: commitment.txid, fee: commitment.fee() }
}

/// Two steps in one turn may move an update twice: it is written and told once, as what it became.
fn coalesce(earlier: &mut Vec<Moved>, later: &mut Vec<Moved>) {
    // A step shows what it moves in the order of the keys, and then what it removes in the same order.
    let removed = later.partition_point(|moved| !matches!(moved, Moved::Removed(..)));
    let (advanced, removed) = later.split_at(removed);
    let again = |key: HtlcKey| {
        let found = |moved: &[Moved]| moved.binary_search_by_key(&key, Moved::key).is_ok();
        found(advanced) || found(removed)
    };
    earlier.retain(|moved| !again(moved.key()));
    earlier.append(later);
}
