//! Answers as Core Lightning writes them: its names of members, its units.

mod channel;
mod daemon;
mod dev;
mod error;
mod graph;
mod invoice;
mod node;
mod payment;
mod wallet;
pub(crate) mod writer;

pub(crate) use daemon::daemon_response;
pub(crate) use error::request_error;

use leyden_core::invoice::message;
use leyden_core::request::Response;

use crate::address::display;
use crate::view::View;
use writer::{Hex, Object};

/// Writes an answer's `result`.
pub(crate) fn response(out: &mut Vec<u8>, response: &Response, view: &View) {
    // The one result that is no object, in Core Lightning too.
    if let Response::Stopping = response {
        out.extend_from_slice(b"\"Shutdown complete\"");
        return;
    }
    let mut result = Object::open(out);
    let object = &mut result;
    match response {
        Response::Done | Response::Stopping => {}
        Response::NodeInfo(info) => node::info(object, info, view),
        Response::Feerates(info) => node::feerates(object, info),
        Response::BlockHeight(height) => object.put("blockheight", height),
        Response::Grown(grown) => node::grown(object, grown),
        Response::MessageSignature(signed) => {
            object.put("signature", Hex(&signed.signature));
            object.put("recid", Hex(&[signed.recovery_id]));
            object.put("zbase", message::encode(&signed.signature, signed.recovery_id));
        }
        Response::Connected(peer) => {
            object.put("id", peer.peer);
            object.put("features", Hex(&peer.features));
            object.put("direction", if peer.inbound { "in" } else { "out" });
            object.put("address", &peer.address);
        }
        Response::Peers(peers) => object.list("peers", peers, |peer, entry| {
            entry.put("id", peer.id);
            entry.put("connected", peer.link.is_some());
            entry.put("num_channels", peer.num_channels);
            if let Some(link) = &peer.link {
                entry.values("netaddr", [display(&link.address)]);
                entry.put_some("remote_addr", link.remote_addr.as_ref().map(display));
            }
            entry.put_some("features", peer.features.as_deref().map(Hex));
        }),
        Response::Pong { total_len } => object.put("totlen", total_len),
        Response::PeerChannels(channels) => object.list("channels", channels, channel::peer_channel),
        Response::ClosedChannels(channels) => object.list("closedchannels", channels, channel::closed_channel),
        Response::ChannelFunded(funded) => channel::funded(object, funded),
        Response::ChannelClosed(closed) => channel::closed(object, closed),
        Response::ChannelPolicies(policies) => object.list("channels", policies, channel::policy),
        Response::Addresses(addresses) => wallet::addresses(object, addresses, view.network),
        Response::Funds(funds) => wallet::funds(object, funds, view.network),
        Response::Withdrawn(withdrawn) => {
            object.put("tx", &withdrawn.tx);
            object.put("txid", withdrawn.tx.compute_txid());
            object.put("psbt", wallet::base64(&withdrawn.psbt));
        }
        Response::Transactions(transactions) => object.list("transactions", transactions, wallet::transaction),
        Response::Reservations(inputs) => object.list("reservations", inputs, wallet::reservation),
        Response::PsbtFunded(funded) => wallet::psbt_funded(object, funded),
        Response::PsbtSigned(psbt) => object.put("signed_psbt", wallet::base64(psbt)),
        Response::PsbtSent(sent) => {
            object.put("tx", &sent.tx);
            object.put("txid", sent.tx.compute_txid());
        }
        Response::InvoiceCreated(created) => invoice::created(object, created),
        Response::Invoices(invoices) => object.list("invoices", invoices, invoice::info),
        Response::Invoice(info) => invoice::info(info, object),
        Response::Paid(paid) => payment::paid(object, paid),
        Response::XPaid(paid) => payment::xpaid(object, paid),
        Response::Pays(pays) => object.list("pays", pays, payment::pay),
        Response::SendPay(part) => payment::send_pay(part, object),
        Response::SendPays(parts) => object.list("payments", parts, payment::send_pay),
        Response::Onion(built) => {
            object.put("onion", Hex(&built.onion));
            object.values("shared_secrets", built.shared_secrets.iter().map(|secret| Hex(secret)));
        }
        Response::Forwards(forwards) => object.list("forwards", forwards, payment::forward),
        Response::Nodes(nodes) => object.list("nodes", nodes, graph::node),
        Response::Channels(channels) => object.list("channels", channels, graph::channel),
        Response::DevGenerated(generated) => dev::generated(object, generated),
        Response::DevGift(gift) => dev::gift(object, gift, view.network),
    }
    result.close();
}

#[cfg(test)]
mod tests;
