//! About a chain that the process itself hosts.

use leyden_core::config::Network;
use leyden_core::request::dev::{DevGenerated, DevGift};

use super::wallet::address;
use super::writer::Object;

pub(super) fn generated(object: &mut Object<'_>, generated: &DevGenerated) {
    object.put("blockheight", generated.height);
    object.values("blocks", generated.blocks.iter().map(ToString::to_string));
}

pub(super) fn gift(object: &mut Object<'_>, gift: &DevGift, network: Network) {
    object.put("txid", gift.outpoint.txid);
    object.put("output", gift.outpoint.vout);
    object.put("amount_msat", gift.amount.to_msat());
    object.put_some("address", address(&gift.script, network));
    object.put("blockheight", gift.height);
}
