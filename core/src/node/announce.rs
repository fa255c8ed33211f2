//! What our channels ask for carrying HTLCs, told to the peers that need to know.

use super::{Io, Node, NodeTimer};
use crate::channel::Policy;
use crate::command::Level;
use crate::ids::{ChannelKey, NodeId};
use crate::wire;

impl Node {
    /// Tells the peer of a channel what we ask. Timestamps of one channel ascend, also when the clock is set back.
    pub(super) fn send_channel_update(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        let now = u32::try_from(io.clock.wall.unix_s()).unwrap_or(u32::MAX);
        let last = self.update_timestamps.entry(key).or_insert(0);
        *last = now.max(last.saturating_add(1));
        let timestamp = *last;
        self.with_channel(io, key, |channel, cx| channel.send_update(cx, timestamp));
    }

    /// A peer's update of one of our channels: what a route hint to us must name. Others are the router's.
    pub(super) fn on_channel_update(&mut self, io: &mut Io<'_>, node: NodeId, update: &wire::ChannelUpdate<'_>) {
        let named = self
            .index
            .of_peer(node)
            .find(|key| self.channels.get(key).is_some_and(|channel| channel.names_update(update)));
        let Some(key) = named else { return };
        if let Some(Err(error)) = self.with_channel(io, key, |channel, cx| channel.receive_update(cx, update)) {
            io.note_peer(Level::Warn, "channel", node, format_args!("channel_update: {error}"));
        }
    }

    /// Sets what a channel asks. For a while the old policy will do as well: senders may not have heard.
    pub(super) fn set_policy(&mut self, io: &mut Io<'_>, key: ChannelKey, policy: Policy, enforce_delay_s: u32) {
        let Some(channel) = self.channels.get(&key) else { return };
        let old = channel.row().policy;
        if old == policy {
            return;
        }
        if enforce_delay_s > 0 {
            self.old_policies.insert(key, old);
            let until = io.clock.mono.plus_ms(u64::from(enforce_delay_s) * 1000);
            self.timers.set(NodeTimer::OldPolicy { channel: key }, until);
        }
        self.with_channel(io, key, |channel, cx| channel.set_policy(cx, policy));
    }
}
