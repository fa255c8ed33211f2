//! About the network's map.

use leyden_core::request::graph::{GraphChannel, GraphNode};

use super::writer::{Hex, Object};

pub(super) fn node(node: &GraphNode, object: &mut Object<'_>) {
    object.put("nodeid", node.id);
    let Some(announced) = &node.announcement else { return };
    let end = announced.alias.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    object.put("alias", &*String::from_utf8_lossy(&announced.alias[..end]));
    object.put("color", Hex(&announced.color));
    object.put("last_timestamp", announced.timestamp_s);
    object.put("features", Hex(&announced.features));
    object.values("addresses", &announced.addresses);
}

pub(super) fn channel(channel: &GraphChannel, object: &mut Object<'_>) {
    object.put("source", channel.source);
    object.put("destination", channel.destination);
    object.put("short_channel_id", channel.short_channel_id);
    object.put("direction", channel.direction);
    object.put("public", channel.public);
    object.put("amount_msat", channel.amount_msat);
    object.put("message_flags", channel.message_flags);
    object.put("channel_flags", channel.channel_flags);
    object.put("active", channel.active);
    object.put("last_update", channel.last_update_s);
    object.put("base_fee_millisatoshi", channel.policy.fee_base_msat);
    object.put("fee_per_millionth", channel.policy.fee_proportional_millionths);
    object.put("delay", channel.policy.cltv_expiry_delta);
    object.put("htlc_minimum_msat", channel.policy.htlc_minimum_msat);
    object.put("htlc_maximum_msat", channel.policy.htlc_maximum_msat);
    object.put("features", Hex(&channel.features));
}
