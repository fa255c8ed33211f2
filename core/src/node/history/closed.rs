//! Channels that have ended: remembered for `listclosedchannels`.

use super::{Question, Span};
use crate::channel::{Channel, Phase};
use crate::ids::{NodeId, RequestId};
use crate::node::{Io, Node};
use crate::request::channel::{CloseCause, ClosedChannel};
use crate::side::Side;
use crate::store::Table;

/// A channel that has ended, for `listclosedchannels`.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ClosedChannelRow(pub(crate) ClosedChannel);

impl crate::store::RowValue for ClosedChannelRow {
    const TABLE: Table = Table::ClosedChannel;
}

impl Node {
    /// Remembers a channel that is over.
    pub(in crate::node) fn store_closed(&mut self, io: &mut Io<'_>, channel: &Channel, reason: &str) {
        let row = channel.row();
        let to_us = channel.ledger().base().local;
        let cause = match channel.phase() {
            Phase::OnChain { spent: Some(_), .. } if reason.contains("agreement") => CloseCause::User,
            Phase::OnChain { reason: Some(_), .. } => CloseCause::Local,
            Phase::OnChain { .. } => CloseCause::Onchain,
            _ => CloseCause::Unknown,
        };
        let closed = ClosedChannel {
            peer_id: channel.peer(),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            alias: row.alias,
            channel_type: self.channel_type_of(channel),
            opener: row.opener,
            closer: None,
            private: !row.announce,
            funding: channel.funding().outpoint,
            commitments: crate::side::PerSide {
                local: channel.ledger().latest_number(Side::Local) + 1,
                remote: channel.ledger().latest_number(Side::Remote) + 1,
            },
            htlcs_sent: channel.ledger().next_id(Side::Local).0,
            total_msat: channel.capacity().to_msat(),
            final_to_us_msat: to_us,
            min_to_us_msat: channel.totals().min_to_us_msat,
            max_to_us_msat: channel.totals().max_to_us_msat,
            last_commitment_txid: channel.last_commitment().map(|last| last.txid),
            last_commitment_fee_msat: channel.last_commitment().map(|last| last.fee.to_msat()),
            cause,
        };
        io.put(crate::store::Key::new().u32(channel.key().0), &ClosedChannelRow(closed));
    }

    pub(in crate::node) fn on_list_closed(&mut self, io: &mut Io<'_>, request: RequestId, peer: Option<NodeId>) {
        self.ask(io, request, Question::Closed(peer), vec![Span::all(Table::ClosedChannel)]);
    }
}
