//! `update_*` in both directions: what is proposed, before anyone signs it.

use crate::amount::Msat;
use crate::chain::{FEERATE_FLOOR_PER_KW, Feerates};
use crate::ids::{HtlcId, PaymentHash, Point, Preimage};
use crate::limits::REMOVALS_UNACKED_MAX;
use crate::mutation::{Mutation, is_active};
use crate::onion::failure::BADONION;
use crate::onion::{self, BadOnion, ONION_SIZE, Onion, PeelError, Scratch, blinding};
use crate::side::Side;
use crate::tx::CommitFormat;
use crate::wire::{self, Message};

use super::ledger::{Detail, HtlcKey, HtlcState, Origin, Peeled, Removal, Stage};
use super::limits::Refusal;
use super::rows::put_onion;
use super::{Channel, ChannelConfig, ChannelError, Cx, Effect, KeptOnion, Link, Phase};

/// BOLT 4 `invalid_onion_blinding`: the one answer to whatever fails behind a path key.
pub const INVALID_ONION_BLINDING: u16 = 0xc018;

/// An HTLC that we want to offer.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What it carries.
    pub amount_msat: Msat,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// When it times out.
    pub cltv_expiry: u32,
    /// What the peer peels.
    pub onion: &'a [u8; ONION_SIZE],
    /// For a peer inside a blinded route.
    pub path_key: Option<Point>,
    /// Whom its outcome concerns.
    pub origin: Origin,
    /// Nobody can build or find the onion again after a restart: give it a row until the peer has it for good.
    pub store_onion: bool,
}

/// What a commitment should pay. With anchors it need only get into mempools: it is bumped when it matters.
pub(super) fn wanted_feerate(format: CommitFormat, feerates: &Feerates, config: &ChannelConfig) -> u32 {
    let least = feerates.mempool_minimum.max(FEERATE_FLOOR_PER_KW);
    match format {
        CommitFormat::AnchorsZeroFeeHtlc => feerates.blocks_6.min(config.anchor_feerate_max_per_kw).max(least),
        CommitFormat::StaticRemoteKey => feerates.blocks_6.max(least),
    }
}

/// The feerates that we accept from a peer that pays them. With anchors hardly any is too low, and the higher ones
/// cost the peer alone: estimators may differ for weeks, and closing for that would cost both.
pub(super) fn feerate_bounds(format: CommitFormat, feerates: &Feerates) -> (u32, u32) {
    let highest = feerates.blocks_2.saturating_mul(100).max(250_000);
    let highest = if is_active(Mutation::StrictFeeBounds) { feerates.blocks_2.saturating_mul(2) } else { highest };
    match format {
        CommitFormat::AnchorsZeroFeeHtlc => (FEERATE_FLOOR_PER_KW, highest),
        CommitFormat::StaticRemoteKey => ((feerates.blocks_100 / 4).max(FEERATE_FLOOR_PER_KW), highest),
    }
}

impl Channel {
    /// Offers an HTLC. It is sent at once, and signed when the turn ends.
    pub fn offer_htlc(&mut self, cx: &mut Cx<'_>, offer: &Offer<'_>) -> Result<HtlcId, Refusal> {
        self.may_offer(cx, offer.amount_msat, offer.cltv_expiry)?;
        let detail = Detail::Offered { origin: offer.origin, path_key: offer.path_key };
        let Offer { amount_msat, payment_hash, cltv_expiry, .. } = *offer;
        let spare = &mut cx.scratch.spare;
        let place = |htlc| spare.htlc(htlc);
        let key = self.ledger.add(place, Side::Local, amount_msat, payment_hash, cltv_expiry, detail);
        if offer.store_onion {
            put_onion(cx, self.key, key, offer.onion);
        }
        let kept = KeptOnion { onion: cx.scratch.spare.onion(offer.onion), stored: offer.store_onion };
        self.onions.insert(key, kept);
        self.send_add(cx, key)?;
        self.dirty = true;
        Ok(key.id)
    }

    /// Would [`Channel::offer_htlc`] take this?
    pub fn may_offer(&self, cx: &Cx<'_>, amount_msat: Msat, cltv_expiry: u32) -> Result<(), Refusal> {
        if !matches!(self.link, Link::Live { .. }) {
            return Err(Refusal::Offline);
        }
        if self.row.phase != Phase::Open {
            return Err(Refusal::NotOpen);
        }
        Ok(self.terms(cx.config).may_add(Side::Local, amount_msat, cltv_expiry)?)
    }

    /// Sends one of our adds, for the first time or again.
    pub(super) fn send_add(&self, cx: &mut Cx<'_>, key: HtlcKey) -> Result<(), Refusal> {
        let htlc = self.ledger.htlc(key).ok_or(Refusal::NoSuchHtlc)?;
        let kept = self.onions.get(&key).ok_or(Refusal::NoSuchHtlc)?;
        let path_key = match htlc.detail {
            Detail::Offered { path_key, .. } | Detail::Received { path_key, .. } => path_key,
        };
        let add = wire::UpdateAddHtlc {
            channel_id: self.row.id,
            id: key.id.0,
            amount_msat: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
            onion_routing_packet: &kept.onion,
            blinded_path: path_key,
        };
        self.send(cx, &Message::UpdateAddHtlc(add));
        Ok(())
    }

    /// Sends one of our removals, for the first time or again.
    pub(super) fn send_removal(&self, cx: &mut Cx<'_>, id: HtlcId, removal: &Removal) {
        let (channel_id, id) = (self.row.id, id.0);
        let message = match removal {
            Removal::Fulfilled(preimage) => {
                let payment_preimage = *preimage;
                Message::UpdateFulfillHtlc(wire::UpdateFulfillHtlc {
                    channel_id,
                    id,
                    payment_preimage,
                    attribution_data: None,
                })
            }
            Removal::Failed(reason) => {
                Message::UpdateFailHtlc(wire::UpdateFailHtlc { channel_id, id, reason, attribution_data: None })
            }
            Removal::Malformed { sha256_of_onion, failure_code } => {
                Message::UpdateFailMalformedHtlc(wire::UpdateFailMalformedHtlc {
                    channel_id,
                    id,
                    sha256_of_onion: *sha256_of_onion,
                    failure_code: *failure_code,
                })
            }
        };
        self.send(cx, &message);
    }

    /// Fulfils an HTLC of the peer. The preimage survives disconnections and restarts until the peer has let go.
    pub fn fulfill_htlc(&mut self, cx: &mut Cx<'_>, id: HtlcId, preimage: Preimage) -> Result<(), Refusal> {
        let htlc = self.received(id).ok_or(Refusal::NoSuchHtlc)?;
        if preimage.payment_hash() != htlc.payment_hash {
            return Err(Refusal::WrongPreimage);
        }
        self.decide(cx, id, Removal::Fulfilled(preimage))?;
        self.fulfilled_at.insert(id, cx.chain.height());
        Ok(())
    }

    /// Fails an HTLC of the peer with an encrypted reason.
    pub fn fail_htlc(&mut self, cx: &mut Cx<'_>, id: HtlcId, reason: &[u8]) -> Result<(), Refusal> {
        self.decide(cx, id, Removal::Failed(reason.into()))
    }

    /// Fails an HTLC of the peer whose onion could not be read.
    pub fn fail_malformed_htlc(
        &mut self,
        cx: &mut Cx<'_>,
        id: HtlcId,
        sha256_of_onion: [u8; 32],
        failure_code: u16,
    ) -> Result<(), Refusal> {
        self.decide(cx, id, Removal::Malformed { sha256_of_onion, failure_code: failure_code | BADONION })
    }

    fn decide(&mut self, cx: &mut Cx<'_>, id: HtlcId, removal: Removal) -> Result<(), Refusal> {
        if !self.ledger.decide(id, removal) {
            return Err(Refusal::NoSuchHtlc);
        }
        let key = HtlcKey { offered_by: Side::Remote, id };
        // What was to be passed on will not be.
        self.forget_onion(cx, key);
        self.unsaved.push(key);
        self.dirty = true;
        Ok(())
    }

    /// Proposes the removals that are decided, as many as one retransmission may hold.
    pub(super) fn propose_decided(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.link, Link::Live { .. }) {
            return;
        }
        let room = REMOVALS_UNACKED_MAX.saturating_sub(self.ledger.unacked_removals());
        // The ledger is lent out while it shows them, so they are sent from a list.
        let mut proposed = std::mem::take(&mut cx.scratch.removals);
        self.ledger.propose_decided(room, |id, _| proposed.push(id));
        for id in proposed.drain(..) {
            if let Some(HtlcState::Removing(_, removal)) = self.received(id).map(|htlc| &htlc.state) {
                self.send_removal(cx, id, removal);
            }
        }
        cx.scratch.removals = proposed;
    }

    /// Proposes a feerate (BOLT 2: only the opener may).
    pub fn update_fee(&mut self, cx: &mut Cx<'_>, feerate_per_kw: u32) -> Result<(), Refusal> {
        if self.row.opener != Side::Local {
            return Err(Refusal::NotOpener);
        }
        if !matches!(self.link, Link::Live { .. }) {
            return Err(Refusal::Offline);
        }
        if !matches!(self.row.phase, Phase::Open | Phase::ShuttingDown) {
            return Err(Refusal::NotOpen);
        }
        let bounds = (FEERATE_FLOOR_PER_KW, u32::MAX);
        self.terms(cx.config).may_update_fee(Side::Local, feerate_per_kw, bounds)?;
        self.ledger.update_fee(feerate_per_kw);
        self.send_fee(cx, feerate_per_kw);
        self.dirty = true;
        Ok(())
    }

    /// Sends our fee, for the first time or again.
    pub(super) fn send_fee(&self, cx: &mut Cx<'_>, feerate_per_kw: u32) {
        self.send(cx, &Message::UpdateFee(wire::UpdateFee { channel_id: self.row.id, feerate_per_kw }));
    }

    /// As the opener, follows the chain's feerates when they have moved by more than a fifth. With anchors the fee
    /// need only get the commitment into mempools, so it stays low.
    pub fn follow_feerates(&mut self, cx: &mut Cx<'_>) {
        let feerates = cx.chain.feerates();
        self.retry_close(cx, true);
        if self.row.opener != Side::Local || !self.is_up() || cx.chain.feerates.is_none() {
            return;
        }
        let wanted = wanted_feerate(self.funding().format, &feerates, cx.config);
        let present = self.ledger.newest_feerate();
        if u64::from(wanted.abs_diff(present)) * 5 > u64::from(present) {
            // Not affordable now: the next block tries again.
            let _ = self.update_fee(cx, wanted);
        }
    }

    pub(super) fn receive_add(&mut self, cx: &mut Cx<'_>, add: &wire::UpdateAddHtlc<'_>) -> Result<(), ChannelError> {
        // BOLT 2: none after the peer's `shutdown`, and none before the channel is ready. Our own `shutdown` may
        // have crossed it, so it is no reason to refuse.
        if !self.row.ready.local || !self.row.ready.remote || self.row.shutdown.remote.is_some() {
            return Err(ChannelError::Unexpected { message: "update_add_htlc", state: self.row.phase.name() });
        }
        let expected = self.ledger.next_id(Side::Remote);
        if add.id != expected.0 {
            return Err(ChannelError::WrongId { expected, actual: HtlcId(add.id) });
        }
        self.terms(cx.config).may_add(Side::Remote, add.amount_msat, add.cltv_expiry).map_err(ChannelError::Excess)?;
        let (onion, next) = self.peel(cx, add);
        let detail = Detail::Received { onion, path_key: add.blinded_path };
        let spare = &mut cx.scratch.spare;
        let place = |htlc| spare.htlc(htlc);
        let key = self.ledger.add(place, Side::Remote, add.amount_msat, add.payment_hash, add.cltv_expiry, detail);
        if let Some(onion) = next {
            self.onions.insert(key, KeptOnion { onion, stored: false });
        }
        Ok(())
    }

    /// Opens an onion as it arrives: only its contents are kept.
    fn peel(&self, cx: &mut Cx<'_>, add: &wire::UpdateAddHtlc<'_>) -> (Peeled, Option<Box<[u8; ONION_SIZE]>>) {
        let packet = add.onion_routing_packet;
        let malformed = |bad: BadOnion| {
            let sha256_of_onion = onion::hash(packet);
            // BOLT 2, removing an HTLC: inside a blinded route nothing but this one code may leak.
            let code = if add.blinded_path.is_some() { INVALID_ONION_BLINDING } else { bad.code() };
            (Peeled::Malformed { code, sha256_of_onion }, None)
        };
        let onion = match Onion::parse(packet) {
            Ok(onion) => onion,
            Err(bad) => return malformed(bad),
        };
        // BOLT 4, route blinding: behind a path key the onion was made for our blinded key.
        let (point, path_secret) = match add.blinded_path {
            None => (onion.ephemeral(), None),
            Some(path_key) => {
                let Ok(path_key) = path_key.parse() else { return malformed(BadOnion::Key) };
                let path_secret = cx.signer.ecdh(&path_key);
                match blinding::blinded_ephemeral(&onion.ephemeral(), &path_secret) {
                    Some(point) => (point, Some(path_secret)),
                    None => return malformed(BadOnion::Key),
                }
            }
        };
        let shared_secret = cx.signer.ecdh(&point);
        let mut scratch = Scratch::default();
        let opened = |payload: Vec<u8>, forward| match path_secret {
            None => Peeled::Payload { shared_secret, payload, forward },
            Some(path_secret) => {
                let sha256_of_onion = onion::hash(packet);
                Peeled::Blinded { shared_secret, path_secret, payload, forward, sha256_of_onion }
            }
        };
        match onion.peel(&shared_secret, &add.payment_hash.0, &mut scratch) {
            Ok(peeled) => {
                let next = match peeled.next.map(|next| next.packet()).transpose() {
                    Ok(next) => next.map(|next| cx.scratch.spare.onion(&next)),
                    Err(bad) => return malformed(bad),
                };
                let forward = next.is_some();
                (opened(cx.scratch.spare.payload(peeled.payload), forward), next)
            }
            Err(PeelError::Bad(bad)) => malformed(bad),
            // The onion is authentic and its payload has no sound length: no payload is as wrong, and whoever
            // decodes it answers as the sender deserves.
            Err(PeelError::Payload(_)) => (opened(Vec::new(), false), None),
        }
    }

    pub(super) fn receive_fulfill(
        &mut self,
        cx: &mut Cx<'_>,
        fulfill: &wire::UpdateFulfillHtlc<'_>,
    ) -> Result<(), ChannelError> {
        let (id, preimage) = (HtlcId(fulfill.id), fulfill.payment_preimage);
        let htlc = self.offered(id).ok_or(ChannelError::NoSuchHtlc { id })?;
        if preimage.payment_hash() != htlc.payment_hash {
            return Err(ChannelError::WrongPreimage { id });
        }
        let origin = self.remove(id, Removal::Fulfilled(preimage))?;
        // At once: whatever the peer does next, this preimage is worth the incoming HTLC (BOLT 2, forwarding HTLCs).
        cx.effects.push(Effect::Fulfilled { channel: self.key, id, origin, preimage });
        Ok(())
    }

    /// The channel is on its way to the chain, and the peer did not know when it wrote this. A preimage is a preimage:
    /// the incoming HTLC need not wait until this one shows up in a block.
    pub(super) fn receive_late_preimage(&mut self, cx: &mut Cx<'_>, fulfill: &wire::UpdateFulfillHtlc<'_>) {
        let (id, preimage) = (HtlcId(fulfill.id), fulfill.payment_preimage);
        let Some(htlc) = self.offered(id).filter(|htlc| preimage.payment_hash() == htlc.payment_hash) else { return };
        if let Detail::Offered { origin, .. } = htlc.detail {
            cx.effects.push(Effect::Fulfilled { channel: self.key, id, origin, preimage });
        }
    }

    pub(super) fn receive_fail(
        &mut self,
        _cx: &mut Cx<'_>,
        fail: &wire::UpdateFailHtlc<'_>,
    ) -> Result<(), ChannelError> {
        self.remove(HtlcId(fail.id), Removal::Failed(fail.reason.into())).map(drop)
    }

    pub(super) fn receive_fail_malformed(
        &mut self,
        _cx: &mut Cx<'_>,
        fail: &wire::UpdateFailMalformedHtlc,
    ) -> Result<(), ChannelError> {
        let (sha256_of_onion, failure_code) = (fail.sha256_of_onion, fail.failure_code);
        if failure_code & BADONION == 0 {
            return Err(ChannelError::NotBadOnion { failure_code });
        }
        self.remove(HtlcId(fail.id), Removal::Malformed { sha256_of_onion, failure_code }).map(drop)
    }

    /// Takes in a removal by the peer.
    fn remove(&mut self, id: HtlcId, removal: Removal) -> Result<Origin, ChannelError> {
        let origin = match self.offered(id).map(|htlc| &htlc.detail) {
            Some(Detail::Offered { origin, .. }) => *origin,
            _ => return Err(ChannelError::NoSuchHtlc { id }),
        };
        if self.ledger.remove(id, removal) { Ok(origin) } else { Err(ChannelError::NoSuchHtlc { id }) }
    }

    pub(super) fn receive_fee(&mut self, cx: &mut Cx<'_>, fee: &wire::UpdateFee) -> Result<(), ChannelError> {
        if self.row.opener != Side::Remote {
            return Err(ChannelError::NotOpener);
        }
        if self.row.phase == Phase::AwaitingFunding {
            return Err(ChannelError::Unexpected { message: "update_fee", state: self.row.phase.name() });
        }
        let bounds = feerate_bounds(self.funding().format, &cx.chain.feerates());
        self.terms(cx.config).may_update_fee(Side::Remote, fee.feerate_per_kw, bounds).map_err(ChannelError::Excess)?;
        self.ledger.update_fee(fee.feerate_per_kw);
        Ok(())
    }

    /// Sends again what the peer had not revoked for: our updates at `PeerSigned`, in an order that any receiver can
    /// take in: adds by id, and removals before them, because they may free what the adds need (BOLT 2, message
    /// retransmission).
    pub(super) fn resend_updates(&self, cx: &mut Cx<'_>) -> Result<(), ChannelError> {
        if is_active(Mutation::UpdatesNotRepeated) {
            return Ok(());
        }
        for (key, htlc) in self.ledger.of_side(Side::Remote) {
            if let HtlcState::Removing(Stage::PeerSigned, removal) = &htlc.state {
                self.send_removal(cx, key.id, removal);
            }
        }
        for (key, htlc) in self.ledger.of_side(Side::Local) {
            if htlc.state == HtlcState::Adding(Stage::PeerSigned) {
                self.send_add(cx, key).map_err(|_| ChannelError::OnionLost { id: key.id })?;
            }
        }
        if self.row.opener == Side::Local {
            let again = self.ledger.fees().iter().filter(|(_, stage)| *stage == Stage::PeerSigned);
            for (feerate, _) in again {
                self.send_fee(cx, *feerate);
            }
        }
        Ok(())
    }
}
