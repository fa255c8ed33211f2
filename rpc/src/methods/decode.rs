//! Shows what an invoice says.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::ecdsa::Signature;
use jsonrpc_core::Error;
use leyden_core::invoice::{Description, Fallback, Invoice, RouteHintHop, currency_prefix};

use super::{Action, Method, Outcome};
use crate::args::{Args, invalid};
use crate::encode::writer::{Hex, Json, Object, array};
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method { name: "decode", usage: "string", summary: "Show what an invoice says", run: decode },
    Method {
        name: "decodepay",
        usage: "bolt11 [description]",
        summary: "Show what an invoice says, the older call",
        run: decodepay,
    },
];

/// The letters of all fields that BOLT 11 defines; others are shown as they came.
const KNOWN_FIELDS: &str = "pshdnxcfrm9";
/// Characters of the timestamp, the first in the data.
const TIMESTAMP_CHARACTERS: usize = 7;
/// Characters of the signature and the checksum, the last in the data.
const END_CHARACTERS: usize = 104 + 6;
/// The digits of bech32, by value.
const BECH32: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

fn decode(args: &Args<'_>, _: &View) -> Outcome {
    let text: String = args.need("string")?;
    let invoice = parse(&text)?;
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.put("type", "bolt11 invoice");
    object.put("valid", true);
    write(&mut object, &text, &invoice);
    object.close();
    Ok(Action::Answer(out))
}

fn decodepay(args: &Args<'_>, _: &View) -> Outcome {
    let text: String = args.need("bolt11")?;
    let described: Option<String> = args.get("description")?;
    let invoice = parse(&text)?;
    if let (Some(text), Description::Hash(hash)) = (described, &invoice.description)
        && sha256::Hash::hash(text.as_bytes()).as_byte_array() != hash
    {
        return Err(invalid("description: its hash is not the one in the invoice"));
    }
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    write(&mut object, &text, &invoice);
    object.close();
    Ok(Action::Answer(out))
}

fn parse(text: &str) -> Result<Invoice, Error> {
    // What this node could not pay can be shown all the same.
    Invoice::read(text).map_err(|error| invalid(format!("Invalid bolt11: {error}")))
}

/// The members that both calls share.
fn write(object: &mut Object<'_>, text: &str, invoice: &Invoice) {
    object.put("currency", currency_prefix(invoice.currency));
    object.put("created_at", invoice.timestamp_s);
    object.put("expiry", invoice.expiry_s);
    object.put("payee", invoice.payee);
    object.put_some("amount_msat", invoice.amount);
    match &invoice.description {
        Description::Text(text) => object.put("description", text),
        Description::Hash(hash) => object.put("description_hash", Hex(hash)),
    }
    object.put("min_final_cltv_expiry", invoice.min_final_cltv_expiry_delta);
    object.put("payment_secret", invoice.payment_secret);
    let features = invoice.features.to_wire();
    object.put_some("features", (!features.is_empty()).then_some(Hex(&features)));
    object.put_some("payment_metadata", invoice.metadata.as_deref().map(Hex));
    if !invoice.fallbacks.is_empty() {
        object.list("fallbacks", &invoice.fallbacks, |fallback, entry| {
            entry.put("type", fallback_name(fallback));
            entry.put("addr", fallback.address(invoice.currency).to_string());
            entry.put("hex", fallback.script());
        });
    }
    if !invoice.route_hints.is_empty() {
        object.values("routes", invoice.route_hints.iter().map(|hops| Route(hops)));
    }
    let extra = unknown_fields(text);
    if !extra.is_empty() {
        object.list("extra", extra, |(tag, data), entry| {
            entry.put("tag", tag.to_string());
            entry.put("data", data);
        });
    }
    object.put("payment_hash", invoice.payment_hash);
    let signature = Signature::from_compact(&invoice.signature.compact).expect("it was verified, so that it is one");
    object.put("signature", Hex(&signature.serialize_der()));
}

fn fallback_name(fallback: &Fallback) -> &'static str {
    let script = fallback.script();
    match fallback {
        Fallback::PubkeyHash(_) => "P2PKH",
        Fallback::ScriptHash(_) => "P2SH",
        Fallback::Witness(_) if script.is_p2wpkh() => "P2WPKH",
        Fallback::Witness(_) if script.is_p2wsh() => "P2WSH",
        Fallback::Witness(_) if script.is_p2tr() => "P2TR",
        Fallback::Witness(_) => "unknown",
    }
}

/// A private way to the payee.
struct Route<'a>(&'a [RouteHintHop]);

impl Json for Route<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        array(out, self.0, |hop, out| {
            let mut entry = Object::open(out);
            entry.put("pubkey", hop.node_id);
            entry.put("short_channel_id", hop.short_channel_id);
            entry.put("fee_base_msat", hop.fee_base_msat);
            entry.put("fee_proportional_millionths", hop.fee_proportional_millionths);
            entry.put("cltv_expiry_delta", hop.cltv_expiry_delta);
            entry.close();
        });
    }
}

/// The fields that BOLT 11 does not define, with the characters of each. The text has been parsed, so that every
/// length in it is good; what does not fit all the same ends the list.
fn unknown_fields(text: &str) -> Vec<(char, String)> {
    let text = text.trim().to_ascii_lowercase();
    let mut fields = Vec::new();
    let data = text.rsplit_once('1').map_or("", |(_, data)| data);
    let end = data.len().saturating_sub(END_CHARACTERS);
    let mut rest = data.get(TIMESTAMP_CHARACTERS..end).unwrap_or("");
    let value = |character: char| BECH32.find(character);
    while let Some((head, after)) = rest.split_at_checked(3) {
        let mut head = head.chars();
        let (Some(tag), Some(high), Some(low)) =
            (head.next(), head.next().and_then(value), head.next().and_then(value))
        else {
            break;
        };
        let Some((data, next)) = after.split_at_checked(high * 32 + low) else { break };
        if !KNOWN_FIELDS.contains(tag) {
            fields.push((tag, data.to_owned()));
        }
        rest = next;
    }
    fields
}

#[cfg(test)]
mod tests;
