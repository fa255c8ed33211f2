//! About our channels.

use leyden_core::ids::ShortChannelId;
use leyden_core::request::ForwardPolicy;
use leyden_core::request::channel::{
    ChannelClosed, ChannelFunded, ChannelPolicy, ChannelState, CloseCause, ClosedChannel, HtlcInfo, HtlcProgress,
    HtlcStage, PeerChannel, Traffic,
};
use leyden_core::side::{PerSide, Side};

use super::writer::Object;

pub(super) fn state_name(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Opening => "OPENINGD",
        ChannelState::AwaitingLockin => "CHANNELD_AWAITING_LOCKIN",
        ChannelState::Normal => "CHANNELD_NORMAL",
        ChannelState::ShuttingDown => "CHANNELD_SHUTTING_DOWN",
        ChannelState::SigExchange => "CLOSINGD_SIGEXCHANGE",
        ChannelState::ClosingComplete => "CLOSINGD_COMPLETE",
        ChannelState::AwaitingUnilateral => "AWAITING_UNILATERAL",
        ChannelState::FundingSpendSeen => "FUNDING_SPEND_SEEN",
        ChannelState::Onchain => "ONCHAIN",
        ChannelState::Closed => "CLOSED",
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Remote => "remote",
    }
}

/// Core Lightning names the state of an HTLC by the last message about it, as we saw it.
fn htlc_state_name(offered_by: Side, progress: HtlcProgress) -> &'static str {
    use HtlcProgress::{Adding, Live, Removing};
    use HtlcStage::{OwnSigned, PeerRevoked, PeerSigned, Proposed};
    match (offered_by, progress) {
        (Side::Local, Adding(Proposed)) => "SENT_ADD_HTLC",
        (Side::Local, Adding(PeerSigned)) => "SENT_ADD_COMMIT",
        (Side::Local, Adding(PeerRevoked)) => "RCVD_ADD_REVOCATION",
        (Side::Local, Adding(OwnSigned)) => "RCVD_ADD_ACK_COMMIT",
        (Side::Local, Live) => "SENT_ADD_ACK_REVOCATION",
        // Its receiver removes it, so that now the peer proposes.
        (Side::Local, Removing(Proposed)) => "RCVD_REMOVE_HTLC",
        (Side::Local, Removing(PeerSigned)) => "RCVD_REMOVE_COMMIT",
        (Side::Local, Removing(PeerRevoked)) => "SENT_REMOVE_REVOCATION",
        (Side::Local, Removing(OwnSigned)) => "SENT_REMOVE_ACK_COMMIT",
        (Side::Remote, Adding(Proposed)) => "RCVD_ADD_HTLC",
        (Side::Remote, Adding(PeerSigned)) => "RCVD_ADD_COMMIT",
        (Side::Remote, Adding(PeerRevoked)) => "SENT_ADD_REVOCATION",
        (Side::Remote, Adding(OwnSigned)) => "SENT_ADD_ACK_COMMIT",
        (Side::Remote, Live) => "RCVD_ADD_ACK_REVOCATION",
        (Side::Remote, Removing(Proposed)) => "SENT_REMOVE_HTLC",
        (Side::Remote, Removing(PeerSigned)) => "SENT_REMOVE_COMMIT",
        (Side::Remote, Removing(PeerRevoked)) => "RCVD_REMOVE_REVOCATION",
        (Side::Remote, Removing(OwnSigned)) => "RCVD_REMOVE_ACK_COMMIT",
    }
}

/// A channel type's features; all bits of a type are even.
fn channel_type(object: &mut Object<'_>, bits: &[u16]) {
    let name = |bit: &u16| {
        let name = match bit & !1 {
            12 => "static_remotekey",
            20 => "anchor_outputs",
            22 => "anchors",
            40 => "zero_fee_commitments",
            46 => "scid_alias",
            50 => "zeroconf",
            80 => "simple_taproot",
            other => return format!("unknown_{other}/{}", if bit & 1 == 0 { "even" } else { "odd" }),
        };
        format!("{name}/{}", if bit & 1 == 0 { "even" } else { "odd" })
    };
    object.object("channel_type", |object| {
        object.values("bits", bits);
        object.values("names", bits.iter().map(name));
    });
}

fn alias(object: &mut Object<'_>, alias: &PerSide<Option<ShortChannelId>>) {
    if alias.local.is_some() || alias.remote.is_some() {
        object.object("alias", |object| {
            object.put_some("local", alias.local);
            object.put_some("remote", alias.remote);
        });
    }
}

fn update(object: &mut Object<'_>, policy: &ForwardPolicy) {
    object.put("htlc_minimum_msat", policy.htlc_minimum_msat);
    object.put("htlc_maximum_msat", policy.htlc_maximum_msat);
    object.put("cltv_expiry_delta", policy.cltv_expiry_delta);
    object.put("fee_base_msat", policy.fee_base_msat);
    object.put("fee_proportional_millionths", policy.fee_proportional_millionths);
}

fn traffic(object: &mut Object<'_>, direction: &str, traffic: &Traffic) {
    object.put(&format!("{direction}_payments_offered"), traffic.offered_count);
    object.put(&format!("{direction}_offered_msat"), traffic.offered_msat);
    object.put(&format!("{direction}_payments_fulfilled"), traffic.fulfilled_count);
    object.put(&format!("{direction}_fulfilled_msat"), traffic.fulfilled_msat);
}

pub(super) fn peer_channel(channel: &PeerChannel, object: &mut Object<'_>) {
    object.put("peer_id", channel.peer_id);
    object.put("peer_connected", channel.peer_connected);
    object.put("reestablished", channel.reestablished);
    channel_type(object, &channel.channel_type);
    update_pair(object, channel);
    object.put("lost_state", channel.lost_state);
    object.object("feerate", |feerate| {
        feerate.put("perkw", channel.feerate_per_kw);
        feerate.put("perkb", u64::from(channel.feerate_per_kw) * 4);
    });
    object.put("state", state_name(channel.state));
    object.put_some("scratch_txid", channel.last_commitment_txid);
    object.put("last_tx_fee_msat", channel.last_commitment_fee_msat);
    object.put_some("short_channel_id", channel.short_channel_id);
    object.put("direction", channel.direction);
    object.put("channel_id", channel.channel_id);
    object.put_some("funding_txid", channel.funding.map(|outpoint| outpoint.txid));
    object.put_some("funding_outnum", channel.funding.map(|outpoint| outpoint.vout));
    object.put_some("close_to", channel.close_to.as_ref());
    object.put("private", channel.private);
    object.put("opener", side_name(channel.opener));
    object.put_some("closer", channel.closer.map(side_name));
    alias(object, &channel.alias);
    let named = |bit: &u16| match bit & !1 {
        12 => Some("option_static_remotekey"),
        22 => Some("option_anchors"),
        46 => Some("option_scid_alias"),
        50 => Some("option_zeroconf"),
        _ => None,
    };
    object.values("features", channel.channel_type.iter().filter_map(named));
    object.object("funding", |funding| {
        funding.put("local_funds_msat", channel.funded_sat.local.to_msat());
        funding.put("remote_funds_msat", channel.funded_sat.remote.to_msat());
        funding.put("pushed_msat", channel.pushed_msat);
    });
    object.put("to_us_msat", channel.to_us_msat);
    object.put("min_to_us_msat", channel.min_to_us_msat);
    object.put("max_to_us_msat", channel.max_to_us_msat);
    object.put("total_msat", channel.total_msat);
    object.put("fee_base_msat", channel.policy_local.fee_base_msat);
    object.put("fee_proportional_millionths", channel.policy_local.fee_proportional_millionths);
    object.put("dust_limit_msat", channel.dust_limit_sat.local.to_msat());
    object.put("max_total_htlc_in_msat", channel.max_htlc_in_flight_msat.local);
    object.put("their_max_htlc_value_in_flight_msat", channel.max_htlc_in_flight_msat.remote);
    object.put("our_max_htlc_value_in_flight_msat", channel.max_htlc_in_flight_msat.local);
    object.put("their_reserve_msat", channel.reserve_sat.remote.to_msat());
    object.put("our_reserve_msat", channel.reserve_sat.local.to_msat());
    object.put("spendable_msat", channel.spendable_msat);
    object.put("receivable_msat", channel.receivable_msat);
    object.put("minimum_htlc_in_msat", channel.htlc_minimum_msat.local);
    object.put("minimum_htlc_out_msat", channel.policy_local.htlc_minimum_msat);
    object.put("maximum_htlc_out_msat", channel.policy_local.htlc_maximum_msat);
    object.put("their_to_self_delay", channel.to_self_delay.remote);
    object.put("our_to_self_delay", channel.to_self_delay.local);
    object.put("max_accepted_htlcs", channel.max_accepted_htlcs.local);
    object.values("status", &channel.status);
    traffic(object, "in", &channel.incoming);
    traffic(object, "out", &channel.outgoing);
    object.put_some("last_stable_connection", channel.last_stable_connection.map(|at| at.unix_s()));
    object.list("htlcs", &channel.htlcs, htlc);
}

fn update_pair(object: &mut Object<'_>, channel: &PeerChannel) {
    object.object("updates", |updates| {
        updates.object("local", |local| update(local, &channel.policy_local));
        if let Some(policy) = &channel.policy_remote {
            updates.object("remote", |remote| update(remote, policy));
        }
    });
}

fn htlc(htlc: &HtlcInfo, object: &mut Object<'_>) {
    object.put("direction", if htlc.offered_by == Side::Local { "out" } else { "in" });
    object.put("id", htlc.id);
    object.put("amount_msat", htlc.amount_msat);
    object.put("expiry", htlc.expiry);
    object.put("payment_hash", htlc.payment_hash);
    if htlc.local_trimmed {
        object.put("local_trimmed", true);
    }
    object.put("state", htlc_state_name(htlc.offered_by, htlc.progress));
}

pub(super) fn closed_channel(channel: &ClosedChannel, object: &mut Object<'_>) {
    object.put("peer_id", channel.peer_id);
    object.put("channel_id", channel.channel_id);
    object.put_some("short_channel_id", channel.short_channel_id);
    alias(object, &channel.alias);
    object.put("opener", side_name(channel.opener));
    object.put_some("closer", channel.closer.map(side_name));
    object.put("private", channel.private);
    channel_type(object, &channel.channel_type);
    object.put("total_local_commitments", channel.commitments.local);
    object.put("total_remote_commitments", channel.commitments.remote);
    object.put("total_htlcs_sent", channel.htlcs_sent);
    object.put("funding_txid", channel.funding.txid);
    object.put("funding_outnum", channel.funding.vout);
    object.put("leased", false);
    object.put("total_msat", channel.total_msat);
    object.put("final_to_us_msat", channel.final_to_us_msat);
    object.put("min_to_us_msat", channel.min_to_us_msat);
    object.put("max_to_us_msat", channel.max_to_us_msat);
    object.put_some("last_commitment_txid", channel.last_commitment_txid);
    object.put_some("last_commitment_fee_msat", channel.last_commitment_fee_msat);
    object.put(
        "close_cause",
        match channel.cause {
            CloseCause::Unknown => "unknown",
            CloseCause::Local => "local",
            CloseCause::User => "user",
            CloseCause::Remote => "remote",
            CloseCause::Protocol => "protocol",
            CloseCause::Onchain => "onchain",
        },
    );
}

pub(super) fn funded(object: &mut Object<'_>, funded: &ChannelFunded) {
    object.put("tx", &funded.tx);
    object.put("txid", funded.tx.compute_txid());
    object.put("outnum", funded.output);
    object.put("channel_id", funded.channel_id);
    channel_type(object, &funded.channel_type);
    object.put_some("close_to", funded.close_to.as_ref());
    object.put_some("mindepth", funded.mindepth);
}

pub(super) fn closed(object: &mut Object<'_>, closed: &ChannelClosed) {
    let (kind, tx) = match closed {
        ChannelClosed::Mutual(tx) => ("mutual", tx),
        ChannelClosed::Unilateral(tx) => ("unilateral", tx),
        ChannelClosed::Unopened => {
            object.put("type", "unopened");
            return;
        }
    };
    let txid = tx.compute_txid();
    object.put("type", kind);
    // The plural came with splicing; clients of before read the singular.
    object.put("tx", &**tx);
    object.put("txid", txid);
    object.values("txs", [&**tx]);
    object.values("txids", [txid]);
}

pub(super) fn policy(changed: &ChannelPolicy, object: &mut Object<'_>) {
    object.put("peer_id", changed.peer_id);
    object.put("channel_id", changed.channel_id);
    object.put_some("short_channel_id", changed.short_channel_id);
    object.put("fee_base_msat", changed.policy.fee_base_msat);
    object.put("fee_proportional_millionths", changed.policy.fee_proportional_millionths);
    object.put("ignore_fee_limits", changed.ignore_fee_limits);
    object.put("minimum_htlc_out_msat", changed.policy.htlc_minimum_msat);
    object.put("maximum_htlc_out_msat", changed.policy.htlc_maximum_msat);
    if changed.warning_htlc_minimum_too_low {
        object.put("warning_htlcmin_too_low", "Set minimum_htlc_out_msat to what the peer demands");
    }
    if changed.warning_htlc_maximum_too_high {
        object.put("warning_htlcmax_too_high", "Set maximum_htlc_out_msat to what the channel holds");
    }
}
