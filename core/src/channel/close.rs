//! Closing by agreement: `shutdown`, then `closing_signed` until both name the same fee. And closing without.

use bitcoin::{Script, ScriptBuf, Transaction};

use crate::amount::Sat;
use crate::command::{Command, Level};
use crate::ids::{BlockHeight, ConnId, HtlcId, Sig};
use crate::mutation::{Mutation, is_active};
use crate::side::{PerSide, Side};
use crate::tx::{ClosingInput, ClosingTx, ShutdownRules};
use crate::wire::{self, Message};

use super::ledger::{Age, HtlcState, Removal, Stage};
use super::{Channel, ChannelError, CloseReason, Cx, Effect, Link, Phase};

/// Weight of a closing transaction with two P2WSH-sized outputs, signed: what its fee is reckoned with.
const CLOSING_WEIGHT: u64 = 776;

/// What the operator wants of a closing.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CloseTerms {
    /// The feerates that are acceptable, least and most, per 1,000 weight.
    pub feerate_range_per_kw: Option<(u32, u32)>,
}

/// The talk about the fee on one connection.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Negotiation {
    /// What we accept.
    ours: (Sat, Sat),
    /// What we named last, with our signature on it.
    sent: Option<Sat>,
    rounds: u32,
    accord: Accord,
}

/// Can the two come to an agreement about the fee?
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
enum Accord {
    /// Nothing speaks against it.
    Open,
    /// The last two ranges had nothing in common: it is for the opener to begin anew.
    Apart,
    /// It was so before, and they try again.
    Anew,
}

impl Negotiation {
    fn new(ours: (Sat, Sat), accord: Accord) -> Negotiation {
        Negotiation { ours, sent: None, rounds: 0, accord }
    }
}

/// BOLT 2 gives no bound; honest peers with fee ranges need two rounds, without them a dozen.
const ROUNDS_MAX: u32 = 64;

/// What BOLT 2 allows in `shutdown`. Every node of today has `option_shutdown_anysegwit`, and what a peer wants to be
/// paid to is its own affair.
const RULES: ShutdownRules = ShutdownRules { anysegwit: true, simple_close: false };

impl Channel {
    /// Begins to close by agreement. Without a script the one chosen at the opening is used.
    pub fn shutdown(
        &mut self,
        cx: &mut Cx<'_>,
        script: Option<&Script>,
        terms: CloseTerms,
    ) -> Result<(), super::Refusal> {
        if !matches!(self.row.phase, Phase::AwaitingFunding | Phase::Open | Phase::ShuttingDown | Phase::Negotiating) {
            return Err(super::Refusal::NotOpen);
        }
        self.close_terms = Some(terms);
        if self.row.shutdown.local.is_some() {
            return Ok(());
        }
        if let (Some(script), None) = (script, &self.row.upfront_shutdown.local) {
            self.row.close_script = script.to_bytes();
        }
        self.row.shutdown.local = Some(self.row.close_script.clone());
        self.shutdown_unsent = true;
        self.begin_shutdown(cx);
        self.dirty = true;
        Ok(())
    }

    fn begin_shutdown(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.row.phase, Phase::AwaitingFunding | Phase::Open) {
            self.set_phase(cx, Phase::ShuttingDown);
            cx.effects.push(Effect::Closing { channel: self.key });
            cx.effects.push(Effect::UpdateDue { channel: self.key });
        } else {
            self.put_row(cx);
        }
    }

    pub(super) fn send_shutdown(&self, cx: &mut Cx<'_>) {
        if let Some(script) = &self.row.shutdown.local {
            self.send(cx, &Message::Shutdown(wire::Shutdown { channel_id: self.row.id, scriptpubkey: script }));
        }
    }

    pub(super) fn receive_shutdown(
        &mut self,
        cx: &mut Cx<'_>,
        shutdown: &wire::Shutdown<'_>,
    ) -> Result<(), ChannelError> {
        let script = Script::from_bytes(shutdown.scriptpubkey);
        let fixed = self.row.upfront_shutdown.remote.as_ref().or(self.row.shutdown.remote.as_ref());
        let agrees = fixed.is_none_or(|fixed| fixed.as_slice() == shutdown.scriptpubkey);
        if !agrees || !RULES.allow(script) {
            return Err(ChannelError::BadShutdownScript);
        }
        let unsigned = |htlc: &super::Htlc| htlc.state == HtlcState::Adding(Stage::Proposed);
        if self.ledger.of_side(Side::Remote).any(|(_, htlc)| unsigned(htlc)) {
            // BOLT 2: not while the sender's updates are pending on the receiver's commitment.
            return Err(ChannelError::Unexpected { message: "shutdown", state: "unsigned adds are pending" });
        }
        self.row.shutdown.remote = Some(shutdown.scriptpubkey.to_vec());
        if self.row.shutdown.local.is_none() {
            self.row.shutdown.local = Some(self.row.close_script.clone());
            self.shutdown_unsent = true;
        }
        self.begin_shutdown(cx);
        self.dirty = true;
        self.advance_close(cx);
        Ok(())
    }

    /// Moves a closing along as far as it goes: called after everything that may have cleared the way.
    pub(super) fn advance_close(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.link, Link::Live { .. })
            || !matches!(self.row.phase, Phase::ShuttingDown | Phase::Negotiating)
        {
            return;
        }
        if self.shutdown_unsent {
            // BOLT 2: not while updates of ours are pending on the peer's commitment.
            let unsigned = |htlc: &super::Htlc| htlc.state == HtlcState::Adding(Stage::Proposed);
            let adds = self.ledger.of_side(Side::Local).any(|(_, htlc)| unsigned(htlc));
            let fees = self.ledger.fees().iter().any(|(_, stage)| *stage == Stage::Proposed);
            if adds || (fees && self.row.opener == Side::Local) {
                return;
            }
            self.shutdown_unsent = false;
            self.send_shutdown(cx);
        }
        let PerSide { local: Some(_), remote: Some(_) } = &self.row.shutdown else { return };
        if !self.ledger.is_quiet() || self.ledger.awaiting_revoke() {
            return;
        }
        if self.row.phase == Phase::ShuttingDown {
            self.set_phase(cx, Phase::Negotiating);
        }
        if self.negotiation.is_none() {
            self.begin_negotiation(cx, Accord::Open);
        }
    }

    fn begin_negotiation(&mut self, cx: &mut Cx<'_>, accord: Accord) {
        self.negotiation = Some(Negotiation::new(self.acceptable_fees(cx), accord));
        // BOLT 2: the opener, who pays, speaks first.
        if self.row.opener == Side::Local {
            let fee = self.preferred_fee(cx);
            self.propose_fee(cx, fee);
        }
    }

    /// A closing about whose fee the two could not agree is talked about anew by its opener: with each block, for the
    /// peer may think otherwise now, and as soon as our own idea of it has changed.
    pub(super) fn retry_close(&mut self, cx: &mut Cx<'_>, only_if_changed: bool) {
        let Some(negotiation) = self.negotiation.as_ref().filter(|talk| talk.accord == Accord::Apart) else { return };
        if is_active(Mutation::NoSecondTalk) {
            return;
        }
        let may_speak = self.row.phase == Phase::Negotiating && matches!(self.link, Link::Live { .. });
        let is_changed = negotiation.ours != self.acceptable_fees(cx);
        if may_speak && self.row.opener == Side::Local && (is_changed || !only_if_changed) {
            self.begin_negotiation(cx, Accord::Anew);
        }
    }

    /// BOLT 2, closing negotiation: fee ranges without a common fee are worth a warning, and then time. The connection
    /// stays, for there may be other channels on it; whoever asked for the close ends it alone when patience is over.
    /// The opener gets our range, so that it knows that it is to begin anew.
    fn disagree(&mut self, cx: &mut Cx<'_>, theirs: wire::FeeRange) {
        let Some(negotiation) = &mut self.negotiation else { return };
        let before = std::mem::replace(&mut negotiation.accord, Accord::Apart);
        let (low, high) = negotiation.ours;
        if self.row.opener == Side::Remote {
            let fee = self.preferred_fee(cx);
            self.propose_fee(cx, fee);
        }
        if before != Accord::Open {
            return;
        }
        let text = format!(
            "no closing fee suits both: yours are {} to {}, ours are {low} to {high}",
            theirs.min_fee_satoshis, theirs.max_fee_satoshis
        );
        let id = self.row.id;
        self.note(cx, Level::Warn, format_args!("channel {id}: {text}"));
        self.send(cx, &Message::Warning(wire::Warning { channel_id: id, data: text.as_bytes() }));
    }

    /// The most that a closing can cost: all that the opener has.
    fn closing_fee_max(&self) -> Sat {
        self.ledger.base()[self.row.opener].sat_floor()
    }

    fn acceptable_fees(&self, cx: &Cx<'_>) -> (Sat, Sat) {
        let at = |feerate: u32| Sat(u64::from(feerate) * CLOSING_WEIGHT / 1000);
        let most = self.closing_fee_max();
        let feerates = cx.chain.feerates();
        if let Some((low, high)) = self.close_terms.as_ref().and_then(|terms| terms.feerate_range_per_kw) {
            return (at(low).min(most), at(high.max(low)).min(most));
        }
        let low = at(feerates.mempool_minimum.max(crate::chain::FEERATE_FLOOR_PER_KW));
        match self.row.opener {
            // What a full mempool takes may be more than estimates have heard of.
            Side::Local => (low.min(most), at(feerates.blocks_2.saturating_mul(2)).max(low).min(most)),
            // It is not our money: whatever gets it into a block is fine.
            Side::Remote => (low.min(most), most),
        }
    }

    fn preferred_fee(&self, cx: &Cx<'_>) -> Sat {
        let (low, high) = self.acceptable_fees(cx);
        Sat(u64::from(cx.chain.feerates().blocks_6) * CLOSING_WEIGHT / 1000).clamp(low, high)
    }

    /// The closing transaction at this fee, as `signer` signs it (BOLT 3, legacy closing transaction).
    fn closing_tx(&self, fee: Sat, signer: Side) -> Option<ClosingTx> {
        let PerSide { local: Some(local), remote: Some(remote) } = &self.row.shutdown else { return None };
        let input = ClosingInput {
            funding: self.ring.funding(),
            balance: self.ledger.base(),
            scripts: PerSide { local: Script::from_bytes(local), remote: Script::from_bytes(remote) },
            payer: self.row.opener,
            fee,
        };
        input.legacy(self.row.params[signer].dust_limit)
    }

    fn send_closing_signed(&mut self, cx: &mut Cx<'_>, closing: &ClosingTx, fee: Sat) {
        let signature = self.sign_closing(cx, closing);
        let Some(negotiation) = &mut self.negotiation else { return };
        negotiation.sent = Some(fee);
        let (min_fee_satoshis, max_fee_satoshis) = negotiation.ours;
        let message = wire::ClosingSigned {
            channel_id: self.row.id,
            fee_satoshis: fee,
            signature,
            fee_range: Some(wire::FeeRange { min_fee_satoshis, max_fee_satoshis }),
        };
        self.send(cx, &Message::ClosingSigned(message));
    }

    fn sign_closing(&self, cx: &mut Cx<'_>, closing: &ClosingTx) -> Sig {
        cx.signer.sign_closing(self.row.keys, closing).expect("it spends the funding output with our key")
    }

    /// The transaction that the peer has signed: with its own dust limit, or (some peers) with ours.
    fn signed_by_peer(&self, fee: Sat, signature: &Sig) -> Result<ClosingTx, ChannelError> {
        let maximum = self.closing_fee_max();
        let ways = [Side::Remote, Side::Local].into_iter().filter_map(|signer| self.closing_tx(fee, signer));
        let mut possible = false;
        for closing in ways {
            possible = true;
            if closing.is_signed_by(Side::Remote, signature) {
                return Ok(closing);
            }
        }
        Err(if possible { ChannelError::BadSignature } else { ChannelError::BadClosingFee { fee, maximum } })
    }

    pub(super) fn receive_closing_signed(
        &mut self,
        cx: &mut Cx<'_>,
        theirs: &wire::ClosingSigned,
    ) -> Result<(), ChannelError> {
        self.advance_close(cx);
        if self.row.opener == Side::Remote && self.negotiation.as_ref().is_some_and(|talk| talk.accord == Accord::Apart)
        {
            // The opener begins anew, and our own idea of fees may have moved as well.
            self.begin_negotiation(cx, Accord::Anew);
        }
        let Some(negotiation) = self.negotiation.clone() else {
            return Err(ChannelError::Unexpected { message: "closing_signed", state: self.row.phase.name() });
        };
        let fee = theirs.fee_satoshis;
        let closing = self.signed_by_peer(fee, &theirs.signature)?;
        if negotiation.sent == Some(fee) {
            self.finish_close(cx, &closing, theirs.signature);
            return Ok(());
        }
        let rounds = negotiation.rounds + 1;
        if rounds > ROUNDS_MAX {
            return Err(ChannelError::BadClosingFee { fee, maximum: negotiation.ours.1 });
        }
        self.negotiation.as_mut().expect("it is there").rounds = rounds;
        let own = self.preferred_fee(cx);
        let (low, high) = if is_active(Mutation::StubbornClosing) { (own, own) } else { negotiation.ours };
        let answer = match theirs.fee_range {
            Some(range) => {
                let (low, high) = (low.max(range.min_fee_satoshis), high.min(range.max_fee_satoshis));
                if low > high {
                    if is_active(Mutation::DisjointFeesFail) {
                        self.fail(cx, &ChannelError::BadClosingFee { fee, maximum: negotiation.ours.1 });
                        return Ok(());
                    }
                    self.disagree(cx, range);
                    return Ok(());
                }
                fee.clamp(low, high)
            }
            None if (low..=high).contains(&fee) => fee,
            // BOLT 2, without ranges: strictly between what both named last.
            None => match negotiation.sent {
                None => self.preferred_fee(cx),
                Some(sent) => {
                    let middle = Sat((sent.0 + fee.0) / 2);
                    if middle == sent || middle == fee || !(low..=high).contains(&middle) {
                        return Err(ChannelError::BadClosingFee { fee, maximum: high });
                    }
                    middle
                }
            },
        };
        if answer == fee {
            // The very transaction that the peer signed.
            self.send_closing_signed(cx, &closing, fee);
            self.finish_close(cx, &closing, theirs.signature);
        } else {
            self.propose_fee(cx, answer);
        }
        Ok(())
    }

    fn propose_fee(&mut self, cx: &mut Cx<'_>, fee: Sat) {
        if let Some(closing) = self.closing_tx(fee, Side::Local) {
            self.send_closing_signed(cx, &closing, fee);
        }
    }

    /// Both have signed: out with it.
    fn finish_close(&mut self, cx: &mut Cx<'_>, closing: &ClosingTx, theirs: Sig) {
        let tx = closing.signed(PerSide { local: self.sign_closing(cx, closing), remote: theirs });
        let txid = tx.compute_txid();
        let ours = self.row.shutdown.local.as_ref().map(|script| ScriptBuf::from_bytes(script.clone()));
        let output = tx.output.iter().enumerate().find(|(_, output)| Some(&output.script_pubkey) == ours.as_ref());
        let output = output.map(|(vout, output)| (bitcoin::OutPoint { txid, vout: vout as u32 }, output.clone()));
        self.set_phase(cx, Phase::OnChain { reason: None, tx: Some(bitcoin::consensus::serialize(&tx)), spent: None });
        self.close_repeated = true;
        cx.out.emit(Command::Broadcast { tx: &tx, purpose: "mutual close" });
        cx.effects.push(Effect::MutualClose { channel: self.key, txid, output });
    }

    /// The fee of the closing transaction that both have signed and no block holds yet.
    fn agreed_fee(&self) -> Option<Sat> {
        let Phase::OnChain { reason: None, tx: Some(bytes), spent: None } = &self.row.phase else { return None };
        let tx: Transaction = bitcoin::consensus::deserialize(bytes).expect("we serialised it ourselves");
        let opener = self.row.opener;
        let script = self.row.shutdown[opener].as_ref()?;
        let output = tx.output.iter().find(|output| output.script_pubkey.as_bytes() == script.as_slice())?;
        self.closing_fee_max().checked_sub(Sat(output.value.to_sat()))
    }

    /// A peer that comes back before it got our last `closing_signed` is told again (BOLT 2: the talk begins anew), so
    /// that it does not close on chain in another way. False if there is nothing of the kind to tell.
    pub(super) fn repeat_close(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> bool {
        if self.agreed_fee().is_none() {
            return false;
        }
        self.link = Link::Live { conn };
        self.close_repeated = false;
        self.send_shutdown(cx);
        if self.row.opener == Side::Local {
            self.repeat_closing_signed(cx);
        }
        true
    }

    /// Sends `closing_signed` with the agreed fee, once for each connection.
    pub(super) fn repeat_closing_signed(&mut self, cx: &mut Cx<'_>) {
        let Some(fee) = self.agreed_fee() else { return };
        if !std::mem::replace(&mut self.close_repeated, true) {
            self.negotiation = Some(Negotiation::new((fee, fee), Accord::Open));
            self.propose_fee(cx, fee);
        }
    }

    /// Closes on chain by our latest commitment, if we may.
    pub fn force_close(&mut self, cx: &mut Cx<'_>, reason: CloseReason) {
        if matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed) {
            return;
        }
        if self.row.behind {
            // What we have is revoked: the peer could take everything. It was asked to close.
            let id = self.row.id;
            self.note(
                cx,
                Level::Error,
                format_args!("channel {id} is not closed from here ({reason}): its data is old"),
            );
            return;
        }
        if self.is_hollow() {
            self.give_up(cx, format!("before it was funded: {reason}"));
            return;
        }
        let tx = self.signed_local_commitment(cx);
        let txid = tx.compute_txid();
        let bytes = bitcoin::consensus::serialize(&tx);
        self.set_phase(cx, Phase::OnChain { reason: Some(reason.clone()), tx: Some(bytes), spent: None });
        let id = self.row.id;
        self.note(cx, Level::Warn, format_args!("channel {id} goes on chain: {reason}"));
        cx.out.emit(Command::Broadcast { tx: &tx, purpose: "commitment" });
        cx.effects.push(Effect::ForceClose { channel: self.key, reason, txid });
    }

    /// A preimage that came with the deadline itself, or after it: a peer that is there lets go of the HTLC within
    /// seconds, and closing without having asked it would cost both. So it gets a block, while half of the time that
    /// the chain would need is still left beside.
    fn may_still_answer(&self, id: HtlcId, cltv_expiry: u32, height: BlockHeight, fulfilled: u32) -> bool {
        let is_fresh = self.fulfilled_at.get(&id).is_some_and(|at| height <= at.plus(1));
        is_fresh && !is_active(Mutation::NoGraceAtDeadline) && height.0.saturating_add(fulfilled / 2) < cltv_expiry
    }

    /// BOLT 2, `cltv_expiry_delta` selection: an HTLC that cannot wait any longer takes the channel on chain.
    pub(super) fn check_deadlines(&mut self, cx: &mut Cx<'_>, height: BlockHeight) {
        if matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed) || !cx.chain.synced {
            return;
        }
        let (offered, fulfilled) = (cx.config.offered_deadline_blocks, cx.config.fulfilled_deadline_blocks);
        let feerate = self.ledger.feerate(Side::Local, Age::Latest);
        let trim = self.trim_rule(Side::Local, feerate);
        let late = self.ledger.htlcs().find_map(|(key, htlc)| {
            let (id, cltv_expiry) = (key.id, htlc.cltv_expiry);
            // An HTLC without an output cannot be saved on chain: closing for it would only cost.
            if trim.is_trimmed(key.offered_by, htlc.amount_msat) || htlc.state == HtlcState::Adding(Stage::Proposed) {
                return None;
            }
            let fulfilled_by_us = matches!(
                htlc.state,
                HtlcState::Decided(Removal::Fulfilled(_)) | HtlcState::Removing(_, Removal::Fulfilled(_))
            );
            match key.offered_by {
                Side::Local if height.0 >= cltv_expiry.saturating_add(offered) => {
                    Some(CloseReason::OfferedDeadline { id, cltv_expiry })
                }
                Side::Remote
                    if fulfilled_by_us
                        && height.0.saturating_add(fulfilled) >= cltv_expiry
                        && !self.may_still_answer(id, cltv_expiry, height, fulfilled) =>
                {
                    Some(CloseReason::FulfilledDeadline { id, cltv_expiry })
                }
                _ => None,
            }
        });
        if let Some(reason) = late {
            self.force_close(cx, reason);
        }
    }

    /// Is an HTLC that we have added and could not sign yet at its expiry? Nobody can enforce it, and nothing but the end
    /// of the connection takes it back (BOLT 2, message retransmission: updates that were not signed are forgotten).
    pub fn has_stale_offer(&self, height: BlockHeight) -> bool {
        matches!(self.link, Link::Live { .. })
            && self.ledger.htlcs().any(|(key, htlc)| {
                key.offered_by == Side::Local
                    && htlc.state == HtlcState::Adding(Stage::Proposed)
                    && height.0 >= htlc.cltv_expiry
            })
    }
}
