//! How each kind of parameter is read.

use bitcoin::base64::Engine;
use bitcoin::base64::engine::general_purpose::STANDARD as BASE64;
use bitcoin::{Address, OutPoint, ScriptBuf};
use hex_conservative::FromHex;
use leyden_core::amount::{Msat, Sat};
use leyden_core::config::Network;
use leyden_core::ids::{
    BlockHeight, ChannelId, NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId, hex_array,
};
use leyden_core::request::channel::ChannelName;
use leyden_core::request::wallet::PsbtBytes;
use leyden_core::request::{AmountOrAll, FeerateChoice, ListIndex, Page, ScidDir};

use crate::args::{Args, invalid};
use crate::token::Token;

/// A kind of parameter.
pub(crate) trait Param: Sized {
    /// What to tell a client that gave something else.
    const EXPECTED: &'static str;

    /// Reads it.
    fn read(token: &Token<'_>) -> Option<Self>;
}

/// Kinds that are read from a text, quoted or not.
macro_rules! scalars {
    ($($kind:ty: $expected:literal = $read:expr;)*) => {$(
        impl Param for $kind {
            const EXPECTED: &'static str = $expected;
            fn read(token: &Token<'_>) -> Option<$kind> {
                let read: fn(&str) -> Option<$kind> = $read;
                token.scalar().and_then(read)
            }
        }
    )*};
}

scalars! {
    String: "a string" = |text| Some(text.to_owned());
    bool: "true or false" = |text| text.parse().ok();
    u16: "an unsigned 16 bit integer" = |text| text.parse().ok();
    u32: "an unsigned 32 bit integer" = |text| text.parse().ok();
    u64: "an unsigned 64 bit integer" = |text| text.parse().ok();
    Vec<u8>: "a hex value" = |text| Vec::from_hex(text).ok();
    NodeId: "a node id" = node_id;
    ChannelId: "a channel id (64 hexadecimal digits)" = |text| text.parse().ok();
    PaymentHash: "a 32 byte hex value" = |text| text.parse().ok();
    PaymentSecret: "a 32 byte hex value" = |text| text.parse().ok();
    Preimage: "a 32 byte hex value" = |text| hex_array(text).ok().map(Preimage);
    ShortChannelId: "a short channel id of the form NNNxNNNxNNN" = |text| text.parse().ok();
    ScidDir: "a short channel id with direction, of the form NNNxNNNxNNN/0" = scid_dir;
    ChannelName: "a channel id, a short channel id or a peer id" = channel_name;
    BlockHeight: "a block height" = |text| text.parse().ok().map(BlockHeight);
    Msat: "a millisatoshi amount" = msat;
    Sat: "a satoshi amount" = sat;
    AmountOrAll: "a satoshi amount or 'all'" = amount_or_all;
    FeerateChoice: "a feerate: urgent, normal, slow, minimum, NNNblocks, NNNperkw or NNNperkb" = feerate;
    OutPoint: "an output, of the form TXID:INDEX" = |text| text.parse().ok();
    PsbtBytes: "a PSBT in base 64" = psbt;
}

impl<T: Param> Param for Vec<T>
where
    T: Listed,
{
    const EXPECTED: &'static str = T::LIST_EXPECTED;
    fn read(token: &Token<'_>) -> Option<Vec<T>> {
        let Token::Array(items) = token else { return None };
        items.iter().map(|raw| T::read(&Token::new(raw)?)).collect()
    }
}

/// Kinds that come in arrays. `u8` is not among them: bytes come as hex.
pub(crate) trait Listed {
    /// What to tell a client that gave something else.
    const LIST_EXPECTED: &'static str;
}

impl Listed for OutPoint {
    const LIST_EXPECTED: &'static str = "an array of outputs, each of the form TXID:INDEX";
}

impl Listed for u16 {
    const LIST_EXPECTED: &'static str = "an array of feature bits";
}

impl Listed for u32 {
    const LIST_EXPECTED: &'static str = "an array of unsigned 32 bit integers";
}

impl Listed for ShortChannelId {
    const LIST_EXPECTED: &'static str = "an array of short channel ids";
}

/// 33 bytes that begin as a compressed point does: whether they are one is found out when they are used.
fn node_id(text: &str) -> Option<NodeId> {
    text.parse().ok().filter(|id: &NodeId| matches!(id.0[0], 2 | 3))
}

fn scid_dir(text: &str) -> Option<ScidDir> {
    let (scid, direction) = text.split_once('/')?;
    let direction = direction.parse().ok().filter(|direction| *direction < 2)?;
    Some(ScidDir { short_channel_id: scid.parse().ok()?, direction })
}

fn channel_name(text: &str) -> Option<ChannelName> {
    let scid = || text.parse().ok().map(ChannelName::Scid);
    let id = || text.parse().ok().map(ChannelName::Id);
    node_id(text).map(ChannelName::Peer).or_else(id).or_else(scid)
}

/// A decimal number as a whole number of its 10^-`places` parts. `None` if it has more digits than that, or is too large.
pub(crate) fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return None;
    }
    let scale = |digits: usize| 10u64.checked_pow(u32::try_from(digits).ok()?);
    let low = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u64>().ok()?.checked_mul(scale(places - fraction.len())?)?
    };
    whole.parse::<u64>().ok()?.checked_mul(scale(places)?)?.checked_add(low)
}

/// An amount with its unit; `bare` is how many decimal places of its unit's millisatoshi a number without unit has.
fn amount(text: &str, bare: usize) -> Option<Msat> {
    let (number, places) = if let Some(number) = text.strip_suffix("msat") {
        (number, 0)
    } else if let Some(number) = text.strip_suffix("sat") {
        (number, 3)
    } else if let Some(number) = text.strip_suffix("btc") {
        (number, 11)
    } else {
        (text, bare)
    };
    let whole_only = places == 0 || number.len() == text.len();
    if whole_only && number.contains('.') {
        return None;
    }
    decimal(number, places).map(Msat)
}

fn msat(text: &str) -> Option<Msat> {
    amount(text, 0)
}

fn sat(text: &str) -> Option<Sat> {
    amount(text, 3).filter(|msat| msat.0 % 1000 == 0).map(Msat::sat_floor)
}

fn amount_or_all(text: &str) -> Option<AmountOrAll> {
    if text == "all" { Some(AmountOrAll::All) } else { sat(text).map(AmountOrAll::Amount) }
}

fn feerate(text: &str) -> Option<FeerateChoice> {
    // Like Core Lightning, round up: less than what was asked for may not relay.
    let per_kb = |number: &str| number.parse::<u32>().ok().map(|rate| FeerateChoice::PerKw(rate.div_ceil(4)));
    Some(match text {
        "urgent" => FeerateChoice::Urgent,
        "normal" => FeerateChoice::Normal,
        "slow" => FeerateChoice::Slow,
        "minimum" => FeerateChoice::Minimum,
        "opening" => FeerateChoice::Opening,
        "mutual_close" => FeerateChoice::MutualClose,
        "unilateral_close" => FeerateChoice::UnilateralClose,
        "penalty" => FeerateChoice::Penalty,
        _ => {
            if let Some(number) = text.strip_suffix("perkw") {
                FeerateChoice::PerKw(number.parse().ok()?)
            } else if let Some(number) = text.strip_suffix("perkb") {
                per_kb(number)?
            } else if let Some(number) = text.strip_suffix("blocks") {
                FeerateChoice::Blocks(number.parse().ok().filter(|blocks| *blocks > 0)?)
            } else {
                per_kb(text)?
            }
        }
    })
}

fn psbt(text: &str) -> Option<PsbtBytes> {
    let bytes = PsbtBytes(BASE64.decode(text).ok()?);
    bytes.parse().ok()?;
    Some(bytes)
}

/// The script of an address of this network.
pub(crate) fn script(token: &Token<'_>, network: Network) -> Option<ScriptBuf> {
    let address: Address<_> = token.scalar()?.parse().ok()?;
    Some(address.require_network(network.bitcoin()).ok()?.script_pubkey())
}

/// What to tell a client whose address does not fit.
pub(crate) fn address_expected(network: Network) -> String {
    format!("a Bitcoin address of the network {}", network.name())
}

/// `index`, `start` and `limit`.
pub(crate) fn page(args: &Args<'_>) -> Result<Page, jsonrpc_core::Error> {
    let index = args.get_as("index", "'created' or 'updated'", |token| match token.scalar()? {
        "created" => Some(ListIndex::Created),
        "updated" => Some(ListIndex::Updated),
        _ => None,
    })?;
    if index.is_none() && (args.has("start") || args.has("limit")) {
        return Err(invalid("start and limit can only be used with index"));
    }
    Ok(Page { index, start: args.or("start", 0)?, limit: args.get("limit")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (text, expected) in [
            ("1000", Some(1_000)),
            ("1000msat", Some(1_000)),
            ("1sat", Some(1_000)),
            ("1.001sat", Some(1_001)),
            ("0.1btc", Some(10_000_000_000)),
            ("0.00000000001btc", Some(1)),
            ("0.000000000001btc", None),
            ("1.5", None),
            ("1.5msat", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("sat", None),
            (".5sat", None),
            ("1.sat", None),
            ("18446744073709551616", None),
            ("999999999btc", None),
        ] {
            assert_eq!(msat(text), expected.map(Msat), "{text}");
        }
        assert_eq!(sat("1000"), Some(Sat(1_000)));
        assert_eq!(sat("1000msat"), Some(Sat(1)));
        assert_eq!(sat("1001msat"), None);
        assert_eq!(sat("1.5"), None);
        assert_eq!(sat("0.00000001btc"), Some(Sat(1)));
        assert_eq!(amount_or_all("all"), Some(AmountOrAll::All));
    }

    #[test]
    fn feerates_have_names_and_units() {
        assert_eq!(feerate("1000"), Some(FeerateChoice::PerKw(250)));
        assert_eq!(feerate("1001perkb"), Some(FeerateChoice::PerKw(251)));
        assert_eq!(feerate("253perkw"), Some(FeerateChoice::PerKw(253)));
        assert_eq!(feerate("6blocks"), Some(FeerateChoice::Blocks(6)));
        assert_eq!(feerate("0blocks"), None);
        assert_eq!(feerate("slow"), Some(FeerateChoice::Slow));
        assert_eq!(feerate("fast"), None);
    }

    #[test]
    fn channels_have_many_names() {
        let peer = format!("02{}", "11".repeat(32));
        assert!(matches!(channel_name(&peer), Some(ChannelName::Peer(_))));
        assert!(matches!(channel_name(&peer[..64]), Some(ChannelName::Id(_))));
        assert!(matches!(channel_name("103x1x0"), Some(ChannelName::Scid(_))));
        assert_eq!(channel_name("103x1"), None);
        assert_eq!(scid_dir("103x1x0/2"), None);
    }
}
