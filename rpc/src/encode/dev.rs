//! About a chain that the process itself hosts.

use leyden_core::config::Network;
use leyden_core::request::dev::{DevGenerated, DevGift};

use super::wallet::address;
use super::writer::Object;

pub(super) fn generated(object: &mut Object<'_>, generated: &DevGenerated) {
    object.put("blockheight", generated.height);
    let count = u32::try_from(generated.blocks.len()).expect("there are fewer blocks than 2^32");
    let heights = generated.height.0.saturating_sub(count)..;
    // Blocks are entries with members, so that people get a table of them.
    object.list("blocks", heights.zip(&generated.blocks), |(before, hash), entry| {
        entry.put("height", before + 1);
        entry.put("hash", hash.to_string());
    });
}

pub(super) fn gift(object: &mut Object<'_>, gift: &DevGift, network: Network) {
    object.put("txid", gift.outpoint.txid);
    object.put("output", gift.outpoint.vout);
    object.put("amount_msat", gift.amount.to_msat());
    object.put_some("address", address(&gift.script, network));
    object.put("blockheight", gift.height);
}
