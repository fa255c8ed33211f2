//! About the node itself.

use leyden_core::request::ListIndex;
use leyden_core::request::node::{FeerateStyle, FeeratesInfo, Grown, NodeInfo, Subsystem};

use super::writer::{Hex, Object};
use crate::view::View;

pub(super) fn info(object: &mut Object<'_>, info: &NodeInfo, view: &View) {
    object.put("id", info.id);
    object.put("alias", &info.alias);
    object.put("color", Hex(&info.color));
    object.put("num_peers", info.num_peers);
    object.put("num_pending_channels", info.num_pending_channels);
    object.put("num_active_channels", info.num_active_channels);
    object.put("num_inactive_channels", info.num_inactive_channels);
    object.values("address", &info.addresses);
    object.values("binding", &view.binding);
    object.put("version", &view.version);
    object.put("blockheight", info.blockheight);
    object.put("network", view.network.name());
    object.put("fees_collected_msat", info.fees_collected_msat);
    object.put("lightning-dir", &view.data_dir);
    object.object("our_features", |features| {
        features.put("init", Hex(&info.features.init));
        features.put("node", Hex(&info.features.node));
        features.put("channel", Hex(&info.features.channel));
        features.put("invoice", Hex(&info.features.invoice));
    });
    object.put_some("warning_bitcoind_sync", info.warning_backend_sync.as_ref());
    object.put_some("warning_lightningd_sync", info.warning_node_sync.as_ref());
}

pub(super) fn grown(object: &mut Object<'_>, grown: &Grown) {
    let subsystem = match grown.subsystem {
        Subsystem::Invoices => "invoices",
        Subsystem::SendPays => "sendpays",
        Subsystem::Forwards => "forwards",
    };
    object.put("subsystem", subsystem);
    let index = match grown.index {
        ListIndex::Created => "created",
        ListIndex::Updated => "updated",
    };
    object.put(index, grown.last);
}

pub(super) fn feerates(object: &mut Object<'_>, info: &FeeratesInfo) {
    let (style, factor) = match info.style {
        FeerateStyle::PerKb => ("perkb", 4),
        FeerateStyle::PerKw => ("perkw", 1),
    };
    let scaled = |per_kw: u32| u64::from(per_kw) * factor;
    object.object(style, |rates| {
        rates.put("min_acceptable", scaled(info.min_acceptable));
        rates.put("max_acceptable", scaled(info.max_acceptable));
        rates.put("floor", scaled(info.floor));
        if let Some(purpose) = &info.by_purpose {
            rates.put("opening", scaled(purpose.opening));
            rates.put("mutual_close", scaled(purpose.mutual_close));
            rates.put("unilateral_close", scaled(purpose.unilateral_close));
            rates.put("unilateral_anchor_close", scaled(purpose.unilateral_anchor_close));
            rates.put("penalty", scaled(purpose.penalty));
        }
        rates.list("estimates", &info.estimates, |estimate, entry| {
            entry.put("blockcount", estimate.blocks);
            entry.put("feerate", scaled(estimate.feerate_per_kw));
            entry.put("smoothed_feerate", scaled(estimate.smoothed_feerate_per_kw));
        });
    });
    match &info.by_purpose {
        None => object.put("warning_missing_feerates", "Some fee estimates unavailable: the chain backend named none"),
        Some(purpose) => object.object("onchain_fee_estimates", |costs| {
            costs.put("opening_channel_satoshis", purpose.opening_channel_sat);
            costs.put("mutual_close_satoshis", purpose.mutual_close_sat);
            costs.put("unilateral_close_satoshis", purpose.unilateral_close_sat);
            costs.put("htlc_timeout_satoshis", purpose.htlc_timeout_sat);
            costs.put("htlc_success_satoshis", purpose.htlc_success_sat);
        }),
    }
}
