//! What nodes say to each other, held against BOLT 1 and 2 from outside: the order in which a connection begins, no
//! commitment on chain that was revoked, no `error` about a channel in use.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash, sha256};
use bitcoin::locktime::absolute::LockTime;
use bitcoin::{OutPoint, Transaction, Txid};
use leyden_core::ids::{ChannelId, Point};
use leyden_core::wire::Message;

use crate::net::NodeIndex;

/// One direction of a connection.
#[derive(Default)]
struct Mouth {
    said_init: bool,
    reestablished: BTreeSet<ChannelId>,
}

/// One end of a channel.
#[derive(Default)]
struct ChannelEnd {
    /// How many commitments of its own it has revoked, and the hash of the last secret that it gave away.
    revoked: u64,
    last: Option<sha256::Hash>,
    payment_basepoint: Option<Point>,
    is_opener: bool,
}

/// A channel that is no longer only talked about.
struct Known {
    ends: BTreeMap<NodeIndex, ChannelEnd>,
    /// Connections that are older than the channel: it needs no `channel_reestablish` on them.
    born_on: u32,
    is_ready: bool,
    /// Both have agreed to close it, and the transaction is on its way: an error tells whoever forgot.
    is_over: bool,
}

/// An opening under way: the opener's basepoint, then the other's.
struct Opening {
    opener: NodeIndex,
    opener_point: Point,
    accepter_point: Option<Point>,
}

/// All that was said.
#[derive(Default)]
pub(super) struct Talk {
    mouths: BTreeMap<(u32, NodeIndex), Mouth>,
    links_of: BTreeMap<NodeIndex, BTreeSet<u32>>,
    openings: BTreeMap<([NodeIndex; 2], ChannelId), Opening>,
    channels: BTreeMap<ChannelId, Known>,
    by_funding: BTreeMap<OutPoint, ChannelId>,
}

type Broken = (&'static str, String);

fn pair(a: NodeIndex, b: NodeIndex) -> [NodeIndex; 2] {
    [a.min(b), a.max(b)]
}

/// BOLT 3: the marks of a commitment transaction.
pub(crate) fn is_commitment(tx: &Transaction) -> bool {
    let marked = tx.input.first().is_some_and(|input| input.sequence.0 >> 24 == 0x80);
    marked && tx.input.len() == 1 && tx.lock_time.to_consensus_u32() >> 24 == 0x20
}

/// BOLT 3: the number that the marks of a commitment hide.
fn obscured_number(tx: &Transaction) -> u64 {
    let upper = u64::from(tx.input[0].sequence.0 & 0x00ff_ffff);
    let lower = u64::from(LockTime::to_consensus_u32(tx.lock_time) & 0x00ff_ffff);
    upper << 24 | lower
}

impl Talk {
    /// A node went down: its connections are over.
    pub(super) fn forget_links_of(&mut self, node: NodeIndex) {
        for link in self.links_of.remove(&node).unwrap_or_default() {
            self.mouths.remove(&(link, node));
        }
    }

    pub(super) fn see(
        &mut self,
        link: u32,
        from: NodeIndex,
        to: NodeIndex,
        message: &[u8],
        may_close: bool,
    ) -> Result<(), Broken> {
        self.links_of.entry(from).or_default().insert(link);
        let mouth = self.mouths.entry((link, from)).or_default();
        let message = match Message::decode(message) {
            Ok(message) => message,
            Err(error) => return Err(("wire", format!("it says what cannot be read: {error}"))),
        };
        if matches!(message, Message::Init(_)) {
            let twice = std::mem::replace(&mut mouth.said_init, true);
            return if twice { Err(("wire", "init is said twice".into())) } else { Ok(()) };
        }
        if !mouth.said_init {
            return Err(("wire", "something is said before init (BOLT 1)".into()));
        }
        if let Some(channel) = channel_of(&message)
            && let Some(known) = self.channels.get(&channel)
            && known.born_on != link
        {
            // BOLT 2: a node must not send any other message for a channel before its channel_reestablish.
            let is_reestablish = matches!(message, Message::ChannelReestablish(_));
            if !is_reestablish && !mouth.reestablished.contains(&channel) {
                return Err(("wire", format!("{} of a channel before channel_reestablish", message.name())));
            }
            if is_reestablish && !mouth.reestablished.insert(channel) {
                return Err(("wire", "channel_reestablish is said twice".into()));
            }
        }
        self.learn(link, from, to, &message, may_close)
    }

    fn learn(
        &mut self,
        link: u32,
        from: NodeIndex,
        to: NodeIndex,
        message: &Message<'_>,
        may_close: bool,
    ) -> Result<(), Broken> {
        match message {
            Message::OpenChannel(open) => {
                let opening = Opening { opener: from, opener_point: open.payment_basepoint, accepter_point: None };
                self.openings.insert((pair(from, to), open.temporary_channel_id), opening);
            }
            Message::AcceptChannel(accept) => {
                let key = (pair(from, to), accept.temporary_channel_id);
                if let Some(opening) = self.openings.get_mut(&key) {
                    opening.accepter_point = Some(accept.payment_basepoint);
                }
            }
            Message::FundingCreated(created) => {
                let key = (pair(from, to), created.temporary_channel_id);
                if let Some(opening) = self.openings.remove(&key) {
                    let (txid, vout) = (created.funding_txid, created.funding_output_index);
                    self.born(link, opening, to, OutPoint::new(txid, u32::from(vout)));
                }
            }
            Message::ChannelReady(ready) => {
                if let Some(known) = self.channels.get_mut(&ready.channel_id) {
                    known.is_ready = true;
                }
            }
            Message::RevokeAndAck(revoke) => {
                let channel = self.channels.get_mut(&revoke.channel_id);
                if let Some(end) = channel.and_then(|known| known.ends.get_mut(&from)) {
                    let secret = sha256::Hash::hash(revoke.per_commitment_secret.as_ref());
                    end.revoke(secret);
                }
            }
            Message::Error(error) if !may_close => {
                let known = self.channels.get(&error.channel_id);
                if error.channel_id == ChannelId([0; 32]) || known.is_some_and(|known| known.is_ready && !known.is_over)
                {
                    let text = String::from_utf8_lossy(error.data).into_owned();
                    return Err(("O4 unwanted close", format!("it sends an error: {text}")));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn born(&mut self, link: u32, opening: Opening, accepter: NodeIndex, funding: OutPoint) {
        let channel = channel_id_of(funding);
        let opener =
            ChannelEnd { payment_basepoint: Some(opening.opener_point), is_opener: true, ..ChannelEnd::default() };
        let other = ChannelEnd { payment_basepoint: opening.accepter_point, ..ChannelEnd::default() };
        let ends = BTreeMap::from([(opening.opener, opener), (accepter, other)]);
        self.channels.insert(channel, Known { ends, born_on: link, is_ready: false, is_over: false });
        self.by_funding.insert(funding, channel);
    }

    /// Is it a commitment of this node's own that it has revoked?
    pub(super) fn see_broadcast(&mut self, node: NodeIndex, tx: &Transaction) -> Result<(), String> {
        if !is_commitment(tx) {
            for input in &tx.input {
                let closed = self.by_funding.get(&input.previous_output);
                if let Some(known) = closed.and_then(|channel| self.channels.get_mut(channel)) {
                    known.is_over = true;
                }
            }
            return Ok(());
        }
        let channel = self.by_funding.get(&tx.input[0].previous_output);
        let Some(known) = channel.and_then(|channel| self.channels.get(channel)) else { return Ok(()) };
        let Some(end) = known.ends.get(&node) else { return Ok(()) };
        let point = |is_opener: bool| {
            known.ends.values().find(|end| end.is_opener == is_opener).and_then(|end| end.payment_basepoint)
        };
        let (Some(opener), Some(accepter)) = (point(true), point(false)) else { return Ok(()) };
        // BOLT 3: the number is hidden behind a hash of both payment basepoints.
        let mask = sha256::Hash::hash(&[opener.0, accepter.0].concat()).to_byte_array();
        let mask = mask[26..].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let number = obscured_number(tx) ^ mask;
        if number < end.revoked {
            return Err(format!("commitment {number} is on its way to the chain, and {} are revoked", end.revoked));
        }
        Ok(())
    }
}

impl ChannelEnd {
    /// A `revoke_and_ack` that is said again after a reconnection revokes nothing more.
    fn revoke(&mut self, secret: sha256::Hash) {
        if self.last != Some(secret) {
            self.last = Some(secret);
            self.revoked += 1;
        }
    }
}

/// BOLT 2: the txid with the output's index in its last two bytes.
fn channel_id_of(funding: OutPoint) -> ChannelId {
    let mut id = Txid::to_byte_array(funding.txid);
    id[30] ^= (funding.vout >> 8) as u8;
    id[31] ^= funding.vout as u8;
    ChannelId(id)
}

/// The funded channel that a message is about, where BOLT 2 wants `channel_reestablish` first.
fn channel_of(message: &Message<'_>) -> Option<ChannelId> {
    Some(match message {
        Message::ChannelReestablish(m) => m.channel_id,
        Message::ChannelReady(m) => m.channel_id,
        Message::Shutdown(m) => m.channel_id,
        Message::ClosingSigned(m) => m.channel_id,
        Message::UpdateAddHtlc(m) => m.channel_id,
        Message::UpdateFulfillHtlc(m) => m.channel_id,
        Message::UpdateFailHtlc(m) => m.channel_id,
        Message::UpdateFailMalformedHtlc(m) => m.channel_id,
        Message::CommitmentSigned(m) => m.channel_id,
        Message::RevokeAndAck(m) => m.channel_id,
        Message::UpdateFee(m) => m.channel_id,
        _ => return None,
    })
}
