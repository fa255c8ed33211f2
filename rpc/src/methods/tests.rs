use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::config::Network;
use leyden_core::request::invoice::{ExposePrivate, InvoiceFilter, ListInvoices, WaitAnyInvoice, WantedProof};
use leyden_core::request::payment::FeeLimit;
use leyden_core::request::peer::Connect;
use leyden_core::request::{AmountOrAll, FeerateChoice, ListIndex, Page};
use serde_json::Value;

use super::*;

pub(crate) fn view() -> View {
    View {
        version: "v0".into(),
        data_dir: "/var/lib/leyden".into(),
        network: Network::Regtest,
        binding: vec![NetAddr::Ip4([127, 0, 0, 1], 19_846)],
        settings: Vec::new(),
    }
}

pub(crate) fn run(method: &str, params: &str) -> Outcome {
    let params = RawValue::from_string(params.to_owned()).unwrap_or_else(|e| panic!("{params}: {e}"));
    decode(method, &params, &view())
}

fn ask(method: &str, params: &str) -> Request {
    match run(method, params) {
        Ok(Action::Ask(request)) => request,
        other => panic!("{method} {params}: {other:?}"),
    }
}

pub(crate) fn refusal(method: &str, params: &str) -> (i64, String) {
    let error = run(method, params).expect_err(params);
    (error.code.code(), error.message)
}

const NODE: &str = "0266e4598d1d3c415f572a8488830b60f7e744ed9235eb0b1ba93283b315c03518";
const HASH: &str = "0001020304050607080900010203040506070809000102030405060708090102";
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const OUTPUT: &str = "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456:1";

/// A good value for a parameter of any method, as JSON.
fn example(method: &str, name: &str) -> Option<String> {
    let text = match (method, name) {
        // Refused on purpose.
        (
            _,
            "request_amt" | "compact_lease" | "wrong_funding" | "layers" | "payer_note" | "localinvreqid" | "offer_id",
        ) => return None,
        // Each excludes another that is in the list.
        ("pay", "maxfee") | ("listinvoices", "label" | "invstring") => return None,
        ("listpays" | "listsendpays", "bolt11") => return None,
        ("listchannels", "source" | "destination") | ("listpeerchannels", "channel_id") => return None,
        ("connect", "host") => "localhost",
        ("listforwards", "status") => "settled",
        ("delinvoice", "status") => "paid",
        (_, "status") => "complete",
        (_, "id" | "destination") if method != "withdraw" && method != "close" => NODE,
        (_, "id") => "103x1x0",
        (_, "pubkey") => NODE,
        (_, "destination" | "close_to" | "address") => ADDRESS,
        (_, "payment_hash" | "preimage" | "payment_secret" | "session_key" | "channel_id" | "assocdata") => HASH,
        (_, "onion" | "payment_metadata") => "00ff",
        (_, "psbt") => return Some(format!("\"{}\"", psbt())),
        (_, "label" | "description" | "bolt11" | "invstring" | "message" | "level" | "command" | "config") => "text",
        (_, "style") => "perkw",
        (_, "addresstype") => "all",
        (_, "index" | "indexname") => "updated",
        (_, "subsystem") => "sendpays",
        (_, "short_channel_id" | "in_channel" | "out_channel") => "103x1x0",
        (_, "feerate") => "6blocks",
        ("dev-faucet", "satoshi") => "100000sat",
        (_, "satoshi") => "all",
        (_, "exposeprivatechannels") => return Some("[\"1x2x3\"]".into()),
        (_, "fallbacks") => return Some(format!("[\"{ADDRESS}\"]")),
        (_, "utxos") => return Some(format!("[\"{OUTPUT}\"]")),
        (_, "channel_type") => return Some("[12,22]".into()),
        (_, "feerange") => return Some("[\"253perkw\",\"urgent\"]".into()),
        (_, "signonly") => return Some("[0]".into()),
        (_, "exclude") => return Some(format!("[\"{NODE}\",\"1x1x1/0\"]")),
        (_, "shared_secrets") => return Some(format!("[\"{HASH}\"]")),
        (_, "route") => {
            return Some(format!(r#"[{{"id":"{NODE}","channel":"1x1x1","delay":9,"amount_msat":5,"style":"tlv"}}]"#));
        }
        (_, "hops") => return Some(format!(r#"[{{"pubkey":"{NODE}","payload":"0102"}}]"#)),
        (_, "first_hop") => return Some(format!(r#"{{"id":"{NODE}","amount_msat":"5msat","delay":9}}"#)),
        (
            _,
            "force"
            | "announce"
            | "spent"
            | "exclusive"
            | "excess_as_change"
            | "nonwrapped"
            | "opening_anchor_channel"
            | "deschashonly"
            | "desconly"
            | "force_lease_closed"
            | "ignorefeelimits",
        ) => return Some("true".into()),
        // Everything else is a number or an amount.
        _ => return Some("7".into()),
    };
    Some(format!("\"{text}\""))
}

fn psbt() -> String {
    use bitcoin::base64::Engine;
    let tx = bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn { previous_output: OUTPUT.parse().expect("an output"), ..Default::default() }],
        output: Vec::new(),
    };
    let psbt = bitcoin::Psbt::from_unsigned_tx(tx).expect("it is not signed");
    bitcoin::base64::engine::general_purpose::STANDARD.encode(psbt.serialize())
}

/// These do not ask the core.
const ANSWERED_HERE: [&str; 8] =
    ["help", "listconfigs", "notifications", "checkmessage", "decode", "decodepay", "recorder", "dumprecording"];

#[test]
fn by_position_and_by_name_a_request_is_the_same() {
    for method in all().filter(|method| !ANSWERED_HERE.contains(&method.name)) {
        let values: Vec<_> = crate::args::names(method.usage).map(|name| (name, example(method.name, name))).collect();
        let positional: Vec<_> = values.iter().map(|(_, value)| value.clone().unwrap_or("null".into())).collect();
        let named: Vec<_> =
            values.iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value.as_ref()?))).collect();
        let by_position = ask(method.name, &format!("[{}]", positional.join(",")));
        let by_name = ask(method.name, &format!("{{{}}}", named.join(",")));
        assert_eq!(by_position, by_name, "{}", method.name);

        let needed: Vec<_> = crate::args::names(method.usage)
            .filter(|name| method.usage.split(' ').any(|word| word == *name))
            .map(|name| {
                format!("\"{name}\":{}", example(method.name, name).expect("what must be given has an example"))
            })
            .collect();
        ask(method.name, &format!("{{{}}}", needed.join(",")));
    }
}

#[test]
fn what_must_be_given_is_missed_by_name() {
    for method in all() {
        let Some(first) = method.usage.split(' ').find(|word| !word.is_empty() && !word.starts_with('[')) else {
            continue;
        };
        let (code, message) = refusal(method.name, "{}");
        assert_eq!(code, -32602, "{}", method.name);
        assert!(message.starts_with("missing required parameter: "), "{}: {message}", method.name);
        assert!(method.usage.contains(first));
    }
}

#[test]
fn wrong_parameters_are_named() {
    let cases = [
        ("getinfo", "[1]", "too many parameters: got 1, expected 0"),
        ("connect", r#"{"id":"xy"}"#, "id: should be a node id, or ID@HOST or ID@HOST:PORT: invalid token 'xy'"),
        ("connect", r#"{"host":"a","hots":"b"}"#, "unknown parameter: hots; this method takes: id [host] [port]"),
        (
            "invoice",
            r#"["1x","l","d"]"#,
            "amount_msat: should be a millisatoshi amount above zero, or 'any': invalid token '1x'",
        ),
        ("invoice", r#"["any",{},"d"]"#, "label: should be a string: invalid token '{…}'"),
        ("listinvoices", r#"{"start":1}"#, "start and limit can only be used with index"),
        ("waitanyinvoice", "[-1]", "lastpay_index: should be an unsigned 64 bit integer: invalid token '-1'"),
        (
            "withdraw",
            r#"["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",1000]"#,
            "destination: should be a Bitcoin address of the network regtest: invalid token 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'",
        ),
        ("sendpay", r#"[[{"id":"02"}],"00"]"#, "route[0]: id: should be a node id: invalid token '02'"),
        ("sendpay", r#"[[],"00"]"#, "route: should be a non-empty array of objects: invalid token '[…]'"),
        ("fundchannel", r#"{"request_amt":1}"#, "request_amt: this node does not support it; leave it out"),
        (
            "newaddr",
            r#"["p2sh-segwit"]"#,
            "addresstype: should be 'p2tr', 'bech32' or 'all': invalid token 'p2sh-segwit'",
        ),
        ("help", r#"{"command":"x","command":"y"}"#, "duplicate parameter: command"),
    ];
    for (method, params, message) in cases {
        assert_eq!(refusal(method, params), (-32602, message.to_owned()), "{method} {params}");
    }
    assert_eq!(refusal("nosuch", "[]"), (-32601, "Unknown command 'nosuch'".into()));
    assert_eq!(refusal("getinfo", "1").0, -32600);
}

#[test]
fn what_clients_send_is_understood() {
    // Positional, with nulls, as BTCPay Server does.
    let Request::XPay(pay) = ask("xpay", r#"["lnbcrt1", null, 5000]"#) else { panic!() };
    assert_eq!((pay.amount_msat, pay.max_fee_msat, pay.retry_for_s), (None, Some(Msat(5_000)), 60));
    assert_eq!(
        ask("waitanyinvoice", "[99999999999]"),
        Request::WaitAnyInvoice(WaitAnyInvoice { last_pay_index: 99_999_999_999, timeout_s: None })
    );
    let Request::FundChannel(fund) = ask("fundchannel", &format!(r#"["{NODE}", 1000000, "1000perkw"]"#)) else {
        panic!()
    };
    assert_eq!((fund.amount, fund.feerate), (AmountOrAll::Amount(Sat(1_000_000)), Some(FeerateChoice::PerKw(1_000))));
    assert!(fund.announce);

    let peer = NODE.parse().expect("a node id");
    let address = Some(NetAddr::Dns("example.org".into(), 19_846));
    let connect = Request::Connect(Connect { peer, address });
    for params in [
        format!(r#"["{NODE}@example.org"]"#),
        format!(r#"["{NODE}@example.org:19846"]"#),
        format!(r#"["{NODE}", "example.org"]"#),
        format!(r#"{{"id":"{NODE}","host":"example.org","port":"19846"}}"#),
    ] {
        assert_eq!(ask("connect", &params), connect, "{params}");
    }

    // A label that is a number is a text all the same.
    let hold = format!(r#"{{"amount_msat":"any","label":"x","description":"d","payment_hash":"{HASH}","cltv":80}}"#);
    let Request::Invoice(invoice) = ask("holdinvoice", &hold) else { panic!("it asks for an invoice") };
    assert!(matches!(invoice.proof, WantedProof::Hold(_)) && invoice.cltv == Some(80));
    let Request::Invoice(invoice) = ask("invoice", r#"["0.1btc", 17, "caf\u00e9", null, null, null, false]"#) else {
        panic!()
    };
    assert_eq!((&*invoice.label, &*invoice.description), ("17", "café"));
    assert_eq!((invoice.amount_msat, invoice.expose), (Some(Msat(10_000_000_000)), ExposePrivate::None));
    assert_eq!(
        ask("listinvoices", r#"{"index":"created","start":3,"limit":10}"#),
        Request::ListInvoices(ListInvoices {
            filter: InvoiceFilter::All,
            page: Page { index: Some(ListIndex::Created), start: 3, limit: Some(10) },
        })
    );

    let limit = |params: &str| match ask("pay", params) {
        Request::Pay(pay) => pay.fee_limit,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit(r#"["ln"]"#), FeeLimit::Default);
    assert_eq!(limit(r#"{"bolt11":"ln","maxfee":"1sat"}"#), FeeLimit::Absolute(Msat(1_000)));
    let percent = FeeLimit::Proportional { millionths: 12_500, exempt_msat: Msat(5_000) };
    assert_eq!(limit(r#"{"bolt11":"ln","maxfeepercent":1.25}"#), percent);
}

#[test]
fn help_names_every_method_with_its_parameters() {
    let Ok(Action::Answer(bytes)) = run("help", "[]") else { panic!("help needs no core") };
    let result: Value = serde_json::from_slice(&bytes).expect("JSON");
    let entries = result["help"].as_array().expect("a list");
    assert_eq!(entries.len(), all().count());
    let invoice = entries.iter().find(|entry| entry["command"].as_str().is_some_and(|c| c.starts_with("invoice ")));
    // LNbits looks for this word there.
    assert!(invoice.expect("invoice is a method")["command"].as_str().is_some_and(|c| c.contains("deschashonly")));
    let Ok(Action::Answer(bytes)) = run("help", r#"["ping"]"#) else { panic!("help needs no core") };
    let result: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(result["help"][0]["command"], "ping id [len] [pongbytes]");
    assert_eq!(refusal("help", r#"["pong"]"#).0, -32601);
}

#[test]
fn names_are_unique() {
    assert!(summaries().is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn signed_messages_are_checked() {
    use bitcoin::secp256k1::{Message, SECP256K1, SecretKey};
    use leyden_core::invoice::message;
    let key = SecretKey::from_slice(&[9; 32]).expect("a key");
    let node = NodeId::from(key.public_key(SECP256K1));
    let digest = Message::from_digest(message::digest(b"hello"));
    let (recovery_id, bytes) = SECP256K1.sign_ecdsa_recoverable(&digest, &key).serialize_compact();
    let recovery_id = u8::try_from(recovery_id.to_i32()).expect("0 to 3");
    let zbase = format!("\"{}\"", message::encode(&bytes, recovery_id));

    assert_eq!(run("checkmessage", &format!(r#"["hello",{zbase}]"#)), Ok(Action::AskSigner(node)));
    let verified = |message: &str, key: &str| match run("checkmessage", &format!(r#"["{message}",{zbase},"{key}"]"#)) {
        Ok(Action::Answer(bytes)) => serde_json::from_slice::<Value>(&bytes).expect("JSON")["verified"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(verified("hello", &node.to_string()), true);
    assert_eq!(verified("hello", NODE), false);
    assert_eq!(verified("jello", &node.to_string()), false);
    assert_eq!(refusal("checkmessage", r#"["hello","yyyy"]"#).0, -32602);
}

#[test]
fn blocks_are_mined_a_bounded_number_at_a_time() {
    use leyden_core::request::dev::{DevFaucet, DevGenerate};
    let one = Request::DevGenerate(DevGenerate { blocks: 1, destination: None });
    assert_eq!(ask("dev-generate", "[]"), one);
    let coins = Request::DevFaucet(DevFaucet { amount: Sat(100_000), destination: None });
    assert_eq!(ask("dev-faucet", "[100000]"), coins);
    for blocks in ["0", "1001", "4294967295"] {
        let (code, text) = refusal("dev-generate", &format!("[{blocks}]"));
        assert_eq!(code, -32602);
        assert!(text.contains(blocks), "{text}");
    }
}
