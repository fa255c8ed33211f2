//! About money on chain.

use bitcoin::Address;
use bitcoin::base64::Engine;
use bitcoin::base64::engine::general_purpose::STANDARD as BASE64;
use bitcoin::{Script, absolute};
use leyden_core::amount::Sat;
use leyden_core::config::Network;
use leyden_core::request::wallet::{
    Addresses, Funds, OutputStatus, PsbtBytes, PsbtFunded, Reservation, WalletTransaction,
};

use super::channel::state_name;
use super::writer::{Hex, Object};

pub(super) fn base64(psbt: &PsbtBytes) -> String {
    BASE64.encode(&psbt.0)
}

pub(super) fn address(script: &Script, network: Network) -> Option<String> {
    Address::from_script(script, network.bitcoin()).ok().map(|address| address.to_string())
}

pub(super) fn addresses(object: &mut Object<'_>, addresses: &Addresses, network: Network) {
    let show = |script: &Option<bitcoin::ScriptBuf>| script.as_ref().and_then(|script| address(script, network));
    // Some clients take the first member, whatever its name.
    object.put_some("p2tr", show(&addresses.p2tr));
    object.put_some("bech32", show(&addresses.p2wpkh));
}

pub(super) fn funds(object: &mut Object<'_>, funds: &Funds, network: Network) {
    object.list("outputs", &funds.outputs, |output, entry| {
        let (status, height) = match output.status {
            OutputStatus::Unconfirmed => ("unconfirmed", None),
            OutputStatus::Confirmed(height) => ("confirmed", Some(height)),
            OutputStatus::Immature(height) => ("immature", Some(height)),
            OutputStatus::Spent(height) => ("spent", height),
        };
        entry.put("txid", output.outpoint.txid);
        entry.put("output", output.outpoint.vout);
        entry.put("amount_msat", output.amount_sat.to_msat());
        entry.put("scriptpubkey", &output.script);
        entry.put_some("address", address(&output.script, network));
        entry.put("status", status);
        entry.put_some("blockheight", height);
        entry.put("reserved", output.reserved_to.is_some());
        entry.put_some("reserved_to_block", output.reserved_to);
    });
    object.list("channels", &funds.channels, |channel, entry| {
        entry.put("peer_id", channel.peer_id);
        entry.put("connected", channel.connected);
        entry.put("state", state_name(channel.state));
        entry.put("channel_id", channel.channel_id);
        entry.put_some("short_channel_id", channel.short_channel_id);
        entry.put("our_amount_msat", channel.our_amount_msat);
        entry.put("amount_msat", channel.amount_msat);
        entry.put("funding_txid", channel.funding.txid);
        entry.put("funding_output", channel.funding.vout);
    });
}

pub(super) fn transaction(known: &WalletTransaction, object: &mut Object<'_>) {
    let tx = &known.tx;
    // Core Lightning numbers the blocks of transactions that are in none with zero.
    let (height, index) = known.confirmed.map_or((0, 0), |(height, index)| (height.0, index));
    object.put("hash", tx.compute_txid());
    object.put("rawtx", tx);
    object.put("blockheight", height);
    object.put("txindex", index);
    object.put("locktime", absolute::LockTime::to_consensus_u32(tx.lock_time));
    // A version is signed in Bitcoin and shown without sign by Core Lightning.
    object.put("version", tx.version.0.cast_unsigned());
    object.list("inputs", &tx.input, |input, entry| {
        entry.put("txid", input.previous_output.txid);
        entry.put("index", input.previous_output.vout);
        entry.put("sequence", input.sequence.0);
    });
    object.list("outputs", tx.output.iter().zip(0u32..), |(output, index), entry| {
        entry.put("index", index);
        entry.put("amount_msat", Sat::from(output.value).to_msat());
        entry.put("scriptPubKey", Hex(output.script_pubkey.as_bytes()));
    });
}

pub(super) fn reservation(input: &Reservation, object: &mut Object<'_>) {
    object.put("txid", input.outpoint.txid);
    object.put("vout", input.outpoint.vout);
    object.put("was_reserved", input.was_reserved);
    object.put("reserved", input.reserved_to.is_some());
    object.put_some("reserved_to_block", input.reserved_to);
}

pub(super) fn psbt_funded(object: &mut Object<'_>, funded: &PsbtFunded) {
    object.put("psbt", base64(&funded.psbt));
    object.put("feerate_per_kw", funded.feerate_per_kw);
    object.put("estimated_final_weight", funded.estimated_final_weight);
    object.put("excess_msat", funded.excess_msat);
    object.put_some("change_outnum", funded.change_output);
    object.list("reservations", &funded.reservations, reservation);
}
