//! What channels tell, worked off one by one until nothing is left.

use super::{Io, Node};
use bitcoin::Transaction;

use crate::channel::{Channel, Effect, Failure, Origin, Phase, Spendable};
use crate::command::{Command, Level, Watch};
use crate::ids::ChannelKey;
use crate::request::Response;
use crate::request::channel::ChannelClosed;

/// The transaction by which we have closed a channel, or agreed to.
fn closing_transaction(channel: &Channel) -> Option<Transaction> {
    match channel.phase() {
        Phase::OnChain { tx: Some(bytes), .. } => bitcoin::consensus::deserialize(bytes).ok(),
        _ => None,
    }
}

impl Node {
    /// Works off all effects, and those that they bring.
    pub(super) fn settle(&mut self, io: &mut Io<'_>) {
        loop {
            while !self.effects.is_empty() {
                let mut effects = std::mem::take(&mut self.effects);
                for effect in effects.drain(..) {
                    self.on_effect(io, effect);
                }
                // Keep the memory: a busy channel tells much.
                if self.effects.is_empty() {
                    self.effects = effects;
                }
            }
            // Once per step and peer, however often room was told of.
            let Some(peer) = self.outgoing.waiting.pop_stirred() else { return };
            self.try_waiting(io, peer);
        }
    }

    fn on_effect(&mut self, io: &mut Io<'_>, effect: Effect) {
        match effect {
            Effect::FundingNeeded { channel, script, amount } => self.on_funding_needed(io, channel, script, amount),
            Effect::FundingSafe { channel, .. } => self.on_funding_safe(io, channel),
            Effect::Incoming { channel, id, dust_excess, .. } => self.on_incoming(io, channel, id, dust_excess),
            Effect::Fulfilled { origin, preimage, .. } => match origin {
                Origin::Payment { part } => self.on_part_fulfilled(io, part, preimage),
                Origin::Forward { channel, id } => self.on_forward_fulfilled(io, (channel, id), preimage),
            },
            Effect::Failed { origin, failure, .. } => self.on_offer_failed(io, origin, failure),
            Effect::Dropped { origin, .. } => self.on_offer_dropped(io, origin),
            Effect::Delivered { origin, .. } => {
                if let Origin::Forward { channel, id } = origin {
                    self.with_channel(io, channel, |channel, cx| channel.forget_next_onion(cx, id));
                }
            }
            Effect::Cleared { .. } => {}
            Effect::Settled { channel, .. } | Effect::Room { channel } => self.stir_payments(channel),
            Effect::Up { channel } => self.on_channel_up(io, channel),
            Effect::Down { .. } => {}
            Effect::Ready { channel } => self.on_channel_ready(io, channel),
            Effect::ScidKnown { channel, scid } => {
                self.index.by_scid.insert(scid, channel);
                self.count_hollow();
            }
            Effect::AliasKnown { .. } => {}
            Effect::Announced { channel, scid, .. } => {
                io.note(Level::Info, "channel", format_args!("channel {scid} may be announced"));
                self.send_channel_update(io, channel);
            }
            Effect::UpdateDue { channel } => self.send_channel_update(io, channel),
            Effect::Closing { .. } => {}
            Effect::MutualClose { channel, .. } => self.on_mutual_close(io, channel),
            Effect::ForceClose { channel, reason, txid } => {
                io.note(Level::Warn, "channel", format_args!("channel {channel} goes on chain by {txid}: {reason}"));
                self.give_back_with(io, channel);
                self.answer_close(io, channel, false);
            }
            Effect::Spent { channel, .. } => {
                self.give_back_with(io, channel);
                self.answer_close_seen(io, channel);
            }
            Effect::SpendableOutput { channel, spendable } => self.on_spendable(io, channel, spendable),
            Effect::Closed { channel, reason } => self.on_closed(io, channel, &reason),
        }
    }

    fn on_offer_failed(&mut self, io: &mut Io<'_>, origin: Origin, failure: Failure) {
        match origin {
            Origin::Payment { part } => self.on_part_failed(io, part, &failure),
            Origin::Forward { channel, id } => self.on_forward_failed(io, (channel, id), &failure),
        }
    }

    /// Our add never was. A payment may try again; a forward goes back: its sender can try again better than we can.
    fn on_offer_dropped(&mut self, io: &mut Io<'_>, origin: Origin) {
        match origin {
            Origin::Payment { part } => self.on_part_dropped(io, part),
            Origin::Forward { channel, id } => self.on_forward_dropped(io, (channel, id)),
        }
    }

    fn on_channel_up(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        self.send_channel_update(io, key);
        self.with_channel(io, key, |channel, cx| channel.follow_feerates(cx));
        self.stir_payments(key);
    }

    /// Something has changed about a channel that payments may wait for.
    fn stir_payments(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.get(&key) {
            self.outgoing.waiting.stir(channel.peer());
        }
    }

    fn on_channel_ready(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        let Some(channel) = self.channels.get(&key) else { return };
        let (peer, id) = (channel.peer(), channel.id());
        io.note_peer(Level::Info, "channel", peer, format_args!("channel {id} is ready"));
    }

    /// Channels whose funding is in no block: bounded, so counted.
    pub(super) fn count_hollow(&mut self) {
        use crate::side::Side;
        let hollow = self.channels.values().filter(|c| c.opener() == Side::Remote && c.scid().is_none());
        self.hollow_channels = hollow.count();
    }

    fn on_mutual_close(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        self.answer_close(io, key, true);
    }

    /// Answers clients that wait for a close with the transaction that did it.
    fn answer_close(&mut self, io: &mut Io<'_>, key: ChannelKey, mutual: bool) {
        let Some(tx) = self.channels.get(&key).and_then(|channel| closing_transaction(channel)) else { return };
        for request in self.close_waiters.remove(&key).unwrap_or_default() {
            self.timers.clear(super::NodeTimer::Patience { request });
            let tx = Box::new(tx.clone());
            let closed = if mutual { ChannelClosed::Mutual(tx) } else { ChannelClosed::Unilateral(tx) };
            io.reply(request, Ok(Response::ChannelClosed(closed)));
        }
    }

    fn answer_close_seen(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        self.answer_close(io, key, false);
    }

    /// An output on chain is ours: it is written down, and claimed once it may be.
    fn on_spendable(&mut self, io: &mut Io<'_>, key: ChannelKey, spendable: Spendable) {
        io.out.emit(Command::Watch(Watch::Spend(spendable.outpoint)));
        self.add_claim(io, key, spendable);
    }

    fn on_closed(&mut self, io: &mut Io<'_>, key: ChannelKey, reason: &str) {
        let Some(channel) = self.channels.remove(&key) else { return };
        let peer = channel.peer();
        self.give_back_with(io, key);
        io.note_peer(Level::Info, "channel", peer, format_args!("channel {} is over: {reason}", channel.id()));
        self.store_closed(io, &channel, reason);
        self.index.by_id.remove(&channel.id());
        self.index.by_peer.remove(&(peer, key));
        self.index.by_scid.retain(|_, named| *named != key);
        let txid = channel.funding().outpoint.txid;
        if let Some(keys) = self.index.by_funding.get_mut(&txid) {
            keys.remove(&key);
            if keys.is_empty() {
                self.index.by_funding.remove(&txid);
            }
        }
        self.dirty.remove(&key);
        self.old_policies.remove(&key);
        self.count_hollow();
        for request in self.close_waiters.remove(&key).unwrap_or_default() {
            io.reply(request, Ok(Response::ChannelClosed(ChannelClosed::Unopened)));
        }
        if self.index.of_peer(peer).next().is_none() {
            self.peers.want(peer, false, io.clock.mono, &mut self.rng);
            io.delete::<super::peers::PeerRow>(super::peers::peer_key(peer));
        }
    }
}
