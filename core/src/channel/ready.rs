//! From a funding transaction in a block to a channel in use: depth, `channel_ready`, aliases, the announcement.

use bitcoin::Transaction;
use bitcoin::hashes::{Hash, sha256d};
use secp256k1::{PublicKey, SECP256K1};

use crate::command::Level;
use crate::ids::{BlockHeight, Point, ShortChannelId, Sig};
use crate::limits::FUNDING_FORGET_BLOCKS;
use crate::rng::Rng;
use crate::side::{PerSide, Side};
use crate::tx;
use crate::wire::{self, Message};

use super::rows::FundingStatus;
use super::{Channel, ChannelError, Cx, Effect, Link, Phase};

/// BOLT 7: no announcement before this many confirmations.
const ANNOUNCE_DEPTH: u32 = 6;
/// An announcement without features, with its type.
const ANNOUNCEMENT_SIZE: usize = 2 + 430;

/// A name for a channel that says nothing of its place: heights that no chain will see for three centuries.
pub(super) fn random_alias(rng: &mut Rng) -> ShortChannelId {
    ShortChannelId(0xf0_0000 << 40 | rng.next_u64() >> 4)
}

/// The output that funds a channel, as it must be (BOLT 3, funding transaction output).
pub(super) fn pays_funding(tx: &Transaction, funding: &tx::Funding) -> bool {
    let script = funding.script_pubkey();
    tx.output.get(funding.outpoint.vout as usize).is_some_and(|output| {
        output.value.to_sat() == funding.amount.0 && output.script_pubkey.as_bytes() == script.as_bytes()
    })
}

impl Channel {
    /// The funding transaction is in a block. Its output is believed only now that it has been seen: a peer that
    /// funds a channel may have lied about script and amount.
    pub fn funding_confirmed(&mut self, cx: &mut Cx<'_>, tx: &Transaction, height: BlockHeight, index: u32) {
        let outpoint = self.funding().outpoint;
        if tx.compute_txid() != outpoint.txid || matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed) {
            return;
        }
        if !pays_funding(tx, self.ring.funding()) {
            let reason = format!("output {outpoint} does not fund the channel as agreed");
            self.note(cx, Level::Warn, format_args!("channel {}: {reason}", self.row.id));
            self.give_up(cx, reason);
            return;
        }
        self.row.fundings[0].status = FundingStatus::Confirmed { height, index };
        self.put_row(cx);
        let scid = self.scid().expect("it was just confirmed");
        cx.effects.push(Effect::ScidKnown { channel: self.key, scid });
        self.check_depth(cx, cx.chain.height().max(height));
    }

    /// The block with the funding transaction is no longer part of the chain. The channel goes on: the same
    /// transaction will most likely be in another block. But it has no place, so nothing new is announced.
    pub fn funding_unconfirmed(&mut self, cx: &mut Cx<'_>) {
        self.row.fundings[0].status = FundingStatus::Unconfirmed;
        self.row.announcement = PerSide::default();
        self.put_row(cx);
        self.note(cx, Level::Warn, format_args!("a reorganisation undid the funding of channel {}", self.row.id));
    }

    /// Confirmations of the funding.
    fn depth(&self, height: BlockHeight) -> u32 {
        match self.funding().status {
            FundingStatus::Confirmed { height: at, .. } if height >= at => height.since(at) + 1,
            _ => 0,
        }
    }

    /// Does what this depth allows.
    pub(super) fn check_depth(&mut self, cx: &mut Cx<'_>, height: BlockHeight) {
        if matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed) {
            return;
        }
        let depth = self.depth(height);
        if depth >= self.row.minimum_depth.max(1) && !self.row.ready.local {
            self.row.ready.local = true;
            self.put_row(cx);
            if matches!(self.link, Link::Live { .. }) {
                self.send_ready(cx);
            }
            self.both_ready(cx);
        }
        if depth >= ANNOUNCE_DEPTH {
            self.sign_announcement(cx);
        }
    }

    /// Nothing shows that this channel was ever funded, and it was the peer who should have.
    pub(super) fn is_hollow(&self) -> bool {
        let spent = matches!(self.row.phase, Phase::OnChain { spent: Some(_), .. });
        self.row.opener == Side::Remote && !self.row.ready.local && self.scid().is_none() && !spent
    }

    /// BOLT 2: the side that does not fund may forget a channel that is not funded after two weeks, whatever has been
    /// said about closing it meanwhile. To make one costs the peer nothing, so to keep it must cost us little.
    pub(super) fn check_hollow(&mut self, cx: &mut Cx<'_>, height: BlockHeight) {
        if self.is_hollow() && self.row.phase != Phase::Closed && height.since(self.row.since) >= FUNDING_FORGET_BLOCKS
        {
            self.give_up(cx, format!("its funding was in no block after {FUNDING_FORGET_BLOCKS} blocks"));
        }
    }

    /// The funding transaction of a channel of ours will never be: its inputs are spent elsewhere, or the wallet never
    /// broadcast it. The caller knows; a channel that was ever confirmed is not abandoned.
    pub fn abandon(&mut self, cx: &mut Cx<'_>, reason: &str) -> bool {
        let never = !self.row.ready.local && self.scid().is_none() && self.row.phase != Phase::Closed;
        if never {
            self.give_up(cx, reason.to_owned());
        }
        never
    }

    pub(super) fn send_ready(&self, cx: &mut Cx<'_>) {
        let second_per_commitment_point = self.local_point(cx, 1);
        let ready = wire::ChannelReady {
            channel_id: self.row.id,
            second_per_commitment_point,
            short_channel_id: self.row.alias.local,
        };
        self.send(cx, &Message::ChannelReady(ready));
    }

    pub(super) fn receive_ready(&mut self, cx: &mut Cx<'_>, ready: &wire::ChannelReady) -> Result<(), ChannelError> {
        let point = ready.second_per_commitment_point;
        let repeated = self.row.ready.remote;
        if !repeated {
            let point = point.parse().map_err(|_| ChannelError::BadPoint { field: "second_per_commitment_point" })?;
            self.remote_points.next = Some(point);
            self.row.ready.remote = true;
            self.put_commitment(cx);
        }
        // A repeated one may bring another alias and nothing else (BOLT 2, channel_ready).
        let alias = ready.short_channel_id.filter(|alias| self.row.alias.remote != Some(*alias));
        if let Some(alias) = alias {
            self.row.alias.remote = Some(alias);
            cx.effects.push(Effect::AliasKnown { channel: self.key, alias });
        }
        if alias.is_some() || !repeated {
            self.put_row(cx);
        }
        if !repeated {
            self.both_ready(cx);
        }
        Ok(())
    }

    fn both_ready(&mut self, cx: &mut Cx<'_>) {
        if self.row.ready.local && self.row.ready.remote && self.row.phase == Phase::AwaitingFunding {
            cx.effects.push(Effect::Ready { channel: self.key });
            let phase = match self.row.shutdown {
                PerSide { local: None, remote: None } => Phase::Open,
                _ => Phase::ShuttingDown,
            };
            self.set_phase(cx, phase);
            cx.effects.push(Effect::UpdateDue { channel: self.key });
            self.check_depth(cx, cx.chain.height());
        }
    }

    /// The announcement as both ends sign it; `None` while the channel has no place.
    fn announcement(&self, cx: &Cx<'_>) -> Option<wire::ChannelAnnouncement<'static>> {
        let (ours, theirs) = (cx.config.node_id, self.row.peer);
        let basepoints = &self.row.basepoints;
        let keys = PerSide::<Point> {
            local: basepoints.local.funding_pubkey.into(),
            remote: basepoints.remote.funding_pubkey.into(),
        };
        let none = Sig([0; 64]);
        let ((node_id_1, bitcoin_key_1), (node_id_2, bitcoin_key_2)) = if ours < theirs {
            ((ours, keys.local), (theirs, keys.remote))
        } else {
            ((theirs, keys.remote), (ours, keys.local))
        };
        Some(wire::ChannelAnnouncement {
            node_signature_1: none,
            node_signature_2: none,
            bitcoin_signature_1: none,
            bitcoin_signature_2: none,
            features: &[],
            trailing: wire::Trailing(&[]),
            chain_hash: cx.config.chain_hash,
            short_channel_id: self.scid()?,
            node_id_1,
            node_id_2,
            bitcoin_key_1,
            bitcoin_key_2,
        })
    }

    /// Signs and sends our half, once (BOLT 7: after `channel_ready` both ways, and deep enough).
    fn sign_announcement(&mut self, cx: &mut Cx<'_>) {
        let due = self.row.announce && self.row.ready.local && self.row.ready.remote;
        if !due || self.row.announcement.local.is_some() || !matches!(self.link, Link::Live { .. }) {
            return;
        }
        let Some(announcement) = self.announcement(cx) else { return };
        let digest = secp256k1::Message::from_digest(announcement_hash(&announcement));
        let bitcoin_signature = cx.signer.sign_announcement(self.row.keys, &digest);
        self.row.announcement.local = Some((cx.signer.sign_node(&digest), bitcoin_signature));
        self.put_row(cx);
        self.send_announcement(cx);
        self.both_announced(cx);
    }

    fn send_announcement(&self, cx: &mut Cx<'_>) {
        if let (Some((node_signature, bitcoin_signature)), Some(short_channel_id)) =
            (self.row.announcement.local, self.scid())
        {
            let channel_id = self.row.id;
            let signatures =
                wire::AnnouncementSignatures { channel_id, short_channel_id, node_signature, bitcoin_signature };
            self.send(cx, &Message::AnnouncementSignatures(signatures));
        }
    }

    /// After a reconnection: again, until the peer's have come (BOLT 7).
    pub(super) fn resend_announcement(&mut self, cx: &mut Cx<'_>) {
        if self.row.announcement.remote.is_none() {
            self.send_announcement(cx);
        }
    }

    pub(super) fn receive_announcement(
        &mut self,
        cx: &mut Cx<'_>,
        signatures: &wire::AnnouncementSignatures,
    ) -> Result<(), ChannelError> {
        // A peer that is a block ahead, or on another branch: it sends them again after a reconnection, and we
        // answer its half with ours below.
        if !self.row.announce || self.scid() != Some(signatures.short_channel_id) {
            return Ok(());
        }
        if self.row.announcement.remote.is_none() {
            let Some(announcement) = self.announcement(cx) else { return Ok(()) };
            let digest = secp256k1::Message::from_digest(announcement_hash(&announcement));
            let (node, bitcoin) = (signatures.node_signature, signatures.bitcoin_signature);
            let node_key = self.row.peer.parse().map_err(|_| ChannelError::BadAnnouncement)?;
            let bitcoin_key = &self.row.basepoints.remote.funding_pubkey;
            if !verifies(&digest, &node, &node_key) || !verifies(&digest, &bitcoin, bitcoin_key) {
                return Err(ChannelError::BadAnnouncement);
            }
            self.row.announcement.remote = Some((node, bitcoin));
            self.put_row(cx);
            self.both_announced(cx);
        } else if !std::mem::replace(&mut self.announcement_answered, true) {
            // The peer has lost ours. Once for each connection: two nodes that answered each other would not stop.
            self.send_announcement(cx);
        }
        Ok(())
    }

    fn both_announced(&mut self, cx: &mut Cx<'_>) {
        let (Some(local), Some(remote), Some(scid)) =
            (self.row.announcement.local, self.row.announcement.remote, self.scid())
        else {
            return;
        };
        cx.effects.push(Effect::Announced {
            channel: self.key,
            scid,
            node_signatures: PerSide { local: local.0, remote: remote.0 },
            bitcoin_signatures: PerSide { local: local.1, remote: remote.1 },
        });
        cx.effects.push(Effect::UpdateDue { channel: self.key });
    }

    /// Ends a channel that never was: nothing of ours is in it, or nothing is in it at all.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, reason: String) {
        self.set_phase(cx, Phase::Closed);
        self.delete_rows(cx);
        cx.signer.forget(self.row.keys);
        cx.effects.push(Effect::Closed { channel: self.key, reason });
    }
}

/// What the four signatures of an announcement sign: all that follows them (BOLT 7, the `channel_announcement` Message).
fn announcement_hash(announcement: &wire::ChannelAnnouncement<'_>) -> [u8; 32] {
    const SIGNED_FROM: usize = 2 + 4 * 64;
    let mut bytes = [0; ANNOUNCEMENT_SIZE];
    let message = Message::ChannelAnnouncement(announcement.clone());
    let length = message.encoded_len();
    message.encode(&mut wire::Cursor::new(&mut bytes)).expect("it has no features");
    sha256d::Hash::hash(&bytes[SIGNED_FROM..length]).to_byte_array()
}

/// Does this signature verify? One that is none, or has a high S, does not.
fn verifies(digest: &secp256k1::Message, signature: &Sig, key: &PublicKey) -> bool {
    signature.parse().is_ok_and(|signature| SECP256K1.verify_ecdsa(digest, &signature, key).is_ok())
}
